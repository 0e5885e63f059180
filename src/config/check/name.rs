//! Names of consoles and streams.

/// Whether it may stand in logs, metrics and cookies: lower-case letters, digits and `-`.
pub(super) fn is_name(text: &str) -> bool {
    text.bytes()
        .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// The place of an earlier one of the same name.
pub(super) fn earlier<S: AsRef<str>>(names: &[Option<S>], name: &str) -> Option<usize> {
    names
        .iter()
        .position(|n| n.as_ref().is_some_and(|n| n.as_ref() == name))
}
