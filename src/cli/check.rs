//! `spnegate check`: everything that is wrong with a file, without serving it.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    net::ToSocketAddrs,
    path::Path,
    process::ExitCode,
};

use super::{CONFIG, say};
use crate::config::{self, Config, Warning};

pub(super) fn run(file: &Path) -> ExitCode {
    let Some(config) = load(file) else {
        return ExitCode::from(CONFIG);
    };
    warn_of_names(file, &config);
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
        say(format_args!("{}:{warning}", file.display()));
    }
    config
}

/// The same for commands that only look something up in the file: problems go to standard error.
pub(super) fn read(file: &Path) -> (Option<Config>, Vec<Warning>) {
    let text = match fs::read(file) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let line = count_lines(error.as_bytes(), error.utf8_error().valid_up_to());
                say(format_args!(
                    "{}:{line}:1: not UTF-8 text. Save the file as UTF-8.",
                    file.display()
                ));
                return (None, Vec::new());
            }
        },
        Err(error) => {
            say(format_args!(
                "{}: cannot read the configuration: {error}. Name it with --config FILE, or let \
                 the gateway's user read it.",
                file.display()
            ));
            return (None, Vec::new());
        }
    };
    match config::parse(&text, file) {
        Ok((config, warnings)) => (Some(config), warnings),
        Err(problems) => {
            say(&problems);
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

/// Names heal by themselves and are no problem of the file, but a typing error shows here.
fn warn_of_names(file: &Path, config: &Config) {
    let backends = config.consoles.iter().flat_map(|console| &console.backends);
    let relayed = config.streams.iter().flat_map(|stream| &stream.backends);
    let proxied = config
        .kdc_proxies
        .iter()
        .flat_map(|proxy| proxy.backends.iter().chain(&proxy.kpasswd));
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
            say(format_args!(
                "{}: warning: the backend's name {host} cannot be resolved now ({error}); the \
                 gateway starts and tries again",
                file.display()
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_byte_is_counted_from_one() {
        assert_eq!(count_lines(b"a\nb\nc", 0), 1);
        assert_eq!(count_lines(b"a\nb\nc", 4), 3);
    }
}
