//! The heads of one connection's answers.

use bytes::{Buf, Bytes, BytesMut};
use http::StatusCode;

use super::{Head, Http1Error, MAX_HEAD, head::read};

/// A larger head is not remembered; in bytes.
const MEMORABLE: usize = 1024;

/// Reads one head after the other.
///
/// What a server says to requests of one kind differs in its `Date`, so once a second; to read such
/// a head was a fifth of the gateway's instructions for a `GETFILESTATUS`. One that comes for the
/// third time in a row is not read again: the same bytes mean the same.
#[derive(Debug, Default)]
pub struct Heads {
    /// Bytes of the input in which no head ends.
    scanned: usize,
    /// What came last, and whether that was the answer to a HEAD.
    last: Vec<u8>,
    to_head: bool,
    /// What that means, where it came twice.
    meaning: Option<Box<Head>>,
}

impl Heads {
    /// Takes an answer's head off the input, if all of it is there; interim answers (1xx) are passed
    /// over.
    pub fn take(
        &mut self,
        input: &mut BytesMut,
        to_head: bool,
    ) -> Result<Option<Head>, Http1Error> {
        if let Some(head) = self.again(input, to_head) {
            return Ok(Some(head));
        }
        loop {
            if self.scanned == 0 {
                // empty lines may be left over from the answer before (RFC 9112 section 2.2)
                let blanks = input.iter().position(|byte| !b"\r\n".contains(byte));
                input.advance(blanks.unwrap_or(input.len()));
            } else if !has_empty_line(input, &mut self.scanned) {
                if input.len() > MAX_HEAD {
                    return Err(Http1Error::LargeHead);
                }
                return Ok(None);
            }
            if input.is_empty() {
                return Ok(None);
            }
            let Some((head, bytes)) = read(input, to_head)? else {
                // who sends its head byte by byte has it parsed twice, not a thousand times
                self.scanned = self.scanned.max(1);
                continue;
            };
            self.scanned = 0;
            let status = head.parts.status;
            if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                self.remember(&bytes, to_head)?;
                return Ok(Some(head));
            }
        }
    }

    fn again(&mut self, input: &mut BytesMut, to_head: bool) -> Option<Head> {
        let meaning = self.meaning.as_deref()?;
        if self.to_head != to_head || !input.starts_with(&self.last) {
            return None;
        }
        let head = meaning.clone();
        input.advance(self.last.len());
        self.scanned = 0;
        Some(head)
    }

    fn remember(&mut self, bytes: &Bytes, to_head: bool) -> Result<(), Http1Error> {
        if self.to_head == to_head && self.last == *bytes {
            // from a copy of its own: it must not keep the input's buffer
            let meaning = read(&mut BytesMut::from(&**bytes), to_head)?;
            self.meaning = meaning.map(|(head, _)| Box::new(head));
            return Ok(());
        }
        self.meaning = None;
        self.last.clear();
        if bytes.len() <= MEMORABLE {
            self.last.extend_from_slice(bytes);
            self.to_head = to_head;
        }
        Ok(())
    }
}

/// Looks for an empty line behind what was `scanned`, and goes on behind that the next time.
fn has_empty_line(input: &[u8], scanned: &mut usize) -> bool {
    for at in memchr::memchr_iter(b'\n', &input[*scanned..]) {
        let behind = *scanned + at + 1;
        match input[behind..] {
            [b'\n', ..] | [b'\r', b'\n', ..] => {
                *scanned = behind;
                return true;
            }
            // what follows is still to come: look here again
            [] | [b'\r'] => {
                *scanned = behind - 1;
                return false;
            }
            _ => {}
        }
    }
    *scanned = input.len();
    false
}
