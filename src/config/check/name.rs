//! Names of consoles and streams.

/// Lower-case letters, digits and `-`: names are used in logs, metrics and cookie names.
pub(super) fn is_name(text: &str) -> bool {
    text.bytes()
        .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// The index of an earlier section of the same name.
pub(super) fn earlier<S: AsRef<str>>(names: &[Option<S>], name: &str) -> Option<usize> {
    names
        .iter()
        .position(|n| n.as_ref().is_some_and(|n| n.as_ref() == name))
}
