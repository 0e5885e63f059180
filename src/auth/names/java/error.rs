//! Why a pattern or a replacement of a rule is refused.

/// Why a pattern or replacement of a rule is refused.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// The engine does not take it (it is too large, or a look-behind of several lengths).
    #[error("the regular expression does not compile: {0}")]
    Syntax(#[from] Box<fancy_regex::Error>),
    /// It is malformed, or Java gives it a meaning that nobody means (`a**`).
    #[error("the regular expression cannot be used: {0}")]
    Malformed(&'static str),
    /// A group that is not closed.
    #[error("the regular expression cannot be used: a group has no closing `)`")]
    OpenGroup,
    /// `(?…` that is not known here.
    #[error("`({0}` is not supported in regular expressions here: write it out")]
    Flags(Box<str>),
    /// A construct of Java's that is not known here.
    #[error("`{0}` is not supported in regular expressions here: write it out")]
    Unsupported(Box<str>),
    /// A construct that versions of Java read differently.
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
