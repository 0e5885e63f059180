//! The text format: Apache's combined log format, followed by console, backend, milliseconds, request
//! id, reason, ending, and the milliseconds until the head of the response.

use http::{HeaderMap, HeaderName, Version, header};

use super::{AccessEntry, Ending, scrub};

/// Appends a line, without its end.
pub(super) fn write(line: &mut Vec<u8>, entry: &AccessEntry<'_>, time: &str) {
    use std::io::Write;
    // writing to a Vec cannot fail
    let _written = write!(line, "{}", entry.client);
    line.extend_from_slice(b" - ");
    word(line, entry.user);
    line.extend_from_slice(b" [");
    line.extend_from_slice(time.as_bytes());
    line.extend_from_slice(b"] \"");
    request_line(line, entry);
    number(line, u64::from(entry.status.as_u16()));
    line.push(b' ');
    number(line, entry.bytes);
    line.extend_from_slice(b" \"");
    field(line, entry.headers, &header::REFERER);
    line.extend_from_slice(b"\" \"");
    field(line, entry.headers, &header::USER_AGENT);
    line.extend_from_slice(b"\" ");
    word(line, entry.console);
    line.push(b' ');
    word(line, entry.backend);
    line.push(b' ');
    millis(line, entry.duration);
    line.push(b' ');
    word(line, entry.request_id);
    line.push(b' ');
    word(line, entry.reason.unwrap_or_default());
    line.push(b' ');
    word(line, entry.end.map_or("", Ending::as_str));
    line.push(b' ');
    millis(line, entry.head);
}

/// The request line with its closing quote.
fn request_line(line: &mut Vec<u8>, entry: &AccessEntry<'_>) {
    let Some(method) = entry.method else {
        line.extend_from_slice(b"-\" ");
        return;
    };
    line.extend_from_slice(method.as_str().as_bytes());
    line.push(b' ');
    scrub::path(entry.path, |piece| escape(line, piece.as_bytes()));
    if let Some(query) = entry.query {
        line.push(b'?');
        scrub::query(query, |piece| escape(line, piece.as_bytes()));
    }
    line.extend_from_slice(version(entry.version));
}

fn version(version: Version) -> &'static [u8] {
    match version {
        Version::HTTP_10 => b" HTTP/1.0\" ",
        // Apache and nginx write `HTTP/2.0`, which parsers of this format expect.
        Version::HTTP_2 => b" HTTP/2.0\" ",
        // hyper accepts no other version.
        _ => b" HTTP/1.1\" ",
    }
}

fn field(line: &mut Vec<u8>, headers: &HeaderMap, name: &HeaderName) {
    match headers.get(name).map(|value| (value, value.to_str())) {
        None => line.push(b'-'),
        Some((_, Ok(text))) if *name == header::REFERER => {
            // The address of a page can contain a delegation token, which browsers repeat here.
            scrub::url(text, |piece| escape(line, piece.as_bytes()));
        }
        // Secrets cannot be removed reliably from a Referer that is not ASCII.
        Some((_, Err(_))) if *name == header::REFERER => line.push(b'-'),
        Some((value, _)) => escape(line, value.as_bytes()),
    }
}

/// A field without quotes: `-` if it is empty, and with spaces escaped.
pub(super) fn word(line: &mut Vec<u8>, word: &str) {
    if word.is_empty() {
        line.push(b'-');
    }
    // A space would shift all fields behind it, for example one in a user's name.
    for part in word.as_bytes().split_inclusive(|byte| *byte == b' ') {
        match part.strip_suffix(b" ") {
            Some(part) => {
                escape(line, part);
                line.extend_from_slice(b"\\x20");
            }
            None => escape(line, part),
        }
    }
}

/// Escapes quotes, backslashes and everything that is not printable ASCII, as Apache does: a client
/// must not be able to forge fields or lines.
fn escape(line: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'"' && *byte != b'\\';
    // Nearly all fields need no escapes and are copied as a whole.
    if bytes.iter().all(plain) {
        line.extend_from_slice(bytes);
        return;
    }
    for byte in bytes {
        if plain(byte) {
            line.push(*byte);
        } else {
            let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
            line.extend_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

fn number(line: &mut Vec<u8>, number: u64) {
    line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends milliseconds with three decimals.
pub(super) fn millis(line: &mut Vec<u8>, duration: std::time::Duration) {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    number(line, micros / 1000);
    let thousands = micros % 1000;
    line.push(b'.');
    for digit in [thousands / 100, thousands / 10 % 10, thousands % 10] {
        line.push(b'0' + u8::try_from(digit).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_field_cannot_forge_other_fields_or_lines() {
        let mut line = Vec::new();
        word(&mut line, "a b\"\n\\\u{e9}");
        assert_eq!(line, br"a\x20b\x22\x0a\x5c\xc3\xa9");
    }

    #[test]
    fn milliseconds_have_three_decimals() {
        let mut line = Vec::new();
        millis(&mut line, Duration::from_micros(1_000_007));
        assert_eq!(line, b"1000.007");
    }
}
