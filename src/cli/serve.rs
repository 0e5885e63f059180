//! `spnegate serve`: a checked file becomes a running gateway.

use std::{error::Error, path::Path, process::ExitCode};

use super::{CONFIG, FAILED, check, say};
use crate::config::Config;

pub(super) fn run<E: Error + 'static>(
    file: &Path,
    serve: impl FnOnce(Config) -> Result<(), E>,
) -> ExitCode {
    let Some(config) = check::load(file) else {
        return ExitCode::from(CONFIG);
    };
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("spnegate: {}", chain(&error)));
            ExitCode::from(FAILED)
        }
    }
}

/// An error and its causes in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // many errors repeat their cause in their own sentence
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line
}
