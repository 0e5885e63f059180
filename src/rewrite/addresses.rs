//! The addresses in the JSON that programs read: a coordinator's `nextUri`, YARN's `trackingUrl`,
//! Oozie's `consoleUrl`.
//!
//! In a request's way: on the body of such answers as it streams. Every string value, however deep,
//! that is an `http://` or `https://` address as a whole is shown to the caller with the name of its
//! field, and replaced where the caller says so. What is not replaced passes as it came, without being
//! copied; so do the rows of a query's result, which are data, whatever they look like.

use std::{collections::VecDeque, fmt};

use bytes::{Bytes, BytesMut};

/// The field of the outermost object whose array holds rows.
const ROWS: &[u8] = b"data";
/// The field of the outermost object with the query's id.
const ID: &[u8] = b"id";
/// How an address begins, with its quote.
const START: &[u8] = b"\"http";
/// The longest field name that is told to the caller, with its quotes.
const LONGEST_NAME: usize = 32;
/// The longest address that is looked at, with its quotes; what is longer passes.
const LONGEST: usize = 8 * 1024;
/// Objects and arrays in each other; what is deeper passes.
const DEPTH: usize = 1024;

/// What becomes of an address: given the name of its field (empty where that is too long, or where
/// there is none) and the address, what is to stand in its place; `None`: it stays.
pub(crate) type AddressMapper = Box<dyn Fn(&str, &str) -> Option<String> + Send>;

/// Rewrites one answer, piece by piece.
pub struct Addresses {
    lead: AddressMapper,
    at: At,
    /// The objects (`true`) and arrays around the present place, from the outermost one.
    around: Vec<bool>,
    /// Those beyond [`DEPTH`].
    deeper: usize,
    /// Whether the innermost object expects a field's name next.
    name_next: bool,
    /// The field's name that was read last.
    name: Vec<u8>,
    /// Whether the present place is in the rows.
    rows: bool,
    /// The start of a held string, where it came in an earlier piece.
    carry: BytesMut,
    id: Option<String>,
    out: VecDeque<Bytes>,
}

/// Where the text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Between strings.
    Between,
    /// In a string that passes; after a backslash?
    Text(bool),
    /// In a string that may have to be changed, or read; after a backslash?
    Held(bool),
}

impl Addresses {
    /// Addresses will be led by `lead`.
    pub fn new(lead: AddressMapper) -> Self {
        Self {
            lead,
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

    /// The `id` of the outermost object, once it has been read; told once.
    pub fn take_id(&mut self) -> Option<String> {
        self.id.take()
    }

    /// Takes the next piece of the body.
    pub fn feed(&mut self, piece: &Bytes) {
        // what is not told yet begins here
        let mut from = 0;
        // and the string that is held here, after what stands in `carry`
        let mut begin = 0;
        let mut at = 0;
        while at < piece.len() {
            match self.at {
                At::Between => {
                    if piece[at] == b'"' {
                        begin = at;
                        self.at = if self.is_looked_at() {
                            At::Held(false)
                        } else {
                            At::Text(false)
                        };
                    } else {
                        self.mark(piece[at]);
                    }
                    at += 1;
                }
                At::Text(escaped) => at = self.skip_text(piece, at, escaped),
                At::Held(escaped) => {
                    let byte = piece[at];
                    at += 1;
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

    /// What is ready to be sent.
    pub fn pop(&mut self) -> Option<Bytes> {
        self.out.pop_front()
    }

    /// Whether nothing is ready.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// The body has ended: what is held back is no whole string and goes as it came.
    pub fn finish(&mut self) {
        self.release();
    }

    /// Names are read, and values looked at, but for those of rows.
    fn is_looked_at(&self) -> bool {
        !self.rows && self.deeper == 0 && !self.around.is_empty()
    }

    /// A byte outside strings.
    fn mark(&mut self, byte: u8) {
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
                // the strings of an array are named by its field
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

    /// Goes to the end of a string that passes.
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

    /// Whether a held string, of which this much is known, may be one to be read.
    fn may_matter(&self, held: &[u8]) -> bool {
        let length = self.carry.len() + held.len();
        if self.name_next {
            return length < LONGEST_NAME;
        }
        if self.is_id() {
            return length < LONGEST;
        }
        // byte by byte as they come, so that only the last one is new
        let begins = match (START.get(length - 1), held.last()) {
            (Some(wanted), Some(last)) => last.eq_ignore_ascii_case(wanted),
            (None, _) | (_, None) => true,
        };
        begins && length < LONGEST
    }

    /// A held string is whole; what is to stand in its place, with quotes.
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
        let value: String = serde_json::from_slice(text).ok()?;
        if is_id {
            self.id = Some(value);
            return None;
        }
        let name = std::str::from_utf8(&self.name).unwrap_or_default();
        let led = (self.lead)(name, &value)?;
        serde_json::to_string(&led).ok().map(Bytes::from)
    }

    /// What was held in earlier pieces goes as it came.
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

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Addresses").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
