//! `spnegate keytab`: list, merge and verify keytab files, without ktutil.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::gss::{Failure, KeytabError, Principal, keytab::Enctype};

mod date;
mod list;
mod merge;
mod verify;

pub use list::list;
pub use merge::merge;
pub use verify::verify;

/// The arguments of `keytab list`.
#[derive(Clone, Debug, clap::Args)]
pub struct ListArguments {
    /// The keytab file
    pub file: PathBuf,
    /// One JSON array, for programs
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `keytab merge`.
#[derive(Clone, Debug, clap::Args)]
pub struct MergeArguments {
    /// The file to write; replaced in one step if it exists, keeping its mode and owner
    #[arg(long, short, value_name = "OUT")]
    pub output: PathBuf,
    /// The files to read
    #[arg(required = true, value_name = "IN")]
    pub inputs: Vec<PathBuf>,
    /// Which key to take where two files have different ones under one version number
    #[arg(long, value_enum)]
    pub prefer: Option<Prefer>,
}

/// Which of two different keys of one principal, version and type wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Prefer {
    /// That of the file named first
    First,
    /// That of the file named last
    Last,
    /// The one with the later date
    Newest,
}

/// The arguments of `keytab verify`.
#[derive(Clone, Debug, clap::Args)]
pub struct VerifyArguments {
    /// The keytab file
    pub file: PathBuf,
    /// Only this principal
    #[arg(long)]
    pub principal: Option<Principal>,
}

/// Why a keytab command failed.
#[derive(Debug, thiserror::Error)]
pub enum KeytabCommandError {
    /// A file cannot be used.
    #[error(transparent)]
    Keytab(#[from] KeytabError),
    /// Two files have different keys under one version number.
    #[error(
        "{} different keys under one version number, the first of {principal} kvno {kvno} \
         {enctype} in {} and {}; nothing was written. Leave the outdated file out, or choose with \
         --prefer",
        count, first.display(), second.display()
    )]
    Conflict {
        /// How many there are.
        count: usize,
        /// Whose.
        principal: Principal,
        /// Its version.
        kvno: u32,
        /// Its type.
        enctype: Enctype,
        /// The file that has the one.
        first: PathBuf,
        /// The file that has the other.
        second: PathBuf,
    },
    /// The merged file cannot be written.
    #[error("{} cannot be written; nothing was changed", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The file has no such principal.
    #[error("{} has no key of {principal}; see: spnegate keytab list", path.display())]
    NoPrincipal {
        /// The file.
        path: PathBuf,
        /// The one asked for.
        principal: Principal,
    },
    /// The GSSAPI cannot be used.
    #[error("GSSAPI cannot be used: {}", .0.text)]
    Gss(Failure),
    /// A thread or the runtime cannot be started.
    #[error("a thread cannot be started; raise the limit on processes")]
    Start(#[source] io::Error),
    /// The result cannot be written out.
    #[error("the result cannot be written out")]
    Output(#[from] io::Error),
}

fn cannot_write(path: &Path) -> impl Fn(io::Error) -> KeytabCommandError + '_ {
    move |source| KeytabCommandError::Write {
        path: path.to_owned(),
        source,
    }
}
