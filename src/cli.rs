//! The command line: one file per command, with the exit codes of `sysexits.h`.
//!
//! A command reads its configuration file, prints every problem to standard error, and leaves the
//! work to the modules below.

use std::{
    error::Error,
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::{balance::AdminState, config::Config};

mod backend;
mod check;
pub(crate) mod keytab;
mod serve;

/// `EX_USAGE`: the command line is wrong.
pub const USAGE: u8 = 64;
/// `EX_CONFIG`: the configuration is wrong.
pub const CONFIG: u8 = 78;
/// The command failed, or the gateway could not start.
pub const FAILED: u8 = 1;

#[derive(Debug, Parser)]
#[command(name = "spnegate", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway
    Serve(ConfigArguments),
    /// Validate a configuration file and report every problem
    Check(ConfigArguments),
    /// List, merge and verify keytab files
    #[command(subcommand)]
    Keytab(Keytab),
    /// Take a backend of the running gateway out of service, or put it back
    #[command(subcommand)]
    Backend(Backend),
    /// Print the state of the running gateway as JSON
    Status(backend::GatewayArguments),
}

#[derive(Debug, Subcommand)]
enum Backend {
    /// Send no new requests to the backend; those in progress are finished
    Drain(backend::BackendArguments),
    /// Stop all traffic and health checks to the backend
    Maintenance(backend::BackendArguments),
    /// Put the backend back into service
    Ready(backend::BackendArguments),
}

#[derive(Debug, Subcommand)]
enum Keytab {
    /// Show principals, key versions, encryption types and dates
    List(keytab::ListArguments),
    /// Merge the keys of several files into one
    Merge(keytab::MergeArguments),
    /// Check against the KDC that keys and key versions are current
    Verify(keytab::VerifyArguments),
}

#[derive(Debug, clap::Args)]
struct ConfigArguments {
    /// Path of the configuration file
    #[arg(
        long,
        short,
        value_name = "FILE",
        default_value = "/etc/spnegate/spnegate.toml"
    )]
    config: PathBuf,
}

/// Runs the command that `arguments` select; the first of them is the name of the program. `serve`
/// runs the gateway until a signal stops it.
pub fn run<E: Error + 'static>(
    arguments: impl IntoIterator<Item = OsString>,
    serve: impl FnOnce(Config) -> Result<(), E>,
) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let printed = error.print();
            // clap reports --help and --version as errors too, but for standard output.
            let code = if error.use_stderr() || printed.is_err() {
                USAGE
            } else {
                0
            };
            return ExitCode::from(code);
        }
    };
    match arguments.command {
        Command::Serve(file) => serve::run(&file.config, serve),
        Command::Check(file) => check::run(&file.config),
        Command::Keytab(command) => keytab_command(&command),
        Command::Backend(Backend::Drain(backend)) => {
            backend::set_state(&backend, AdminState::Drain)
        }
        Command::Backend(Backend::Maintenance(backend)) => {
            backend::set_state(&backend, AdminState::Maintenance)
        }
        Command::Backend(Backend::Ready(backend)) => {
            backend::set_state(&backend, AdminState::Ready)
        }
        Command::Status(gateway) => backend::status(&gateway),
    }
}

/// Fails if `verify` finds a problem, or if a file cannot be used.
fn keytab_command(command: &Keytab) -> ExitCode {
    let out = &mut io::stdout().lock();
    let good = match command {
        Keytab::List(arguments) => keytab::list(arguments, out).map(|()| true),
        Keytab::Merge(arguments) => keytab::merge(arguments, out).map(|()| true),
        // A bad key is a result of `verify`, which has been printed, and not an error of the
        // command.
        Keytab::Verify(arguments) => keytab::verify(arguments, out),
    };
    match good {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(error) => {
            print_with_causes(&error);
            ExitCode::from(FAILED)
        }
    }
}

/// Prints an error and its causes in one line.
fn print_with_causes(error: &(dyn Error + 'static)) {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Some errors of libraries contain the text of their cause; it would be printed twice.
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    print_error(format_args!("error: {line}"));
}

/// Writes a line to standard error. A failure to write there cannot be reported anywhere.
fn print_error(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
