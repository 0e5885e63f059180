//! Checks a form while it is streamed.
//!
//! A parameter's name is held until its end has come, and passed on only if it is not a forbidden
//! one; values are passed on as they come. So are the parts of a name that is so long that it cannot
//! be a forbidden one any more: a JSON document that curl sends in its default type is one long name.

use bytes::{Bytes, BytesMut};

use super::{
    super::query::{self, QueryError},
    FormError,
};

/// Names up to this size, in bytes, are checked as a whole; longer ones in parts of about this size.
const PART: usize = 4 * 1024;
/// What is held of a name at most.
const MAX_PART: usize = 16 * 1024;
/// A name is divided only behind this many bytes without an escape or `?`: a byte that is escaped four
/// times over, which is as deep as [`query`] reads, has at most 81.
const CALM: usize = 96;
/// More letters than any forbidden name has.
pub(super) const LETTERS: usize = 24;
/// Stands for the part of a long name that has been passed on: with it before them, no letters are a
/// forbidden name.
const GONE: [u8; LETTERS] = [b'x'; LETTERS];

/// One form on its way, as far as it has come.
#[derive(Debug)]
pub struct FormScanner {
    forbidden: &'static [&'static str],
    /// Bytes that have come and have not been passed on.
    held: BytesMut,
    /// How much of `held` has been read.
    at: usize,
    /// Start of the name that is being read, in `held`; `None` in a value.
    name: Option<usize>,
    /// Whether the start of that name has been passed on.
    divided: bool,
    /// End of the last escape or `?` in `held`, or the start of the name.
    calm: usize,
}

impl FormScanner {
    /// Reads a form that must not have these parameters (lower case).
    pub fn new(forbidden: &'static [&'static str]) -> Self {
        Self {
            forbidden,
            held: BytesMut::new(),
            at: 0,
            name: Some(0),
            divided: false,
            calm: 0,
        }
    }

    /// Takes what has come, and gives what may go on.
    pub fn feed(&mut self, data: &[u8]) -> Result<Bytes, FormError> {
        self.held.extend_from_slice(data);
        while let Some(unit) = self.unit()? {
            match (unit, self.name) {
                ([b'&' | b';', ..], None) => self.begin_name(self.at + 1),
                ([b'&' | b';', ..], Some(start)) => {
                    self.judge(start, self.at)?;
                    self.begin_name(self.at + 1);
                }
                ([b'=', ..], Some(start)) => {
                    self.judge(start, self.at)?;
                    self.name = None;
                }
                (unit, Some(start)) => {
                    self.divide(start, unit)?;
                    if matches!(unit[0], b'%' | b'?') {
                        self.calm = self.at + length(unit);
                    }
                }
                (_, None) => {}
            }
            self.at += length(unit);
        }
        let judged = self.name.unwrap_or(self.at);
        self.at -= judged;
        self.calm = self.calm.saturating_sub(judged);
        self.name = self.name.map(|_| 0);
        Ok(self.held.split_to(judged).freeze())
    }

    /// The form has ended; gives what is left of it.
    pub fn finish(&mut self) -> Result<Bytes, FormError> {
        if self.at < self.held.len() {
            return Err(FormError::Ambiguous(QueryError::Escape));
        }
        if let Some(start) = self.name {
            self.judge(start, self.at)?;
        }
        Ok(std::mem::take(&mut self.held).freeze())
    }

    /// What is held, in bytes.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// The next byte or escape, as three bytes of which only the first counts if it is no `%`;
    /// `None` where it has not come.
    fn unit(&self) -> Result<Option<[u8; 3]>, FormError> {
        match &self.held[self.at..] {
            [] => Ok(None),
            [b'%', rest @ ..] => match rest {
                [] => Ok(None),
                [a] if a.is_ascii_hexdigit() => Ok(None),
                [b'0', b'0', ..] => Err(FormError::Ambiguous(QueryError::Nul)),
                [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
                    Ok(Some([b'%', *a, *b]))
                }
                [..] => Err(FormError::Ambiguous(QueryError::Escape)),
            },
            [0, ..] => Err(FormError::Ambiguous(QueryError::Nul)),
            [byte, ..] => Ok(Some([*byte, 0, 0])),
        }
    }

    fn begin_name(&mut self, at: usize) {
        self.name = Some(at);
        self.divided = false;
        self.calm = at;
    }

    /// Judges a name, or what has not gone of it.
    fn judge(&self, start: usize, end: usize) -> Result<(), FormError> {
        let mut gone = self.divided;
        // a parser that takes the form for a URL starts again at `?`
        for part in self.held[start..end].split(|byte| *byte == b'?') {
            let judged = if std::mem::take(&mut gone) {
                query::name_is_forbidden(&[&GONE, part].concat(), self.forbidden)
            } else {
                query::name_is_forbidden(part, self.forbidden)
            };
            match judged {
                Ok(false) => {}
                Ok(true) | Err(QueryError::Hidden) => return Err(FormError::Identity),
                Err(error @ (QueryError::Escape | QueryError::Nul | QueryError::Encoding)) => {
                    return Err(FormError::Ambiguous(error));
                }
            }
        }
        Ok(())
    }

    /// Lets go of the start of a name that has become long, where the next byte begins a character.
    fn divide(&mut self, start: usize, next: [u8; 3]) -> Result<(), FormError> {
        let long = self.at - start;
        if long < PART {
            return Ok(());
        }
        let calm = &self.held[self.calm.max(start)..self.at];
        let begins = next[0] < 0x80 || next[0] >= 0xc0;
        if begins && calm.len() >= CALM && has_letters(&calm[calm.len() - CALM..]) {
            self.judge(start, self.at)?;
            self.name = Some(self.at);
            self.divided = true;
            self.calm = self.at;
        } else if long >= MAX_PART {
            return Err(FormError::LongName);
        }
        Ok(())
    }
}

fn length(unit: [u8; 3]) -> usize {
    if unit[0] == b'%' { 3 } else { 1 }
}

/// Whether these bytes have more letters than a forbidden name, whatever parsers leave out.
fn has_letters(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let letters = text
        .chars()
        .filter(|&c| c != '+' && c != char::REPLACEMENT_CHARACTER && !query::is_ignorable(c));
    letters.count() >= LETTERS
}
