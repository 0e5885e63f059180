//! From text to [`Config`]: one file per section. Each reports what is wrong and goes on with
//! defaults.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use toml::de::DeTable;

use self::{console::allow, kerberos::keytab};
use super::{
    Config, ServerConfig, Timeouts,
    problem::{Problem, ProblemKind, Problems, Source, ValueProblem, Warning},
    schema,
    tree::{Findings, Table},
};

mod admin;
mod console;
mod files;
mod kdc_proxy;
mod kerberos;
mod listeners;
mod log;
mod name;
mod networks;
mod session;
mod stream;
mod tls;

/// Reads and checks the text of a configuration file.
///
/// Files that it names (keytab, certificates, secret) are read too; relative paths start at the
/// directory of `file`. The network is not used: a KDC or a name server that is down now is not a
/// problem of the file.
///
/// # Errors
///
/// All problems that were found, in the order of the lines.
pub fn parse(text: &str, file: &Path) -> Result<(Config, Vec<Warning>), Problems> {
    parse_with(text, file, &keytab::read)
}

/// What the checks need from outside the text; tests replace it.
struct Environment<'r> {
    /// The directory of the file.
    directory: PathBuf,
    read_keytab: keytab::ReadKeytab<'r>,
    /// Whether the group exists; `None` if the operating system cannot say.
    find_group: &'r dyn Fn(&str) -> Option<bool>,
}

impl Environment<'_> {
    /// Relative paths start at the directory of the configuration file.
    fn path(&self, text: &str) -> PathBuf {
        self.directory.join(text)
    }
}

fn parse_with(
    text: &str,
    file: &Path,
    read_keytab: keytab::ReadKeytab<'_>,
) -> Result<(Config, Vec<Warning>), Problems> {
    let directory = file.parent().map(Path::to_path_buf).unwrap_or_default();
    let environment = Environment {
        directory,
        read_keytab,
        find_group: &allow::find_group,
    };
    let source = Arc::new(Source {
        path: file.to_path_buf(),
        text: text.to_owned(),
    });
    let (tree, errors) = DeTable::parse_recoverable(text);
    let findings = Findings::new(Arc::clone(&source));
    let is_toml = errors.is_empty();
    let config = check(&findings.top(tree.get_ref(), &schema::FILE), &environment);
    let (mut problems, warnings) = findings.into_lists();
    if !is_toml {
        problems = with_syntax_errors(problems, errors, source);
    }
    match config {
        Some(config) if problems.is_empty() && is_toml => Ok((config, warnings)),
        Some(_) | None => Err(Problems {
            list: problems,
            warnings,
        }),
    }
}

/// The parser recovers from syntax errors by leaving something out. Problems that may be mere
/// consequences of that are not reported.
fn with_syntax_errors(
    mut problems: Vec<Problem>,
    errors: Vec<toml::de::Error>,
    source: Arc<Source>,
) -> Vec<Problem> {
    let findings = Findings::new(source);
    for source in errors {
        let span = source.span().unwrap_or(0..0);
        findings.problem("", span, ValueProblem::Syntax { source });
    }
    let (mut syntax, _) = findings.into_lists();
    // After an open bracket, the parser reports everything that follows on the line.
    syntax.dedup_by_key(|problem| problem.position.line());
    problems.retain(|problem| {
        let line = problem.position.line();
        is_independent(&problem.kind) && syntax.iter().all(|s| s.position.line() != line)
    });
    problems.extend(syntax);
    problems.sort_by(|a, b| a.position.order().cmp(&b.position.order()));
    problems
}

/// Whether a problem concerns one value only and does not depend on other keys.
fn is_independent(problem: &ProblemKind) -> bool {
    match problem {
        ProblemKind::Value(problem) => match problem {
            // If the header of a section is lost, its keys seem to be missing there, and unknown
            // or of another type in the section before it.
            ValueProblem::Missing { .. }
            | ValueProblem::UnknownKey { .. }
            | ValueProblem::WrongType { .. } => false,
            ValueProblem::Syntax { .. }
            | ValueProblem::KeyNotYet { .. }
            | ValueProblem::WordNotYet { .. }
            | ValueProblem::UnknownWord { .. }
            | ValueProblem::Empty { .. }
            | ValueProblem::Twice { .. }
            | ValueProblem::Duration { .. }
            | ValueProblem::Size { .. }
            | ValueProblem::OutOfRange { .. }
            | ValueProblem::Address { .. }
            | ValueProblem::Network { .. }
            | ValueProblem::LogFilter { .. }
            | ValueProblem::Unreadable { .. }
            | ValueProblem::Unwritable { .. }
            | ValueProblem::WorldWritable { .. }
            | ValueProblem::ShortSecret { .. } => true,
        },
        ProblemKind::Kerberos(_) | ProblemKind::Console(_) | ProblemKind::Stream(_) => false,
    }
}

/// `None` only if a problem was reported.
fn check(top: &Table<'_>, environment: &Environment<'_>) -> Option<Config> {
    let server = server(top);
    let timeouts = timeouts(top);
    let kerberos = kerberos::check(top, environment);
    let session = session::check(top, environment);
    let admin = admin::check(top);
    let log = log::check(top, environment);
    let consoles = console::check_all(top, &kerberos, environment);
    let streams = stream::check_all(top);
    let kdc_proxies = kdc_proxy::check_all(top, environment);
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
    // A worker for each core: each has its own sockets and connection pools, and requests do not
    // change threads, which saves synchronisation.
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
            .and_then(|value| value.integer(1..=10_000_000))
            .and_then(|count| usize::try_from(count).ok());
        let rate = table.get("requests_per_second_per_address");
        values.requests_per_second_per_address = rate
            .and_then(|value| value.integer(1..=1_000_000))
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
        // Measured until another server is active: 2 s after a NameNode was killed, 5.8 s after a
        // ResourceManager was. A frozen NameNode (70 s) is not waited for.
        hold: Duration::from_secs(15),
        tunnel: Duration::from_secs(3_600),
        drain: Duration::from_secs(30),
        // A hung KDC blocked a call for 27 s (measured, MIT 1.20), and a call cannot be
        // cancelled.
        gss: Duration::from_secs(5),
    };
    let Some(table) = top.table("timeouts", &schema::TIMEOUTS) else {
        return values;
    };
    // A timeout of zero would fail every request.
    let least = Duration::from_millis(1);
    let most = Duration::from_secs(86_400);
    let read = |name, default| table.duration(name, default, least..=most);
    values.head = read("head", values.head);
    values.idle = read("idle", values.idle);
    values.body_idle = read("body_idle", values.body_idle);
    let rate = table.get("min_upload_rate");
    values.min_upload_rate = rate
        .and_then(|value| value.size(1 << 30))
        .unwrap_or_default();
    values.connect = read("connect", values.connect);
    values.first_byte = read("first_byte", values.first_byte);
    values.tunnel = read("tunnel", values.tunnel);
    values.gss = read("gss", values.gss);
    // Zero means not to wait at all.
    let or_zero = |name, default| table.duration(name, default, Duration::ZERO..=most);
    values.hold = or_zero("hold", values.hold);
    values.drain = or_zero("drain", values.drain);
    values
}

#[cfg(test)]
mod tests;
