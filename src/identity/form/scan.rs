//! Checks a form while it is streamed.
//!
//! The name of a parameter is held back until it is complete, and passed on only if it is not
//! forbidden; values are passed on as they arrive. A name of many kilobytes is passed on in parts, because
//! it cannot be forbidden any more. Such names are common: curl and Java send a JSON document with the
//! type of a form by default, and its text up to the first `=` or `&` is one name.

use bytes::{Bytes, BytesMut};

use super::{
    super::query::{self, QueryError},
    FormError,
};

/// Names up to this size, in bytes, are checked as a whole; longer ones in parts of about this size.
/// Jetty's own limit for a whole form is 200,000 bytes.
const PART: usize = 4 * 1024;
/// The most bytes of a name that are held back.
const MAX_PART: usize = 16 * 1024;
/// A name is divided only after this many bytes without an escape or `?`. A byte that is escaped four
/// times, which is as deep as [`query`] reads, has at most 81 bytes, so no escape is cut in two.
const PLAIN_RUN: usize = 96;
/// More letters than any forbidden name has (a test compares it with all kinds).
pub(super) const LETTERS: usize = 24;
/// Stands for the part of a long name that has been passed on. With so many letters before it, the rest
/// cannot be read as a forbidden name by itself.
const PASSED_ON: [u8; LETTERS] = [b'x'; LETTERS];

/// The scanner of one form.
#[derive(Debug)]
pub struct FormScanner {
    forbidden: &'static [&'static str],
    /// Bytes that have arrived and have not been passed on.
    held: BytesMut,
    /// The number of bytes of `held` that have been read.
    at: usize,
    /// Start of the name that is being read, in `held`; `None` in a value.
    name: Option<usize>,
    /// Whether the start of that name has been passed on.
    divided: bool,
    /// Start of the run of plain bytes before `at`: the end of the last escape or `?`, or the start of the
    /// name.
    run: usize,
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
            run: 0,
        }
    }

    /// Takes the bytes that arrived and returns those that may be passed on.
    pub fn feed(&mut self, data: &[u8]) -> Result<Bytes, FormError> {
        self.held.extend_from_slice(data);
        while let Some(unit) = self.unit()? {
            match (unit, self.name) {
                // `;` separates parameters too for older parsers (HTML 4.01 appendix B.2.2).
                ([b'&' | b';', ..], None) => self.begin_name(self.at + 1),
                ([b'&' | b';', ..], Some(start)) => {
                    self.check(start, self.at)?;
                    self.begin_name(self.at + 1);
                }
                ([b'=', ..], Some(start)) => {
                    self.check(start, self.at)?;
                    self.name = None;
                }
                (unit, Some(start)) => {
                    self.divide(start, unit)?;
                    if matches!(unit[0], b'%' | b'?') {
                        self.run = self.at + length(unit);
                    }
                }
                (_, None) => {}
            }
            self.at += length(unit);
        }
        let checked = self.name.unwrap_or(self.at);
        self.at -= checked;
        self.run = self.run.saturating_sub(checked);
        self.name = self.name.map(|_| 0);
        Ok(self.held.split_to(checked).freeze())
    }

    /// Called at the end of the form; returns the rest of it.
    pub fn finish(&mut self) -> Result<Bytes, FormError> {
        // An escape is left unread until it is complete, so one is cut off here.
        if self.at < self.held.len() {
            return Err(FormError::Ambiguous(QueryError::Escape));
        }
        if let Some(start) = self.name {
            self.check(start, self.at)?;
        }
        Ok(std::mem::take(&mut self.held).freeze())
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// The next byte or escape; `None` if it is not complete yet. Three bytes, of which only the first
    /// counts unless it is `%`.
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
        self.run = at;
    }

    /// Checks a name, or the rest of one whose start has been passed on.
    fn check(&self, start: usize, end: usize) -> Result<(), FormError> {
        let mut divided = self.divided;
        // A parser that takes the form for a URL starts again at `?`.
        for part in self.held[start..end].split(|byte| *byte == b'?') {
            let forbidden = if std::mem::take(&mut divided) {
                query::name_is_forbidden(&[&PASSED_ON, part].concat(), self.forbidden)
            } else {
                query::name_is_forbidden(part, self.forbidden)
            };
            match forbidden {
                Ok(false) => {}
                Ok(true) | Err(QueryError::Hidden) => return Err(FormError::Identity),
                Err(error @ (QueryError::Escape | QueryError::Nul | QueryError::Encoding)) => {
                    return Err(FormError::Ambiguous(error));
                }
            }
        }
        Ok(())
    }

    /// Passes on the start of a name that has become long.
    fn divide(&mut self, start: usize, next: [u8; 3]) -> Result<(), FormError> {
        let length = self.at - start;
        if length < PART {
            return Ok(());
        }
        let run = &self.held[self.run.max(start)..self.at];
        // Never inside a UTF-8 character: its halves would be read as other characters, or as none.
        let begins_character = next[0] < 0x80 || next[0] >= 0xc0;
        // The part before the cut must have more letters than a forbidden name. Blanks and invisible
        // characters do not count: a parser may drop them, and the rest would be a name of its own.
        if begins_character && run.len() >= PLAIN_RUN && has_letters(&run[run.len() - PLAIN_RUN..])
        {
            self.check(start, self.at)?;
            self.name = Some(self.at);
            self.divided = true;
            self.run = self.at;
        } else if length >= MAX_PART {
            return Err(FormError::LongName);
        }
        Ok(())
    }
}

fn length(unit: [u8; 3]) -> usize {
    if unit[0] == b'%' { 3 } else { 1 }
}

/// Whether these bytes have more letters than a forbidden name, not counting those that parsers may drop.
fn has_letters(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let letters = text
        .chars()
        .filter(|&c| c != '+' && c != char::REPLACEMENT_CHARACTER && !query::is_ignorable(c));
    letters.count() >= LETTERS
}
