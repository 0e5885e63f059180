//! Values that are invalid by themselves, in any section.

use std::{io, path::PathBuf};

#[derive(Debug, thiserror::Error)]
pub(in crate::config) enum ValueProblem {
    #[error("invalid TOML: {}", source.message().trim_end())]
    Syntax { source: toml::de::Error },
    #[error("unknown key")]
    UnknownKey {
        /// The known key that was probably meant.
        near: Option<&'static str>,
        known: &'static [&'static str],
    },
    /// A key that is documented for a later version.
    #[error("not supported in this version")]
    KeyNotYet { instead: &'static str },
    /// A value of a closed list that is documented for a later version.
    #[error("`{word}` is not supported in this version")]
    WordNotYet {
        word: String,
        known: Vec<&'static str>,
    },
    #[error("missing")]
    Missing { cure: &'static str },
    #[error("wrong type: {found}")]
    WrongType {
        expected: &'static str,
        found: &'static str,
    },
    /// A string that is not in a closed list.
    #[error("invalid value `{word}`")]
    UnknownWord {
        word: String,
        /// The word that was probably meant.
        near: Option<&'static str>,
        known: Vec<&'static str>,
    },
    /// An empty string or list.
    #[error("empty")]
    Empty { cure: &'static str },
    #[error("duplicate value `{value}`")]
    Twice { value: String },
    #[error("invalid duration `{text}`")]
    Duration { text: String },
    #[error("invalid size `{text}`")]
    Size { text: String },
    /// A number, duration or size; the bounds are shown in the notation of the file.
    #[error("out of range")]
    OutOfRange { least: String, most: String },
    #[error("invalid listen address `{text}`")]
    Address { text: String },
    #[error("invalid network `{text}`")]
    Network { text: String },
    #[error("invalid log filter `{text}`: {source}")]
    LogFilter {
        text: String,
        source: tracing_subscriber::filter::ParseError,
    },
    #[error("cannot read {}: {source}", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error("cannot write {}: {source}", file.display())]
    Unwritable { file: PathBuf, source: io::Error },
    /// A secret that every local user could replace with one that they know.
    #[error("{} is writable by every user", file.display())]
    WorldWritable { file: PathBuf },
    #[error("{} has only {found} bytes; a secret needs at least {least}", file.display())]
    ShortSecret {
        file: PathBuf,
        found: usize,
        least: usize,
    },
}

impl ValueProblem {
    pub(super) fn cure(&self) -> String {
        match self {
            Self::Syntax { .. } => {
                "Correct the line; the format is described at https://toml.io".into()
            }
            Self::UnknownKey { near, known } => suggestion(*near, known),
            Self::KeyNotYet { instead } => (*instead).into(),
            Self::WordNotYet { known, .. } => suggestion(None, known),
            Self::Missing { cure } | Self::Empty { cure } => (*cure).into(),
            Self::WrongType { expected, .. } => format!("Write {expected}"),
            Self::UnknownWord { near, known, .. } => suggestion(*near, known),
            Self::Twice { .. } => "Remove one of them".into(),
            Self::Duration { .. } => {
                "Write a whole number with a unit (ms, s, m, h, d), such as \"500ms\" or \"10h\""
                    .into()
            }
            Self::Size { .. } => {
                "Write a whole number with a unit (B, KiB, MiB, GiB), such as \"64KiB\"".into()
            }
            Self::OutOfRange { least, most } => format!("Write a value from {least} to {most}"),
            Self::Address { .. } => {
                "Write an IP address and a port, such as \"0.0.0.0:50070\" or \"[::]:50070\"".into()
            }
            Self::Network { .. } => {
                "Write an IP address or a network, such as \"10.0.0.0/8\" or \"2001:db8::1\"".into()
            }
            Self::LogFilter { .. } => {
                "Write a level (error, warn, info, debug, trace) or a list such as \
                 \"info,spnegate::auth=debug\""
                    .into()
            }
            Self::Unreadable { file, source } => cure_for_reading(file, source),
            Self::Unwritable { file, .. } => format!(
                "Create its directory and let the gateway's user write to it, or choose another file \
                 than {}",
                file.display()
            ),
            Self::WorldWritable { file } => format!("Run `chmod 640 {}`", file.display()),
            Self::ShortSecret { file, .. } => format!(
                "Create one with `head -c 32 /dev/urandom > {}` and copy it to every replica",
                file.display()
            ),
        }
    }
}

fn suggestion(near: Option<&'static str>, known: &[&'static str]) -> String {
    let known = known.join(", ");
    match near {
        Some(near) => format!("Did you mean `{near}`? Valid: {known}"),
        None => format!("Valid: {known}"),
    }
}

fn cure_for_reading(file: &std::path::Path, source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::NotFound => {
            format!("Create {} or correct the path", file.display())
        }
        io::ErrorKind::PermissionDenied => format!(
            "Let the gateway's user read it: `chgrp spnegate {0} && chmod 640 {0}`",
            file.display()
        ),
        // io::ErrorKind is non-exhaustive; the message already has the reason.
        _ => format!(
            "Write the path of a readable file instead of {}",
            file.display()
        ),
    }
}
