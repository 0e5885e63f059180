//! The reader of a call: a stack of what it is in, and one token after the other.

use super::{
    CallReader, KEYS, Level, Method, Rights, ThriftError,
    wire::{Cursor, Encoding, Header, Stop, Value},
};

/// The longest key of a map. Hive's and Impala's settings have shorter names.
const MAX_KEY: u32 = 256;
/// A longer name is not that of the user.
const MAX_NAME: u32 = 1024;
/// How deep structs may lie in each other. Calls have five.
const MAX_DEPTH: usize = 16;

impl CallReader {
    /// Reads tokens as long as there are whole ones.
    pub(super) fn read(&mut self) -> Result<(), ThriftError> {
        loop {
            let there = (self.held.len() - self.at) as u64;
            let skipped = there.min(self.skip);
            self.skip -= skipped;
            self.at += usize::try_from(skipped).unwrap_or(usize::MAX);
            if self.skip > 0 {
                return Ok(());
            }
            if self.ended {
                return if self.at == self.held.len() {
                    Ok(())
                } else {
                    Err(ThriftError::Ambiguous("more behind it"))
                };
            }
            match self.token() {
                Ok(()) => {}
                Err(Stop::More) => return Ok(()),
                Err(Stop::Fault(error)) => return Err(error),
            }
        }
    }

    /// Reads one token, or none of it.
    fn token(&mut self) -> Result<(), Stop> {
        let mut cursor = Cursor {
            bytes: &self.held,
            at: self.at,
        };
        if !self.begun {
            let (encoding, name) = Encoding::message(&mut cursor)?;
            self.method = Method::named(name, self.rights)?;
            self.encoding = encoding;
            self.at = cursor.at;
            self.begun = true;
            self.levels.push(Level::Struct { last: 0, seen: 0 });
            return Ok(());
        }
        match self.levels.last().copied() {
            Some(Level::Struct { last, seen }) => self.field(last, seen),
            Some(Level::Strings(0) | Level::Pairs(0)) => {
                self.levels.pop();
                Ok(())
            }
            Some(Level::Strings(left)) => {
                self.skip = self.encoding.length(&mut cursor)?.into();
                self.at = cursor.at;
                self.replace(Level::Strings(left - 1));
                Ok(())
            }
            Some(Level::Pairs(left)) => {
                let after = self.pair(cursor)?;
                (self.at, self.skip) = after;
                self.replace(Level::Pairs(left - 1));
                Ok(())
            }
            None => {
                self.ended = true;
                Ok(())
            }
        }
    }

    fn replace(&mut self, level: Level) {
        if let Some(last) = self.levels.last_mut() {
            *last = level;
        }
    }

    /// Reads a field up to what may be skipped, or the end of a struct.
    fn field(&mut self, last: i16, seen: u64) -> Result<(), Stop> {
        let depth = self.levels.len();
        let mut cursor = Cursor {
            bytes: &self.held,
            at: self.at,
        };
        let (number, value) = match self.encoding.header(&mut cursor, last)? {
            Header::Field(number, value) => (number, value),
            Header::Stop => {
                if depth == 2 {
                    self.end_of_request = Some(self.at);
                }
                self.at = cursor.at;
                self.levels.pop();
                return Ok(());
            }
        };
        // of two fields with one number the last counts, in Java; C++ adds up maps
        let bit = u32::try_from(number)
            .ok()
            .and_then(|n| 1_u64.checked_shl(n));
        let bit = bit.unwrap_or(0);
        if seen & bit != 0 {
            return Err(ThriftError::Ambiguous("a field that comes twice").into());
        }
        let mut inner = None;
        let mut skip = 0;
        let mut username = None;
        match value {
            Value::Fixed(bytes) => skip = bytes,
            Value::Varint(most) => {
                cursor.varint(most)?;
            }
            Value::Text => {
                let start = cursor.at;
                let length = self.encoding.length(&mut cursor)?;
                match (self.method, depth, number) {
                    (Method::OpenSession, 2, 2) => {
                        skip = length.into();
                        username = Some(start..cursor.at + length as usize);
                    }
                    (Method::GetDelegationToken, 2, 2) => self.is_user(&mut cursor, length)?,
                    (Method::OpenSession | Method::GetDelegationToken | Method::Other, ..) => {
                        skip = length.into();
                    }
                }
            }
            Value::Struct if depth == MAX_DEPTH => {
                return Err(ThriftError::Ambiguous("structs that lie too deep").into());
            }
            Value::Struct => inner = Some(Level::Struct { last: 0, seen: 0 }),
            Value::List => inner = Some(Level::Strings(self.encoding.list(&mut cursor)?)),
            Value::Map => inner = Some(Level::Pairs(self.encoding.map(&mut cursor)?)),
        }
        let expected = match (depth, number) {
            (1, _) => number == 1 && value == Value::Struct,
            (2, 2) => value == Value::Text,
            _ => true,
        };
        if self.method.is_held() && !expected {
            return Err(ThriftError::Ambiguous("other fields than its method has").into());
        }
        self.at = cursor.at;
        self.skip = skip;
        self.username = username.or(self.username.take());
        let seen = seen | bit;
        self.replace(Level::Struct { last: number, seen });
        self.levels.extend(inner);
        Ok(())
    }

    /// Reads a key and its value up to what may be skipped; gives where that is, and its length.
    fn pair(&self, mut cursor: Cursor<'_>) -> Result<(usize, u64), Stop> {
        let length = self.encoding.length(&mut cursor)?;
        if length > MAX_KEY {
            return Err(ThriftError::Ambiguous("a key that is too long").into());
        }
        let names_user = names_user(cursor.take(length as usize)?);
        let length = self.encoding.length(&mut cursor)?;
        if names_user {
            self.is_user(&mut cursor, length)?;
            return Ok((cursor.at, 0));
        }
        Ok((cursor.at, length.into()))
    }

    /// Reads a name that has to be the one that the gateway tells.
    fn is_user(&self, cursor: &mut Cursor<'_>, length: u32) -> Result<(), Stop> {
        let may_be = self.rights == Rights::User && length <= MAX_NAME;
        if !may_be || cursor.take(length as usize)? != self.user.as_bytes() {
            return Err(ThriftError::Identity.into());
        }
        Ok(())
    }
}

/// Whether a key is one of [`KEYS`], behind any prefix of the drivers (`set:hiveconf:`) and in any
/// case.
fn names_user(key: &[u8]) -> bool {
    let name = key.rsplit(|byte| *byte == b':').next().unwrap_or_default();
    let name = name.trim_ascii();
    KEYS.iter()
        .any(|own| name.eq_ignore_ascii_case(own.as_bytes()))
}
