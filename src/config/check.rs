//! From text to [`Config`]: one file per section, each of which reports what is wrong and goes on.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use toml::de::DeTable;

use self::keytab::ReadKeytab;
use super::{
    Config, ServerConfig, Timeouts,
    problem::{Fault, Problems, ValueFault, Warning},
    schema,
    tree::{Report, Table},
};

mod admin;
mod allow;
mod backend;
mod backend_tls;
mod balance;
mod console;
mod files;
mod hosts;
mod identity;
mod kdc_proxy;
mod kerberos;
mod keytab;
mod listeners;
mod log;
mod name;
mod nodes;
mod session;
mod sources;
mod stream;
mod stream_backend;
mod tls;

/// Reads and checks the text of a configuration file.
///
/// Files that it names (keytab, certificates, secret) are read too; relative paths are looked up
/// beside `file`. Nothing is opened on the network: what can heal is not a problem of the file.
///
/// # Errors
///
/// All problems that were found, in the order of the lines.
pub fn parse(text: &str, file: &Path) -> Result<(Config, Vec<Warning>), Problems> {
    parse_with(text, file, &keytab::read)
}

/// What a check may ask of the world outside of the text.
pub(super) struct Surroundings<'r> {
    directory: PathBuf,
    read_keytab: ReadKeytab<'r>,
    /// Whether there is a group of this name; `None` where that cannot be said.
    find_group: &'r dyn Fn(&str) -> Option<bool>,
}

impl Surroundings<'_> {
    /// A path of the file, seen from the file's own directory.
    fn path(&self, text: &str) -> PathBuf {
        self.directory.join(text)
    }
}

fn parse_with(
    text: &str,
    file: &Path,
    read_keytab: ReadKeytab<'_>,
) -> Result<(Config, Vec<Warning>), Problems> {
    let directory = file.parent().map(Path::to_path_buf).unwrap_or_default();
    let surroundings = Surroundings {
        directory,
        read_keytab,
        find_group: &allow::find_group,
    };
    let (tree, errors) = DeTable::parse_recoverable(text);
    let report = Report::new(text);
    let broken = !errors.is_empty();
    let config = check(&report.top(tree.get_ref(), &schema::FILE), &surroundings);
    let (mut problems, warnings) = report.into_findings();
    if broken {
        // the rest of a file with a hole in it: only what does not depend on what fell into it
        problems.retain(|problem| stands_alone(&problem.fault));
        let report = Report::new(text);
        for source in errors {
            let offset = source.span().map_or(0, |span| span.start);
            report.problem("", offset, ValueFault::Syntax { source });
        }
        let (mut syntax, _) = report.into_findings();
        // an open bracket makes the parser complain of all that follows on its line
        syntax.dedup_by_key(|problem| problem.place.line);
        problems.retain(|p| syntax.iter().all(|s| s.place.line != p.place.line));
        problems.extend(syntax);
        problems.sort_by(|a, b| a.place.cmp(&b.place));
    }
    match config {
        Some(config) if problems.is_empty() && !broken => Ok((config, warnings)),
        Some(_) | None => Err(Problems {
            file: file.to_path_buf(),
            list: problems,
            warnings,
        }),
    }
}

/// Whether a fault is one of a value alone, whatever stands elsewhere in the file.
fn stands_alone(fault: &Fault) -> bool {
    match fault {
        Fault::Value(fault) => match fault {
            ValueFault::Missing { .. }
            | ValueFault::UnknownKey { .. }
            | ValueFault::WrongType { .. } => false,
            ValueFault::Syntax { .. }
            | ValueFault::NotInThisVersion { .. }
            | ValueFault::WordLater { .. }
            | ValueFault::UnknownWord { .. }
            | ValueFault::Empty { .. }
            | ValueFault::Twice { .. }
            | ValueFault::Duration { .. }
            | ValueFault::Size { .. }
            | ValueFault::OutOfRange { .. }
            | ValueFault::Address { .. }
            | ValueFault::Network { .. }
            | ValueFault::LogFilter { .. }
            | ValueFault::Unreadable { .. }
            | ValueFault::Unwritable { .. }
            | ValueFault::WorldWritable { .. }
            | ValueFault::ShortSecret { .. } => true,
        },
        Fault::Kerberos(_) | Fault::Console(_) | Fault::Stream(_) => false,
    }
}

/// `None` only if a problem was reported.
fn check(top: &Table<'_>, surroundings: &Surroundings<'_>) -> Option<Config> {
    let server = server(top);
    let timeouts = timeouts(top);
    let kerberos = kerberos::check(top, surroundings);
    let session = session::check(top, surroundings);
    let admin = admin::check(top);
    let log = log::check(top, surroundings);
    let consoles = console::check_all(top, &kerberos, surroundings);
    let streams = stream::check_all(top);
    let kdc_proxies = kdc_proxy::check_all(top, surroundings);
    listeners::check(&consoles, &streams, &kdc_proxies, admin.as_ref());
    Some(Config {
        server,
        timeouts,
        kerberos: kerberos.values?,
        session,
        admin: admin.map(|(_, admin)| admin),
        log,
        consoles: consoles
            .into_iter()
            .map(|checked| checked.console)
            .collect(),
        streams: streams.into_iter().map(|checked| checked.stream).collect(),
        kdc_proxies: kdc_proxies
            .into_iter()
            .map(|checked| checked.proxy)
            .collect(),
    })
}

fn server(top: &Table<'_>) -> ServerConfig {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut values = ServerConfig {
        workers: cores,
        max_connections: 20_000,
        max_connections_per_address: None,
        requests_per_second_per_address: None,
    };
    if let Some(table) = top.table("server", &schema::SERVER) {
        let count = |name, default: usize, most| {
            let read = table.integer(name, default as u64, 1..=most);
            usize::try_from(read).unwrap_or(default)
        };
        values.workers = count("workers", values.workers, 1_024);
        values.max_connections = count("max_connections", values.max_connections, 10_000_000);
        let per_address = table.get("max_connections_per_address");
        values.max_connections_per_address = per_address
            .and_then(|node| node.integer(1..=10_000_000))
            .and_then(|count| usize::try_from(count).ok());
        let rate = table.get("requests_per_second_per_address");
        values.requests_per_second_per_address = rate
            .and_then(|node| node.integer(1..=1_000_000))
            .and_then(|count| u32::try_from(count).ok());
    }
    values
}

fn timeouts(top: &Table<'_>) -> Timeouts {
    let mut values = Timeouts {
        head: Duration::from_secs(8),
        idle: Duration::from_secs(60),
        body_idle: Duration::from_secs(60),
        min_upload_rate: 0,
        connect: Duration::from_secs(2),
        first_byte: Duration::from_secs(300),
        hold: Duration::from_secs(15),
        tunnel: Duration::from_secs(3_600),
        drain: Duration::from_secs(30),
        gss: Duration::from_secs(5),
    };
    let Some(table) = top.table("timeouts", &schema::TIMEOUTS) else {
        return values;
    };
    let least = Duration::from_millis(1);
    let most = Duration::from_secs(86_400);
    let read = |name, default| table.duration(name, default, least..=most);
    values.head = read("head", values.head);
    values.idle = read("idle", values.idle);
    values.body_idle = read("body_idle", values.body_idle);
    let rate = table.get("min_upload_rate");
    values.min_upload_rate = rate.and_then(|node| node.size(1 << 30)).unwrap_or_default();
    values.connect = read("connect", values.connect);
    values.first_byte = read("first_byte", values.first_byte);
    values.tunnel = read("tunnel", values.tunnel);
    values.gss = read("gss", values.gss);
    // these two may be nought: do not wait at all
    let or_nought = |name, default| table.duration(name, default, Duration::ZERO..=most);
    values.hold = or_nought("hold", values.hold);
    values.drain = or_nought("drain", values.drain);
    values
}

#[cfg(test)]
mod tests;
