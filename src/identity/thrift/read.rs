//! Reads a call token by token, with a stack of the structures that it is inside of.
//!
//! A token is read completely or not at all. Nothing but the stack is kept between two tokens, so that
//! a call may be cut anywhere, as it arrives from the network.

use super::{
    ActingAs, CallMethod, CallReader, Nesting, ThriftError, USER_KEYS,
    wire::{Cursor, Encoding, FieldHeader, FieldType, TokenError},
};

/// The longest key of a map. Hive's and Impala's settings have shorter names.
const MAX_KEY: u32 = 256;
/// The longest name that is compared with the user's; a longer one is refused unread.
const MAX_NAME: u32 = 1024;
/// How deep structs may be nested. Calls have five levels; the limit bounds the memory of the stack.
const MAX_DEPTH: usize = 16;

impl CallReader {
    /// Reads all complete tokens.
    pub(super) fn read(&mut self) -> Result<(), ThriftError> {
        loop {
            let available = (self.held.len() - self.at) as u64;
            let skipped = available.min(self.skip);
            self.skip -= skipped;
            self.at += usize::try_from(skipped).unwrap_or(usize::MAX);
            if self.skip > 0 {
                return Ok(());
            }
            // Bytes after the call would reach the server unchecked, as a second call for example.
            if self.ended {
                return if self.at == self.held.len() {
                    Ok(())
                } else {
                    Err(ThriftError::Ambiguous("more behind it"))
                };
            }
            match self.token() {
                Ok(()) => {}
                Err(TokenError::Incomplete) => return Ok(()),
                Err(TokenError::Invalid(error)) => return Err(error),
            }
        }
    }

    fn token(&mut self) -> Result<(), TokenError> {
        let mut cursor = Cursor {
            bytes: &self.held,
            at: self.at,
        };
        if !self.begun {
            let (encoding, name) = Encoding::message(&mut cursor)?;
            self.method = CallMethod::named(name, self.acting_as)?;
            self.encoding = encoding;
            self.at = cursor.at;
            self.begun = true;
            self.nesting.push(Nesting::Struct { last: 0, seen: 0 });
            return Ok(());
        }
        match self.nesting.last().copied() {
            Some(Nesting::Struct { last, seen }) => self.field(last, seen),
            Some(Nesting::Strings(0) | Nesting::Pairs(0)) => {
                self.nesting.pop();
                Ok(())
            }
            Some(Nesting::Strings(left)) => {
                self.skip = self.encoding.length(&mut cursor)?.into();
                self.at = cursor.at;
                self.replace(Nesting::Strings(left - 1));
                Ok(())
            }
            Some(Nesting::Pairs(left)) => {
                let after = self.pair(cursor)?;
                (self.at, self.skip) = after;
                self.replace(Nesting::Pairs(left - 1));
                Ok(())
            }
            None => {
                self.ended = true;
                Ok(())
            }
        }
    }

    fn replace(&mut self, level: Nesting) {
        if let Some(last) = self.nesting.last_mut() {
            *last = level;
        }
    }

    /// Reads a field's header and value up to what may be skipped, or the end of a struct.
    fn field(&mut self, last: i16, seen: u64) -> Result<(), TokenError> {
        let depth = self.nesting.len();
        let mut cursor = Cursor {
            bytes: &self.held,
            at: self.at,
        };
        let (number, value) = match self.encoding.header(&mut cursor, last)? {
            FieldHeader::Field(number, value) => (number, value),
            FieldHeader::End => {
                if depth == 2 {
                    self.end_of_request = Some(self.at);
                }
                self.at = cursor.at;
                self.nesting.pop();
                return Ok(());
            }
        };
        // If a field occurs twice, the last one counts in Java, while C++ merges two maps. Only the first
        // 64 numbers are remembered: the fields that matter have numbers up to 4, and maps are checked
        // anywhere.
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
            FieldType::Fixed(bytes) => skip = bytes,
            FieldType::Varint(most) => {
                cursor.varint(most)?;
            }
            FieldType::Text => {
                let start = cursor.at;
                let length = self.encoding.length(&mut cursor)?;
                match (self.method, depth, number) {
                    (CallMethod::OpenSession, 2, 2) => {
                        skip = length.into();
                        username = Some(start..cursor.at + length as usize);
                    }
                    (CallMethod::GetDelegationToken, 2, 2) => self.is_user(&mut cursor, length)?,
                    (
                        CallMethod::OpenSession
                        | CallMethod::GetDelegationToken
                        | CallMethod::Other,
                        ..,
                    ) => {
                        skip = length.into();
                    }
                }
            }
            FieldType::Struct if depth == MAX_DEPTH => {
                return Err(ThriftError::Ambiguous("structs that lie too deep").into());
            }
            FieldType::Struct => inner = Some(Nesting::Struct { last: 0, seen: 0 }),
            FieldType::List => inner = Some(Nesting::Strings(self.encoding.list(&mut cursor)?)),
            FieldType::Map => inner = Some(Nesting::Pairs(self.encoding.map(&mut cursor)?)),
        }
        // Otherwise the name would be written beside another field of the same number, or into a struct
        // that the server does not read as the request.
        let expected = match (depth, number) {
            (1, _) => number == 1 && value == FieldType::Struct,
            (2, 2) => value == FieldType::Text,
            _ => true,
        };
        if self.method.is_held() && !expected {
            return Err(ThriftError::Ambiguous("other fields than its method has").into());
        }
        self.at = cursor.at;
        self.skip = skip;
        self.username = username.or(self.username.take());
        let seen = seen | bit;
        self.replace(Nesting::Struct { last: number, seen });
        self.nesting.extend(inner);
        Ok(())
    }

    /// Reads a key and its value up to what may be skipped; returns the position of that and its length.
    fn pair(&self, mut cursor: Cursor<'_>) -> Result<(usize, u64), TokenError> {
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

    /// Reads a name, which has to be that of the user that the gateway sends.
    fn is_user(&self, cursor: &mut Cursor<'_>, length: u32) -> Result<(), TokenError> {
        let may_be = self.acting_as == ActingAs::User && length <= MAX_NAME;
        if !may_be || cursor.take(length as usize)? != self.user.as_bytes() {
            return Err(ThriftError::Identity.into());
        }
        Ok(())
    }
}

/// Whether a key is one of [`USER_KEYS`] in any case, after any prefix of the drivers (`set:hiveconf:`).
fn names_user(key: &[u8]) -> bool {
    let name = key.rsplit(|byte| *byte == b':').next().unwrap_or_default();
    let name = name.trim_ascii();
    USER_KEYS
        .iter()
        .any(|own| name.eq_ignore_ascii_case(own.as_bytes()))
}
