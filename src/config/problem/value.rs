//! Values that do not read as what they should be, in any section.

use std::{io, path::PathBuf};

/// What is wrong with a value, seen alone.
#[derive(Debug, thiserror::Error)]
pub enum ValueFault {
    /// The text is not TOML.
    #[error("not TOML: {}", source.message().trim_end())]
    Syntax {
        /// What the parser says.
        source: toml::de::Error,
    },
    /// A key that no version knows.
    #[error("unknown key")]
    UnknownKey {
        /// The known key that is nearest.
        near: Option<&'static str>,
        /// All known keys of the table.
        known: &'static [&'static str],
    },
    /// A key or word that the design promises and a later version knows.
    #[error("not in this version")]
    NotInThisVersion {
        /// What to use meanwhile.
        instead: &'static str,
    },
    /// A word of a closed list that a later version knows.
    #[error("`{word}` is not in this version")]
    WordLater {
        /// As written.
        word: String,
        /// All words of this version.
        known: Vec<&'static str>,
    },
    /// A required key is absent.
    #[error("missing")]
    Missing {
        /// What it says, with an example.
        cure: &'static str,
    },
    /// Another TOML type.
    #[error("this is {found}")]
    WrongType {
        /// What is wanted, with article.
        expected: &'static str,
        /// What is there, with article.
        found: &'static str,
    },
    /// A word that is none of a closed list.
    #[error("`{word}` is not known here")]
    UnknownWord {
        /// As written.
        word: String,
        /// The word that is nearest.
        near: Option<&'static str>,
        /// All words.
        known: Vec<&'static str>,
    },
    /// An empty string or list.
    #[error("empty")]
    Empty {
        /// What should stand there.
        cure: &'static str,
    },
    /// The same value twice in a list.
    #[error("`{value}` stands here twice")]
    Twice {
        /// The value.
        value: String,
    },
    /// Not a duration.
    #[error("`{text}` is no duration")]
    Duration {
        /// As written.
        text: String,
    },
    /// Not a size.
    #[error("`{text}` is no size")]
    Size {
        /// As written.
        text: String,
    },
    /// A number, duration or size outside of its bounds.
    #[error("out of range")]
    OutOfRange {
        /// The least, as it would be written.
        least: String,
        /// The most.
        most: String,
    },
    /// Not an address with port.
    #[error("`{text}` is no address with a port")]
    Address {
        /// As written.
        text: String,
    },
    /// Not a network.
    #[error("`{text}` is no network")]
    Network {
        /// As written.
        text: String,
    },
    /// Not a `tracing` filter.
    #[error("`{text}` is no log filter: {source}")]
    LogFilter {
        /// As written.
        text: String,
        /// What `tracing` says.
        source: tracing_subscriber::filter::ParseError,
    },
    /// A file that is needed and cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that is written to later and cannot be.
    #[error("cannot write {}: {source}", file.display())]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A secret that everybody may write, and so choose.
    #[error("{} can be written by every user", file.display())]
    WorldWritable {
        /// The file.
        file: PathBuf,
    },
    /// The session secret is too short to sign with.
    #[error("{} has {found} bytes; a secret has at least {least}", file.display())]
    ShortSecret {
        /// The file.
        file: PathBuf,
        /// Its bytes.
        found: usize,
        /// Bytes wanted.
        least: usize,
    },
}

impl ValueFault {
    /// What to do about it.
    pub fn cure(&self) -> String {
        match self {
            Self::Syntax { .. } => "Correct the line; the file is TOML 1.0, see toml.io".into(),
            Self::UnknownKey { near, known } => meant(*near, known),
            Self::NotInThisVersion { instead } => (*instead).into(),
            Self::WordLater { known, .. } => meant(None, known),
            Self::Missing { cure } | Self::Empty { cure } => (*cure).into(),
            Self::WrongType { expected, .. } => format!("Write {expected}"),
            Self::UnknownWord { near, known, .. } => meant(*near, known),
            Self::Twice { .. } => "Remove one".into(),
            Self::Duration { .. } => {
                "Write a whole number with ms, s, m, h or d, such as \"500ms\" or \"10h\"".into()
            }
            Self::Size { .. } => {
                "Write a whole number with B, KiB, MiB or GiB, such as \"64KiB\"".into()
            }
            Self::OutOfRange { least, most } => format!("Write {least} to {most}"),
            Self::Address { .. } => {
                "Write an IP address and a port, such as \"0.0.0.0:50070\" or \"[::]:50070\"".into()
            }
            Self::Network { .. } => {
                "Write an address or a network, such as \"10.0.0.0/8\" or \"2001:db8::1\"".into()
            }
            Self::LogFilter { .. } => {
                "Write a level (error, warn, info, debug, trace) or a list such as \
                 \"info,spnegate::auth=debug\""
                    .into()
            }
            Self::Unreadable { file, source } => reading(file, source),
            Self::Unwritable { file, .. } => format!(
                "Create its directory and let the gateway's user write there, or name another file \
                 than {}",
                file.display()
            ),
            Self::WorldWritable { file } => format!("`chmod 640 {}`", file.display()),
            Self::ShortSecret { file, .. } => format!(
                "Make one with `head -c 32 /dev/urandom > {}` and copy it to every replica",
                file.display()
            ),
        }
    }
}

fn meant(near: Option<&'static str>, known: &[&'static str]) -> String {
    let known = known.join(", ");
    match near {
        Some(near) => format!("Did you mean `{near}`? Known here: {known}"),
        None => format!("Known here: {known}"),
    }
}

fn reading(file: &std::path::Path, source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::NotFound => {
            format!("Create {} or correct the path", file.display())
        }
        io::ErrorKind::PermissionDenied => format!(
            "Let the gateway's user read it: `chgrp spnegate {0} && chmod 640 {0}`",
            file.display()
        ),
        // a foreign enum that grows: all other kinds are named by the message itself
        _ => format!("Name a readable file instead of {}", file.display()),
    }
}
