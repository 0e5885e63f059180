//! The structured log: `tracing` events to standard error, as text or JSON.

use std::io;

use thiserror::Error;
use tracing_subscriber::{EnvFilter, filter, util::SubscriberInitExt};

/// `log.format`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Human-readable lines; the access log in the combined format.
    Text,
    /// One JSON object per line.
    Json,
}

/// Why the structured log could not be set up.
#[derive(Debug, Error)]
pub enum LogError {
    /// `log.level` is not a valid filter.
    #[error(
        "log.level: invalid filter {level:?}; write a level such as \"info\" or a list such as \"info,spnegate::auth=debug\""
    )]
    Level {
        /// The value.
        level: String,
        /// The parser's error.
        #[source]
        source: filter::ParseError,
    },
    /// A log was set up before in this process.
    #[error("the log is already set up")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Sets up the log of the process. Called once, before anything is logged.
///
/// # Errors
/// [`LogError`], naming the key.
pub(crate) fn init(level: &str, format: LogFormat) -> Result<(), LogError> {
    let filter = parse(&with_quiet_alerts(level))?;
    // Standard error, because standard output is the default of the access log.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(false).finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    }
    .map_err(LogError::Twice)
}

/// Silences rustls' warnings about alerts unless a level of `debug` is configured. Java clients end each
/// connection with an alert (`UserCanceled`), which would be hundreds of warnings per hour. The gateway
/// logs failed handshakes itself.
fn with_quiet_alerts(level: &str) -> String {
    let asked_for = level.split(',').map(str::trim).any(|directive| {
        // `EnvFilter` also accepts numbers: 4 is debug, 5 is trace.
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
    fn levels_and_lists_are_accepted() {
        assert!(parse("info").is_ok());
        assert!(parse("warn,spnegate::auth=debug").is_ok());
    }

    #[test]
    fn alerts_of_clients_are_logged_at_debug_only() {
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
    fn the_error_names_the_key_and_the_level() {
        let error = parse("spnegate=loud").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("log.level: invalid filter \"spnegate=loud\"")
        );
    }
}
