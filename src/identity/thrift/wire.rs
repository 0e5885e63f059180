//! The two encodings of Thrift, token by token: `TBinaryProtocol`, strict and not, and
//! `TCompactProtocol`.
//!
//! Accepted is what the libraries for Java and for C++ read in the same way. Everything else is a
//! [`ThriftError`]: unknown versions and types, negative sizes, long varints.

use super::ThriftError;

/// The longest name of a method, in bytes. Those of `TCLIService` and Impala have at most 26.
const MAX_METHOD: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenError {
    /// More bytes are needed.
    Incomplete,
    /// The bytes cannot become a token.
    Invalid(ThriftError),
}

impl From<ThriftError> for TokenError {
    fn from(error: ThriftError) -> Self {
        Self::Invalid(error)
    }
}

/// How a message is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Binary,
    Compact,
}

/// The type of a field, reduced to how its value is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldType {
    /// This many bytes.
    Fixed(u64),
    /// A varint of at most this many bytes.
    Varint(usize),
    /// A string or bytes, after their length.
    Text,
    Struct,
    Map,
    List,
}

/// A field's header, or the end of its struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldHeader {
    End,
    Field(i16, FieldType),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'b> {
    pub(super) bytes: &'b [u8],
    pub(super) at: usize,
}

// === impl Cursor ===

impl<'b> Cursor<'b> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'b [u8], TokenError> {
        let end = self.at.checked_add(count).ok_or(TokenError::Incomplete)?;
        let taken = self.bytes.get(self.at..end).ok_or(TokenError::Incomplete)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TokenError> {
        self.take(N)?.try_into().map_err(|_| TokenError::Incomplete)
    }

    fn byte(&mut self) -> Result<u8, TokenError> {
        Ok(self.array::<1>()?[0])
    }

    fn int(&mut self) -> Result<i32, TokenError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// Reads a varint of at most `most` bytes.
    pub(super) fn varint(&mut self, most: usize) -> Result<u64, TokenError> {
        // Java reads varints of any length, C++ refuses more than ten bytes.
        let mut value = 0_u64;
        for index in 0..most {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(ThriftError::Ambiguous("a varint that is too long").into())
    }

    fn small_varint(&mut self) -> Result<u32, TokenError> {
        let value = self.varint(5)?;
        u32::try_from(value).map_err(|_| ThriftError::Ambiguous("a varint above 32 bits").into())
    }

    fn compact_size(&mut self) -> Result<u32, TokenError> {
        let size = self.small_varint()?;
        if i32::try_from(size).is_err() {
            return Err(ThriftError::Ambiguous("a negative size").into());
        }
        Ok(size)
    }

    fn binary_size(&mut self) -> Result<u32, TokenError> {
        let size = self.int()?;
        u32::try_from(size).map_err(|_| ThriftError::Ambiguous("a negative size").into())
    }
}

// === impl Encoding ===

impl Encoding {
    /// Reads a message's head; returns the name of its method.
    pub(super) fn message<'b>(cursor: &mut Cursor<'b>) -> Result<(Self, &'b [u8]), TokenError> {
        let first = *cursor.bytes.get(cursor.at).ok_or(TokenError::Incomplete)?;
        match first {
            0x80 => {
                let [_, version, unused, kind] = cursor.array()?;
                // The first two bytes are the version, and C++ does not read the third. Only the version
                // that both know, with a zero there, is the same message for all.
                if version != 1 || unused != 0 {
                    return Err(ThriftError::NotThrift.into());
                }
                is_call(kind)?;
                let size = cursor.binary_size()?;
                let name = method(cursor, size)?;
                cursor.int()?;
                Ok((Self::Binary, name))
            }
            // The non-strict form has no version and begins with the length of the name, which is below
            // 2^24 here. Servers accept it by default, so it has to be read too.
            0 => {
                let size = cursor.binary_size()?;
                let name = method(cursor, size)?;
                is_call(cursor.byte()?)?;
                cursor.int()?;
                Ok((Self::Binary, name))
            }
            0x82 => {
                let [_, version] = cursor.array()?;
                if version & 0x1f != 1 {
                    return Err(ThriftError::NotThrift.into());
                }
                is_call(version >> 5)?;
                cursor.small_varint()?;
                let size = cursor.compact_size()?;
                Ok((Self::Compact, method(cursor, size)?))
            }
            _ => Err(ThriftError::NotThrift.into()),
        }
    }

    /// Reads a field's header; `last` is the number of the field before it in its struct, or 0.
    pub(super) fn header(
        self,
        cursor: &mut Cursor<'_>,
        last: i16,
    ) -> Result<FieldHeader, TokenError> {
        let byte = cursor.byte()?;
        if byte == 0 {
            return Ok(FieldHeader::End);
        }
        match self {
            Self::Binary => {
                let value = match byte {
                    2 | 3 => FieldType::Fixed(1),
                    4 | 10 => FieldType::Fixed(8),
                    6 => FieldType::Fixed(2),
                    8 => FieldType::Fixed(4),
                    11 => FieldType::Text,
                    12 => FieldType::Struct,
                    13 => FieldType::Map,
                    14 | 15 => FieldType::List,
                    _ => return Err(ThriftError::Ambiguous("an unknown type").into()),
                };
                Ok(FieldHeader::Field(
                    i16::from_be_bytes(cursor.array()?),
                    value,
                ))
            }
            Self::Compact => {
                let value = match byte & 0x0f {
                    1 | 2 => FieldType::Fixed(0),
                    3 => FieldType::Fixed(1),
                    4 | 5 => FieldType::Varint(5),
                    6 => FieldType::Varint(10),
                    7 => FieldType::Fixed(8),
                    8 => FieldType::Text,
                    9 | 10 => FieldType::List,
                    11 => FieldType::Map,
                    12 => FieldType::Struct,
                    _ => return Err(ThriftError::Ambiguous("an unknown type").into()),
                };
                let number = match byte >> 4 {
                    0 => {
                        let zigzag = i64::from(cursor.small_varint()?);
                        i16::try_from((zigzag >> 1) ^ -(zigzag & 1)).ok()
                    }
                    delta => last.checked_add(i16::from(delta)),
                };
                let number = number.ok_or(ThriftError::Ambiguous("a number above 16 bits"))?;
                Ok(FieldHeader::Field(number, value))
            }
        }
    }

    /// Reads the length of a string.
    pub(super) fn length(self, cursor: &mut Cursor<'_>) -> Result<u32, TokenError> {
        match self {
            Self::Binary => cursor.binary_size(),
            Self::Compact => cursor.compact_size(),
        }
    }

    /// Reads the head of a list or set of strings; returns its size.
    ///
    /// Generated code reads the elements of a known field as the declared type, whatever type the head
    /// says, and skips those of unknown fields by the type in the head. Calls have lists and maps of
    /// strings only, so a head with another type is refused.
    pub(super) fn list(self, cursor: &mut Cursor<'_>) -> Result<u32, TokenError> {
        let (element, size) = match self {
            Self::Binary => (cursor.byte()?, cursor.binary_size()?),
            Self::Compact => {
                let byte = cursor.byte()?;
                let size = match byte >> 4 {
                    15 => cursor.compact_size()?,
                    short => u32::from(short),
                };
                (byte & 0x0f, size)
            }
        };
        self.is_text(element)?;
        Ok(size)
    }

    /// Reads the head of a map from strings to strings; returns its size. See [`Self::list`].
    pub(super) fn map(self, cursor: &mut Cursor<'_>) -> Result<u32, TokenError> {
        match self {
            Self::Binary => {
                let [key, value] = cursor.array()?;
                let size = cursor.binary_size()?;
                // Clients write the declared types of an empty map too, so they are checked.
                self.is_text(key)?;
                self.is_text(value)?;
                Ok(size)
            }
            Self::Compact => {
                let size = cursor.compact_size()?;
                if size > 0 {
                    let types = cursor.byte()?;
                    self.is_text(types >> 4)?;
                    self.is_text(types & 0x0f)?;
                }
                Ok(size)
            }
        }
    }

    fn is_text(self, element: u8) -> Result<(), ThriftError> {
        let text = match self {
            Self::Binary => 11,
            Self::Compact => 8,
        };
        if element == text {
            Ok(())
        } else {
            Err(ThriftError::Ambiguous(
                "a list or map of other than strings",
            ))
        }
    }

    /// Writes a string.
    pub(super) fn write_text(self, out: &mut Vec<u8>, text: &str) {
        // No user's name is that long.
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        match self {
            Self::Binary => out.extend_from_slice(&length.to_be_bytes()),
            Self::Compact => {
                let mut left = length;
                loop {
                    let [.., low] = left.to_be_bytes();
                    left >>= 7;
                    if left == 0 {
                        out.push(low & 0x7f);
                        break;
                    }
                    out.push(low | 0x80);
                }
            }
        }
        out.extend_from_slice(text.as_bytes());
    }

    /// Writes the header of a field with a string, in the form that does not depend on the field before it;
    /// `number` is below 64.
    pub(super) fn write_header(self, out: &mut Vec<u8>, number: u8) {
        match self {
            Self::Binary => out.extend_from_slice(&[11, 0, number]),
            Self::Compact => out.extend_from_slice(&[8, number << 1]),
        }
    }
}

fn method<'b>(cursor: &mut Cursor<'b>, size: u32) -> Result<&'b [u8], TokenError> {
    let size = size as usize;
    if size > MAX_METHOD {
        return Err(ThriftError::NotThrift.into());
    }
    let name = cursor.take(size)?;
    // `TMultiplexedProtocol` puts a service and a colon before the name: a server that uses it would read
    // another method than the one that was checked.
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    if name.is_empty() || !name.iter().all(plain) {
        return Err(ThriftError::Ambiguous("an odd name of a method").into());
    }
    Ok(name)
}

// Servers in Java respond to a message of any type, those in C++ only to calls. A one-way call would be
// executed without a response; the interface has none.
fn is_call(kind: u8) -> Result<(), ThriftError> {
    if kind == 1 {
        Ok(())
    } else {
        Err(ThriftError::NotThrift)
    }
}
