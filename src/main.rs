//! The `spnegate` command.

use std::{env, process::ExitCode};

use spnegate::{cli, runtime};

/// Many small, short-lived allocations from several threads: where glibc's allocator costs most.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(env::args_os(), runtime::serve)
}
