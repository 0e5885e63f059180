//! `spnegate check`: validates a configuration file and reports every problem.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    net::ToSocketAddrs,
    path::Path,
    process::ExitCode,
};

use super::{CONFIG, print_error};
use crate::config::{self, Config, Warning};

pub(super) fn run(file: &Path) -> ExitCode {
    let Some(config) = load(file) else {
        return ExitCode::from(CONFIG);
    };
    warn_of_unresolvable_names(file, &config);
    let counts = [
        (config.consoles.len(), "console"),
        (config.streams.len(), "stream"),
        (config.kdc_proxies.len(), "realm"),
    ];
    let counts: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, noun)| format!("{count} {noun}{}", if *count == 1 { "" } else { "s" }))
        .collect();
    let _ = writeln!(
        io::stdout().lock(),
        "configuration ok: {}",
        counts.join(", ")
    );
    ExitCode::SUCCESS
}

/// Reads and checks a file; problems and warnings go to standard error.
pub(super) fn load(file: &Path) -> Option<Config> {
    let (config, warnings) = read(file);
    for warning in warnings {
        // A message has several lines, so an empty line separates it from the next.
        print_error(format_args!("{warning}\n"));
    }
    config
}

/// Reads and checks a file without printing its warnings, for commands that need a single value of it.
/// Problems go to standard error.
pub(super) fn read(file: &Path) -> (Option<Config>, Vec<Warning>) {
    let text = match fs::read(file) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                // TOML is UTF-8 by its specification. The parser, which finds the lines of other
                // problems, takes no other text.
                let line = count_lines(error.as_bytes(), error.utf8_error().valid_up_to());
                print_error(format_args!(
                    "error: {}:{line}:1: the file is not valid UTF-8; save it as UTF-8",
                    file.display()
                ));
                return (None, Vec::new());
            }
        },
        Err(error) => {
            print_error(format_args!(
                "error: {}: cannot read the configuration: {error}; use --config FILE to name another \
                 file, or let the gateway's user read this one",
                file.display()
            ));
            return (None, Vec::new());
        }
    };
    match config::parse(&text, file) {
        Ok((config, warnings)) => (Some(config), warnings),
        Err(problems) => {
            print_error(&problems);
            (None, problems.warnings)
        }
    }
}

fn count_lines(bytes: &[u8], end: usize) -> usize {
    1 + bytes
        .iter()
        .take(end)
        .filter(|byte| **byte == b'\n')
        .count()
}

/// A name that cannot be resolved now is not a problem of the file, because DNS may recover, but it
/// is often a typing error.
fn warn_of_unresolvable_names(file: &Path, config: &Config) {
    let backends = config.consoles.iter().flat_map(|console| &console.backends);
    let relayed = config.streams.iter().flat_map(|stream| &stream.backends);
    let proxied = config
        .kdc_proxies
        .iter()
        .flat_map(|proxy| proxy.backends.iter().chain(&proxy.kpasswd));
    // A set, because consoles share servers, and each look-up of a wrong name may take seconds.
    let names: BTreeSet<_> = backends
        .map(|backend| (format!("{}:{}", backend.host, backend.port), &backend.host))
        .chain(
            relayed
                .chain(proxied)
                .map(|backend| (backend.address.to_string(), &backend.host)),
        )
        .collect();
    for (address, host) in names {
        if let Err(error) = address.to_socket_addrs() {
            print_error(format_args!(
                "warning: {}: the host name {host} of a backend cannot be resolved now ({error}); the \
                 gateway will start and try again",
                file.display()
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_from_one() {
        assert_eq!(count_lines(b"a\nb\nc", 0), 1);
        assert_eq!(count_lines(b"a\nb\nc", 4), 3);
    }
}
