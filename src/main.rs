//! The `spnegate` command.

use std::{env, process::ExitCode};

use spnegate::{cli, runtime};

/// glibc's allocator is slow with many small, short-lived allocations in several threads. The feature
/// `override` replaces it for C libraries too: MIT Kerberos allocates a great deal for each login.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(env::args_os(), runtime::serve)
}
