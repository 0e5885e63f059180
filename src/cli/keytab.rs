//! `spnegate keytab`: lists, merges and verifies keytab files. MIT's ktutil can merge too, but shows
//! neither conflicts nor whether the KDC has the same keys.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::gss::{Failure, KeytabError, Principal, keytab::Enctype};

mod list;
mod merge;
mod verify;

pub use list::list;
pub use merge::merge;
pub use verify::verify;

/// Arguments of `keytab list`.
#[derive(Clone, Debug, clap::Args)]
pub struct ListArguments {
    /// Path of the keytab file
    pub file: PathBuf,
    /// Print a JSON array
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `keytab merge`.
#[derive(Clone, Debug, clap::Args)]
pub struct MergeArguments {
    /// The file to write; an existing one is replaced atomically and keeps its mode and owner
    #[arg(long, short, value_name = "OUT")]
    pub output: PathBuf,
    /// The files to read
    #[arg(required = true, value_name = "IN")]
    pub inputs: Vec<PathBuf>,
    /// Which key to keep if two files have different keys with the same version number
    #[arg(long, value_enum)]
    pub prefer: Option<Prefer>,
}

/// Which of two different keys with the same principal, version and encryption type is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Prefer {
    /// The key of the file that is named first
    First,
    /// The key of the file that is named last
    Last,
    /// The key with the later date
    Newest,
}

/// Arguments of `keytab verify`.
#[derive(Clone, Debug, clap::Args)]
pub struct VerifyArguments {
    /// Path of the keytab file
    pub file: PathBuf,
    /// Verify this principal only
    #[arg(long)]
    pub principal: Option<Principal>,
}

/// Why a keytab command failed.
#[derive(Debug, thiserror::Error)]
pub enum KeytabCommandError {
    #[error(transparent)]
    Keytab(#[from] KeytabError),
    /// Two files have different keys with the same principal, version and encryption type.
    #[error(
        "{} keys differ although their version numbers are equal, the first of them {principal} kvno \
         {kvno} {enctype} in {} and {}; nothing was written. Leave out the outdated file, or choose with \
         --prefer",
        count, first.display(), second.display()
    )]
    Conflict {
        count: usize,
        principal: Principal,
        kvno: u32,
        enctype: Enctype,
        first: PathBuf,
        second: PathBuf,
    },
    #[error("cannot write {}; nothing was changed", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} contains no key of {principal}; `spnegate keytab list` shows its principals", path.display())]
    NoPrincipal { path: PathBuf, principal: Principal },
    #[error("cannot use GSSAPI: {}", .0.text)]
    Gss(Failure),
    #[error("cannot start a thread; raise the limit on processes (ulimit -u)")]
    Start(#[source] io::Error),
    #[error("cannot write the result")]
    Output(#[from] io::Error),
}

fn cannot_write(path: &Path) -> impl Fn(io::Error) -> KeytabCommandError + '_ {
    move |source| KeytabCommandError::Write {
        path: path.to_owned(),
        source,
    }
}
