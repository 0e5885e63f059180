//! Rewrites addresses in JSON that programs read: `nextUri` of a coordinator, `trackingUrl` of YARN,
//! `consoleUrl` of Oozie.
//!
//! On the request path: while the body of such a response is streamed. Every string value at any depth
//! that is an `http://` or `https://` address as a whole is passed to an [`AddressMapper`] with the name
//! of its field. Everything else passes unchanged and without a copy; so do the rows of a query's
//! result, which are data even if they look like addresses.
//!
//! The scanner is our own because the result of a query can be gigabytes: `serde_json` would have to hold
//! the whole document to change one field of it.

use std::{collections::VecDeque, fmt};

use bytes::{Bytes, BytesMut};

use super::Rewriter;

/// The field of the outermost object with the array of rows.
const ROWS: &[u8] = b"data";
/// The field of the outermost object with the query's id.
const ID: &[u8] = b"id";
/// How an address begins, with the quote.
const START: &[u8] = b"\"http";
/// The longest field name that is passed to the mapper, with quotes.
const LONGEST_NAME: usize = 32;
/// The longest address that is rewritten, with quotes; a longer one passes unchanged.
const LONGEST: usize = 8 * 1024;
/// The deepest nesting of objects and arrays in which addresses are rewritten.
const DEPTH: usize = 1024;

/// Called with the name of a field (empty if it is too long, or if there is none) and an address; returns
/// the replacement, or `None` to keep the address.
pub(crate) type AddressMapper = Box<dyn Fn(&str, &str) -> Option<String> + Send>;

/// Rewrites one response, piece by piece.
pub struct Addresses {
    mapper: AddressMapper,
    at: At,
    /// The objects (`true`) and arrays around the current position, from the outermost one.
    around: Vec<bool>,
    /// The number of those beyond [`DEPTH`].
    deeper: usize,
    /// Whether the innermost object expects a field name next.
    name_next: bool,
    /// The field name that was read last.
    name: Vec<u8>,
    /// Whether the current position is in the rows.
    rows: bool,
    /// The start of a held string, if it was in an earlier piece.
    carry: BytesMut,
    id: Option<String>,
    out: VecDeque<Bytes>,
}

/// The state of the scanner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Between strings.
    Between,
    /// In a string that passes; `true` after a backslash.
    Text(bool),
    /// In a string that may have to be read or replaced; `true` after a backslash.
    Held(bool),
}

impl Addresses {
    /// Addresses are replaced by `mapper`.
    pub fn new(mapper: AddressMapper) -> Self {
        Self {
            mapper,
            at: At::Between,
            around: Vec::new(),
            deeper: 0,
            name_next: false,
            name: Vec::new(),
            rows: false,
            carry: BytesMut::new(),
            id: None,
            out: VecDeque::new(),
        }
    }

    /// The `id` of the outermost object, once it has been read. Returned once.
    pub fn take_id(&mut self) -> Option<String> {
        self.id.take()
    }

    /// Whether names and values are read here; rows are skipped.
    fn is_inspected(&self) -> bool {
        !self.rows && self.deeper == 0 && !self.around.is_empty()
    }

    /// Tracks the structure: one byte outside strings.
    fn track(&mut self, byte: u8) {
        match byte {
            b'{' | b'[' => {
                let outermost = self.around.as_slice() == [true];
                if outermost && byte == b'[' && self.name == ROWS {
                    self.rows = true;
                }
                if self.around.len() < DEPTH {
                    self.around.push(byte == b'{');
                } else {
                    self.deeper += 1;
                }
                self.name_next = byte == b'{';
                // strings in an array have the name of the array's field
                if byte == b'{' {
                    self.name.clear();
                }
            }
            b'}' | b']' => {
                if self.deeper > 0 {
                    self.deeper -= 1;
                } else {
                    self.around.pop();
                }
                if self.around.len() <= 1 {
                    self.rows = false;
                }
                self.name_next = false;
                self.name.clear();
            }
            b',' if self.around.last() == Some(&true) => {
                self.name_next = true;
                self.name.clear();
            }
            b':' => self.name_next = false,
            _ => {}
        }
    }

    /// Skips to the end of a string that passes.
    fn skip_text(&mut self, piece: &Bytes, mut at: usize, escaped: bool) -> usize {
        if escaped {
            self.at = At::Text(false);
            return at + 1;
        }
        match memchr::memchr2(b'"', b'\\', &piece[at..]) {
            None => piece.len(),
            Some(step) => {
                at += step;
                self.at = if piece[at] == b'"' {
                    At::Between
                } else {
                    At::Text(true)
                };
                at + 1
            }
        }
    }

    fn is_id(&self) -> bool {
        self.around.as_slice() == [true] && self.name == ID
    }

    /// Whether a held string that begins like this may have to be read.
    fn may_matter(&self, held: &[u8]) -> bool {
        let length = self.carry.len() + held.len();
        if self.name_next {
            return length < LONGEST_NAME;
        }
        if self.is_id() {
            return length < LONGEST;
        }
        // called for each byte, so only the last one has not been compared yet
        let begins = match (START.get(length - 1), held.last()) {
            (Some(wanted), Some(last)) => last.eq_ignore_ascii_case(wanted),
            (None, _) | (_, None) => true,
        };
        begins && length < LONGEST
    }

    /// A held string is complete. Returns its replacement, with quotes.
    fn close_held(&mut self, held: &[u8]) -> Option<Bytes> {
        let whole;
        let text = if self.carry.is_empty() {
            held
        } else {
            whole = [&self.carry, held].concat();
            &whole
        };
        if self.name_next {
            self.name.clear();
            self.name.extend_from_slice(&text[1..text.len() - 1]);
            return None;
        }
        let is_id = self.is_id();
        if !is_id && text.len() <= START.len() {
            return None;
        }
        // decodes escapes such as `\/`
        let value: String = serde_json::from_slice(text).ok()?;
        if is_id {
            self.id = Some(value);
            return None;
        }
        let name = std::str::from_utf8(&self.name).unwrap_or_default();
        let replacement = (self.mapper)(name, &value)?;
        serde_json::to_string(&replacement).ok().map(Bytes::from)
    }

    /// Passes on unchanged what was held in earlier pieces.
    fn release(&mut self) {
        if !self.carry.is_empty() {
            self.out.push_back(self.carry.split().freeze());
        }
    }

    fn pass(&mut self, piece: &Bytes, from: usize, to: usize) {
        if from < to {
            self.out.push_back(piece.slice(from..to));
        }
    }
}

impl Rewriter for Addresses {
    fn feed(&mut self, piece: &Bytes) {
        // start of what has not been put into `out` yet
        let mut from = 0;
        // start of the held string in this piece, after what is in `carry`
        let mut begin = 0;
        let mut at = 0;
        while at < piece.len() {
            match self.at {
                At::Between => {
                    if piece[at] == b'"' {
                        begin = at;
                        self.at = if self.is_inspected() {
                            At::Held(false)
                        } else {
                            At::Text(false)
                        };
                    } else {
                        self.track(piece[at]);
                    }
                    at += 1;
                }
                At::Text(escaped) => at = self.skip_text(piece, at, escaped),
                At::Held(escaped) => {
                    let byte = piece[at];
                    at += 1;
                    // includes the opening quote, unless that came in an earlier piece
                    let held = &piece[begin..at];
                    if byte == b'"' && !escaped {
                        self.at = At::Between;
                        if let Some(replaced) = self.close_held(held) {
                            self.carry.clear();
                            self.pass(piece, from, begin);
                            self.out.push_back(replaced);
                            from = at;
                        } else {
                            self.release();
                        }
                    } else {
                        let is_escape = byte == b'\\' && !escaped;
                        self.at = if self.may_matter(held) {
                            At::Held(is_escape)
                        } else {
                            self.release();
                            At::Text(is_escape)
                        };
                    }
                }
            }
        }
        if matches!(self.at, At::Held(_)) {
            self.pass(piece, from, begin);
            self.carry.extend_from_slice(&piece[begin..]);
        } else {
            self.pass(piece, from, piece.len());
        }
    }

    fn pop(&mut self) -> Option<Bytes> {
        self.out.pop_front()
    }

    fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    fn finish(&mut self) {
        self.release();
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Addresses").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
