//! Compiles the small library that programs of the lab are preloaded with, by the C compiler that
//! Rust links with anyway.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    const SOURCE: &str = "shim/hosts.c";
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-env-changed=CC");
    let library = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("hosts.so");
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let status = Command::new(&compiler)
        .args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"])
        .arg(&library)
        .arg(SOURCE)
        .arg("-ldl")
        .status();
    match status {
        Ok(status) if status.success() => {}
        other => {
            println!(
                "cargo::error={compiler} cannot compile {SOURCE} ({other:?}): install gcc and libc6-dev"
            );
        }
    }
}
