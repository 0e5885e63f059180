//! What is wrong with a configuration file, and what to do: collected by the checks, printed by
//! `spnegate check` and `spnegate serve`.

use std::{fmt, path::PathBuf};

mod console;
mod kerberos;
mod stream;
mod value;
mod warning;

pub(crate) use console::ConsoleFault;
pub(crate) use kerberos::KerberosFault;
pub(crate) use stream::StreamFault;
pub(crate) use value::ValueFault;
pub(crate) use warning::Concern;

/// Where in the file something stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Key path, indices from 0: `console[1].backends[0].url`; empty for the file as a whole.
    pub key: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        Ok(())
    }
}

/// One thing that is wrong.
#[derive(Debug)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What.
    pub fault: Fault,
}

/// What can be wrong, by the section that finds it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub enum Fault {
    /// A value that does not read as what it should be.
    Value(#[from] ValueFault),
    /// `[kerberos]` and the keytab.
    Kerberos(#[from] KerberosFault),
    /// `[[console]]` and what consoles do to each other.
    Console(#[from] ConsoleFault),
    /// `[[stream]]` and `[[kdc_proxy]]`.
    Stream(#[from] StreamFault),
}

impl Fault {
    /// What to do about it: a clause without a full stop.
    pub fn cure(&self) -> String {
        match self {
            Self::Value(fault) => fault.cure(),
            Self::Kerberos(fault) => fault.cure(),
            Self::Console(fault) => fault.cure(),
            Self::Stream(fault) => fault.cure(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}. {}.", self.place, self.fault, self.fault.cure())
    }
}

/// Something that works but may not be meant.
#[derive(Debug)]
pub struct Warning {
    /// Where.
    pub place: Place,
    /// What, and why it may matter.
    pub concern: Concern,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: warning: {}", self.place, self.concern)
    }
}

/// All problems of one file, in the order of its lines; never empty.
#[derive(Debug, thiserror::Error)]
pub struct Problems {
    /// The file, as given on the command line.
    pub file: PathBuf,
    /// What is wrong.
    pub list: Vec<Problem>,
    /// What is wrong with it besides, but would not keep it from being used.
    pub warnings: Vec<Warning>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.list.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:{problem}", self.file.display())?;
        }
        Ok(())
    }
}
