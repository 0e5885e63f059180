//! The `spnegate` command.

use std::{env, process::ExitCode};

use spnegate::{cli, config::Config};

/// Many small, short-lived allocations from several threads: where glibc's allocator costs most.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(env::args_os(), serve)
}

/// The seam to `runtime::serve`.
fn serve(_: Config) -> Result<(), NotBuilt> {
    Err(NotBuilt)
}

/// This build checks files only.
#[derive(Debug, thiserror::Error)]
#[error("this build can check a configuration but not serve it")]
struct NotBuilt;
