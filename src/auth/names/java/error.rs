//! The errors of patterns and replacements.

/// Why a pattern or replacement of a rule is refused.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// The engine refuses it (it is too large, or has a look-behind of several lengths).
    #[error("the regular expression does not compile: {0}")]
    Syntax(#[from] Box<fancy_regex::Error>),
    /// It is malformed, or has a meaning in Java that is never intended (`a**`).
    #[error("the regular expression cannot be used: {0}")]
    Malformed(&'static str),
    /// A group that is not closed.
    #[error("the regular expression cannot be used: a group has no closing `)`")]
    OpenGroup,
    /// A construct `(?…` that is not supported.
    #[error("`({0}` is not supported in regular expressions here: write it out")]
    Flags(Box<str>),
    /// A construct of Java that is not supported.
    #[error("`{0}` is not supported in regular expressions here: write it out")]
    Unsupported(Box<str>),
    /// A construct that has different meanings in different versions of Java.
    #[error("versions of Java differ in how they read {0}: write it in another way")]
    Differs(&'static str),
    /// `$n` for a group that the pattern does not have, or `$` alone.
    #[error(
        "`$` in a replacement needs the number of a group of the pattern; write \\$ for a dollar"
    )]
    Group,
    /// A backslash at the end of the replacement.
    #[error("the replacement ends in a backslash")]
    Backslash,
}

impl PatternError {
    /// For a construct that begins with a backslash.
    pub(super) fn escape(what: impl std::fmt::Display) -> Self {
        Self::Unsupported(format!("\\{what}").into())
    }
}
