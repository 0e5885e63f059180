//! The command line: one file per command, exit codes by `sysexits.h`.
//!
//! A command reads its file, says everything that is wrong with it on standard error, and leaves
//! the work to the modules below.

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
/// The gateway could not start, or ended by itself.
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
    Serve(File),
    /// Say everything that is wrong with a configuration file
    Check(File),
    /// List, merge and verify keytab files
    #[command(subcommand)]
    Keytab(Keytab),
    /// Take a backend of the running gateway out of service, or back in
    #[command(subcommand)]
    Backend(Backend),
    /// Print the running gateway's state as JSON
    Status(backend::Gateway),
}

#[derive(Debug, Subcommand)]
enum Backend {
    /// Send it nothing new; what it has begun goes on
    Drain(backend::Which),
    /// Send it nothing at all, and do not look after it
    Maintenance(backend::Which),
    /// Use it again
    Ready(backend::Which),
}

#[derive(Debug, Subcommand)]
enum Keytab {
    /// Show principals, key versions, encryption types and dates
    List(keytab::ListArguments),
    /// Write the keys of several files into one
    Merge(keytab::MergeArguments),
    /// Ask the KDC whether versions and keys are its own
    Verify(keytab::VerifyArguments),
}

#[derive(Debug, clap::Args)]
struct File {
    /// The configuration file
    #[arg(
        long,
        short,
        value_name = "FILE",
        default_value = "/etc/spnegate/spnegate.toml"
    )]
    config: PathBuf,
}

/// Runs the command that `arguments` (with the program's name first) ask for. `serve` runs the
/// gateway until it is told to stop.
pub fn run<E: Error + 'static>(
    arguments: impl IntoIterator<Item = OsString>,
    serve: impl FnOnce(Config) -> Result<(), E>,
) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let printed = error.print();
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
        Command::Backend(Backend::Drain(which)) => backend::assign(&which, AdminState::Drain),
        Command::Backend(Backend::Maintenance(which)) => {
            backend::assign(&which, AdminState::Maintenance)
        }
        Command::Backend(Backend::Ready(which)) => backend::assign(&which, AdminState::Ready),
        Command::Status(gateway) => backend::status(&gateway),
    }
}

/// 1 when `verify` finds a problem or a file cannot be used.
fn keytab_command(command: &Keytab) -> ExitCode {
    let out = &mut io::stdout().lock();
    let good = match command {
        Keytab::List(arguments) => keytab::list(arguments, out).map(|()| true),
        Keytab::Merge(arguments) => keytab::merge(arguments, out).map(|()| true),
        Keytab::Verify(arguments) => keytab::verify(arguments, out),
    };
    match good {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(error) => {
            let mut source = error.source();
            let mut text = error.to_string();
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            say(text);
            ExitCode::from(FAILED)
        }
    }
}

/// Writes a line to standard error; nobody can be told if that fails.
fn say(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
