//! `bench`: the benchmark as a program; see [`lab::bench`].

use std::{env, process::ExitCode};

use anyhow::Result;
use lab::bench::{self, Options, USAGE, bare, token, train};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        // What it runs in processes of their own.
        [command, rest @ ..] if command == token::COMMAND => token::main(rest),
        [command, rest @ ..] if command == bare::COMMAND => bare::main(rest),
        // The work of `make release`.
        [command, rest @ ..] if command == train::COMMAND => train::main(rest),
        _ => {
            if let Some(options) = Options::parse(arguments)? {
                return bench::run(&options);
            }
            println!("{USAGE}");
            Ok(())
        }
    }
}
