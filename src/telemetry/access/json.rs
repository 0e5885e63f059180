//! The JSON format: one object a line, with the phases' times.

use std::fmt::Display;

use http::Method;

use super::{Ending, Entry, clock::Clock, combined, scrub};

/// Appends a line, without its end.
pub(super) fn write(line: &mut Vec<u8>, entry: &Entry<'_>, clock: &Clock) {
    time(line, clock);
    text(line, "request_id", entry.request_id);
    shown(line, "client", &entry.client);
    text(line, "user", entry.user);
    text(line, "console", entry.console);
    text(line, "backend", entry.backend);
    text(line, "method", entry.method.map_or("", Method::as_str));
    path(line, entry);
    key(line, "status");
    combined::number(line, u64::from(entry.status.as_u16()));
    key(line, "bytes");
    combined::number(line, entry.bytes);
    for (name, duration) in [
        ("duration_ms", entry.duration),
        ("head_ms", entry.head),
        ("auth_ms", entry.auth),
        ("backend_ms", entry.backend_wait),
    ] {
        key(line, name);
        combined::millis(line, duration);
    }
    text(line, "reason", entry.reason.unwrap_or_default());
    text(line, "end", entry.end.map_or("", Ending::as_str));
    line.push(b'}');
}

/// Begins an object with its time.
pub(super) fn time(line: &mut Vec<u8>, clock: &Clock) {
    let (second, millis) = clock.iso();
    line.extend_from_slice(b"{\"time\":\"");
    line.extend_from_slice(second.as_bytes());
    line.push(b'.');
    for digit in [millis / 100, millis / 10 % 10, millis % 10] {
        line.push(b'0' + u8::try_from(digit).unwrap_or_default());
    }
    line.extend_from_slice(b"Z\"");
}

/// Begins a member.
pub(super) fn key(line: &mut Vec<u8>, name: &str) {
    line.extend_from_slice(b",\"");
    line.extend_from_slice(name.as_bytes());
    line.extend_from_slice(b"\":");
}

/// A string, or `null` where it is empty.
pub(super) fn text(line: &mut Vec<u8>, name: &str, value: &str) {
    key(line, name);
    if value.is_empty() {
        line.extend_from_slice(b"null");
    } else {
        line.push(b'"');
        escape(line, value);
        line.push(b'"');
    }
}

/// A value that needs no escapes.
pub(super) fn shown(line: &mut Vec<u8>, name: &str, value: &impl Display) {
    use std::io::Write;
    key(line, name);
    // writing to a Vec cannot fail, and addresses need no escapes
    let _written = write!(line, "\"{value}\"");
}

fn path(line: &mut Vec<u8>, entry: &Entry<'_>) {
    key(line, "path");
    if entry.method.is_none() {
        line.extend_from_slice(b"null");
        return;
    }
    line.push(b'"');
    scrub::path(entry.path, |piece| escape(line, piece));
    if let Some(query) = entry.query {
        line.push(b'?');
        scrub::query(query, |piece| escape(line, piece));
    }
    line.push(b'"');
}

/// RFC 8259 section 7.
fn escape(line: &mut Vec<u8>, text: &str) {
    let plain = |byte: &u8| *byte >= b' ' && *byte != b'"' && *byte != b'\\';
    if text.as_bytes().iter().all(plain) {
        line.extend_from_slice(text.as_bytes());
        return;
    }
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
            0..b' ' => {
                use std::io::Write;
                // writing to a Vec cannot fail
                let _written = write!(line, "\\u{byte:04x}");
            }
            _ => line.push(byte),
        }
    }
}
