//! `make demo`: a real cluster behind the gateway. With `--once` or `DEMO_ONCE=1` it ends after
//! having shown what it shows; otherwise it stays up until Ctrl-C.

use std::process::ExitCode;

fn main() -> ExitCode {
    let once = std::env::args().any(|word| word == "--once")
        || std::env::var_os("DEMO_ONCE").is_some_and(|value| !value.is_empty() && value != "0");
    match lab::demo::run(once) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}
