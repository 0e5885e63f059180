//! The addresses in a coordinator's answer: `nextUri`, `infoUri` and `partialCancelUri` lead back to
//! the gateway.
//!
//! In a request's way: on the body of a query's answers as it streams. A coordinator writes them from
//! the `Host` it is asked by, and `partialCancelUri` always as its internal address; all of them are
//! its own, so whatever server they name, path and query go behind the gateway's origin. Only the
//! three fields of the outermost object are touched, wherever they stand; result rows pass by as
//! they came, without being copied.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::url::Link;

/// The fields that hold addresses.
const ADDRESSES: [&[u8]; 3] = [b"\"nextUri\"", b"\"infoUri\"", b"\"partialCancelUri\""];
/// The query's id.
const ID: &[u8] = b"\"id\"";
/// The longest field name or address that is looked at, with its quotes; what is longer passes.
const LONGEST: usize = 8 * 1024;

/// Rewrites one answer, piece by piece.
#[derive(Debug)]
pub struct Addresses {
    /// `https://proxy.example.com:7778`
    origin: String,
    at: At,
    depth: u32,
    /// Whether the outermost object expects a field's name next.
    name_next: bool,
    /// What was read of a string that may have to be changed.
    held: BytesMut,
    field: Field,
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
    /// In a string that is held back; after a backslash?
    Held(bool),
}

/// What the name that was read last stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Other,
    Address,
    Id,
}

impl Addresses {
    /// Addresses will lead to `origin`.
    pub fn new(origin: String) -> Self {
        Self {
            origin,
            at: At::Between,
            depth: 0,
            name_next: false,
            held: BytesMut::new(),
            field: Field::Other,
            id: None,
            out: VecDeque::new(),
        }
    }

    /// The query's id, once it has been read; told once.
    pub fn take_id(&mut self) -> Option<String> {
        self.id.take()
    }

    /// Takes the next piece of the body.
    pub fn feed(&mut self, piece: &Bytes) {
        let mut kept = 0;
        let mut at = 0;
        while at < piece.len() {
            match self.at {
                At::Between => {
                    // everything up to the next byte that means something passes
                    let byte = piece[at];
                    at += 1;
                    match byte {
                        b'"' if self.is_looked_at() => {
                            self.pass(piece, kept, at - 1);
                            kept = at;
                            self.held.extend_from_slice(b"\"");
                            self.at = At::Held(false);
                        }
                        b'"' => self.at = At::Text(false),
                        _ => self.mark(byte),
                    }
                }
                At::Text(escaped) => at = self.skip_text(piece, at, escaped),
                At::Held(escaped) => {
                    let byte = piece[at];
                    at += 1;
                    kept = at;
                    self.held.extend_from_slice(&[byte]);
                    match byte {
                        b'"' if !escaped => self.close_held(),
                        _ if self.held.len() >= LONGEST => {
                            self.release();
                            self.at = At::Text(byte == b'\\' && !escaped);
                        }
                        _ => self.at = At::Held(byte == b'\\' && !escaped),
                    }
                }
            }
        }
        self.pass(piece, kept, piece.len());
    }

    /// What is ready to be sent.
    pub fn pop(&mut self) -> Option<Bytes> {
        self.out.pop_front()
    }

    /// The body has ended: what is held back is no whole string and goes as it came.
    pub fn finish(&mut self) {
        self.release();
    }

    /// Names of the outermost object are looked at, and the values of those that count.
    fn is_looked_at(&self) -> bool {
        self.depth == 1 && (self.name_next || self.field != Field::Other)
    }

    /// A byte outside strings.
    fn mark(&mut self, byte: u8) {
        match byte {
            b'{' | b'[' => {
                self.depth = self.depth.saturating_add(1);
                self.name_next = self.depth == 1 && byte == b'{';
                if self.depth > 1 {
                    self.field = Field::Other;
                }
            }
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b',' if self.depth == 1 => {
                self.name_next = true;
                self.field = Field::Other;
            }
            b':' if self.depth == 1 => self.name_next = false,
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

    /// A held string is whole.
    fn close_held(&mut self) {
        self.at = At::Between;
        if self.name_next {
            self.field = match &self.held[..] {
                name if ADDRESSES.contains(&name) => Field::Address,
                ID => Field::Id,
                _ => Field::Other,
            };
            self.release();
            return;
        }
        let text = serde_json::from_slice::<String>(&self.held).ok();
        match (self.field, text) {
            (Field::Address, Some(address)) => {
                if let Some(led_back) = self.led_back(&address) {
                    self.held.clear();
                    self.out.push_back(Bytes::from(led_back));
                }
            }
            (Field::Id, Some(id)) => self.id = Some(id),
            (Field::Address | Field::Id | Field::Other, _) => {}
        }
        self.field = Field::Other;
        self.release();
    }

    /// An address behind the gateway's origin, as JSON; `None`: it names no server.
    fn led_back(&self, address: &str) -> Option<String> {
        let link = Link::split(address)?;
        let slash = if link.rest.starts_with('/') { "" } else { "/" };
        let address = format!("{}{slash}{}", self.origin, link.rest);
        serde_json::to_string(&address).ok()
    }

    fn release(&mut self) {
        if !self.held.is_empty() {
            self.out.push_back(self.held.split().freeze());
        }
    }

    fn pass(&mut self, piece: &Bytes, from: usize, to: usize) {
        if from < to {
            self.out.push_back(piece.slice(from..to));
        }
    }
}

#[cfg(test)]
mod tests;
