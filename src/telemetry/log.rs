//! The structured log: `tracing` events to standard error, as text or JSON.

use std::io;

use thiserror::Error;
use tracing_subscriber::{EnvFilter, filter, util::SubscriberInitExt};

/// `log.format`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One line for people; the access log in the combined format.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why the log could not be set up.
#[derive(Debug, Error)]
pub enum LogError {
    /// `log.level` is no filter.
    #[error(
        "log.level: {level:?} is not a filter; write a level such as \"info\" or a list such as \"info,spnegate::auth=debug\""
    )]
    Level {
        /// The value.
        level: String,
        /// What is wrong with it.
        #[source]
        source: filter::ParseError,
    },
    /// A log was set up before in this process.
    #[error("the log is already set up")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Sets up the process's log; called once, before anything that may log.
///
/// # Errors
/// [`LogError`], naming the key.
pub(crate) fn init(level: &str, format: LogFormat) -> Result<(), LogError> {
    let filter = parse(&with_quiet_alerts(level))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(false).finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    }
    .map_err(LogError::Twice)
}

/// rustls warns of every alert that a client sends. Java's clients end each connection with one
/// (`UserCanceled`), hundreds an hour, so these are for `debug`. What fails is logged by the
/// gateway itself.
fn with_quiet_alerts(level: &str) -> String {
    let asked_for = level.split(',').map(str::trim).any(|directive| {
        let whole = ["debug", "trace", "4", "5"];
        directive.starts_with("rustls") || whole.iter().any(|w| directive.eq_ignore_ascii_case(w))
    });
    if asked_for {
        return level.to_owned();
    }
    format!("{level},rustls::common_state=error")
}

fn parse(level: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder()
        .parse(level)
        .map_err(|source| LogError::Level {
            level: level.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_lists_are_filters() {
        assert!(parse("info").is_ok());
        assert!(parse("warn,spnegate::auth=debug").is_ok());
    }

    #[test]
    fn alerts_of_clients_are_for_debug() {
        let quiet = |level: &str| parse(&with_quiet_alerts(level)).unwrap().to_string();
        for level in ["info", "warn,spnegate::auth=debug", ""] {
            assert!(
                quiet(level).contains("rustls::common_state=error"),
                "{level}"
            );
        }
        for level in [
            "debug",
            "TRACE",
            "info,rustls=warn",
            "info,rustls::common_state=debug",
        ] {
            assert!(
                !quiet(level).contains("rustls::common_state=error"),
                "{level}"
            );
        }
    }

    #[test]
    fn a_wrong_level_is_named_with_its_key() {
        let error = parse("spnegate=loud").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("log.level: \"spnegate=loud\"")
        );
    }
}
