//! `spnegate serve`: checks a configuration file and runs the gateway.

use std::{error::Error, path::Path, process::ExitCode};

use super::{CONFIG, FAILED, check, print_with_causes};
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
            print_with_causes(&error);
            ExitCode::from(FAILED)
        }
    }
}
