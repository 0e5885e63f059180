//! Parses the bytes of a keytab file.

use zeroize::Zeroizing;

use super::{Enctype, Entry, Keytab};
use crate::gss::{Principal, PrincipalError};

/// What is wrong with the bytes of a keytab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The first bytes are neither 0x0501 nor 0x0502.
    #[error("not a keytab: it does not begin with 05 01 or 05 02")]
    NotAKeytab,
    /// The file ends within an entry.
    #[error("it ends within the entry at byte {0}; only half of it was written")]
    Truncated(usize),
    /// An entry's inner lengths do not fit in its size.
    #[error("the entry at byte {0} contradicts itself")]
    Entry(usize),
    /// An entry's principal is not valid.
    #[error("the entry at byte {offset} has no usable principal")]
    Principal {
        /// Where the entry begins.
        offset: usize,
        /// What is wrong with the name.
        #[source]
        source: PrincipalError,
    },
}

/// Byte order and count rules of a file version.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    /// 0x0501: this machine's byte order, the realm counts as a component, no name type.
    One,
    /// 0x0502: big endian.
    Two,
}

struct Reader<'a> {
    rest: &'a [u8],
    version: Version,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.take(2)?.try_into().ok()?;
        Some(match self.version {
            Version::One => u16::from_ne_bytes(bytes),
            Version::Two => u16::from_be_bytes(bytes),
        })
    }

    fn u32(&mut self) -> Option<u32> {
        let bytes = self.take(4)?.try_into().ok()?;
        Some(match self.version {
            Version::One => u32::from_ne_bytes(bytes),
            Version::Two => u32::from_be_bytes(bytes),
        })
    }

    fn counted(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }
}

pub(super) fn parse(bytes: &[u8]) -> Result<Keytab, FormatError> {
    let version = match bytes {
        [5, 1, ..] => Version::One,
        [5, 2, ..] => Version::Two,
        _ => return Err(FormatError::NotAKeytab),
    };
    let mut file = Reader {
        rest: &bytes[2..],
        version,
    };
    let mut entries = Vec::new();
    while !file.rest.is_empty() {
        let offset = bytes.len() - file.rest.len();
        let truncated = FormatError::Truncated(offset);
        let size = file.u32().ok_or(truncated)?.cast_signed();
        if size == 0 {
            // For MIT a size of zero ends the file, with any bytes after it (`kt_file.c`).
            break;
        }
        let body = file.take(size.unsigned_abs() as usize).ok_or(truncated)?;
        if size < 0 {
            // The space of a removed entry (`kadmin ktremove`) has a negative size.
            continue;
        }
        entries.push(entry(
            Reader {
                rest: body,
                version,
            },
            offset,
        )?);
    }
    Ok(Keytab { entries })
}

fn entry(mut reader: Reader<'_>, offset: usize) -> Result<Entry, FormatError> {
    let broken = || FormatError::Entry(offset);
    let raw = fields(&mut reader).ok_or_else(broken)?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| broken());
    let components = raw
        .components
        .iter()
        .map(|bytes| text(bytes))
        .collect::<Result<Vec<_>, _>>()?;
    let principal = Principal::new(components, text(raw.realm)?)
        .map_err(|source| FormatError::Principal { offset, source })?;
    Ok(Entry {
        principal,
        name_type: raw.name_type,
        timestamp: raw.timestamp,
        kvno: raw.kvno,
        enctype: Enctype(raw.enctype),
        key: Zeroizing::new(raw.key.to_vec()),
    })
}

struct Fields<'a> {
    realm: &'a [u8],
    components: Vec<&'a [u8]>,
    name_type: u32,
    timestamp: u32,
    kvno: u32,
    enctype: u16,
    key: &'a [u8],
}

fn fields<'a>(reader: &mut Reader<'a>) -> Option<Fields<'a>> {
    let mut count = reader.u16()?;
    if reader.version == Version::One {
        count = count.checked_sub(1)?;
    }
    let realm = reader.counted()?;
    let components = (0..count)
        .map(|_| reader.counted())
        .collect::<Option<Vec<_>>>()?;
    let name_type = match reader.version {
        Version::One => 1,
        Version::Two => reader.u32()?,
    };
    let timestamp = reader.u32()?;
    let short = u32::from(reader.u8()?);
    let enctype = reader.u16()?;
    let key = reader.counted()?;
    // The 32-bit version number was added to the format later. If it is zero or missing, the 8-bit one
    // counts, as in `krb5_ktfileint_internal_read_entry`.
    let kvno = match reader.u32() {
        Some(long) if long != 0 => long,
        Some(_) | None => short,
    };
    Some(Fields {
        realm,
        components,
        name_type,
        timestamp,
        kvno,
        enctype,
        key,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `HTTP/a@R`, kvno 3, aes256, as `ktutil` lays it out.
    fn sample(long_kvno: Option<u32>) -> Vec<u8> {
        let mut body =
            b"\0\x02\0\x01R\0\x04HTTP\0\x01a\0\0\0\x01\0\0\0\x05\x03\0\x12\0\x02kk".to_vec();
        if let Some(kvno) = long_kvno {
            body.extend(kvno.to_be_bytes());
        }
        let mut file = vec![5, 2];
        file.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        file.extend(body);
        file
    }

    #[test]
    fn the_32_bit_kvno_wins_unless_zero() {
        for (long, kvno) in [(None, 3), (Some(0), 3), (Some(259), 259)] {
            let keytab = Keytab::parse(&sample(long)).unwrap();
            assert_eq!(keytab.entries[0].kvno, kvno);
            assert_eq!(keytab.entries[0].principal.to_string(), "HTTP/a@R");
            assert_eq!(keytab.entries[0].key.as_slice(), b"kk");
        }
    }

    #[test]
    fn holes_are_skipped_and_a_zero_size_ends_the_file() {
        let mut file = vec![5, 2, 0xff, 0xff, 0xff, 0xfd, 1, 2, 3];
        file.extend(&sample(None)[2..]);
        file.extend([0, 0, 0, 0, 9, 9]);
        assert_eq!(Keytab::parse(&file).unwrap().entries.len(), 1);
    }

    #[test]
    fn version_one_counts_the_realm_and_has_no_name_type() {
        let mut body = Vec::new();
        body.extend(2u16.to_ne_bytes());
        for part in ["R", "alice"] {
            body.extend(u16::try_from(part.len()).unwrap().to_ne_bytes());
            body.extend(part.as_bytes());
        }
        body.extend(7u32.to_ne_bytes());
        body.push(2);
        body.extend(18u16.to_ne_bytes());
        body.extend(1u16.to_ne_bytes());
        body.push(b'k');
        let mut file = vec![5, 1];
        file.extend(u32::try_from(body.len()).unwrap().to_ne_bytes());
        file.extend(body);
        let entry = Keytab::parse(&file).unwrap().entries.remove(0);
        assert_eq!(entry.principal.to_string(), "alice@R");
        assert_eq!((entry.kvno, entry.timestamp, entry.name_type), (2, 7, 1));
    }

    #[test]
    fn a_file_that_ends_within_an_entry_is_truncated() {
        let file = sample(Some(3));
        for end in 3..file.len() {
            assert_eq!(Keytab::parse(&file[..end]), Err(FormatError::Truncated(2)));
        }
        assert_eq!(Keytab::parse(b"nonsense"), Err(FormatError::NotAKeytab));
        assert_eq!(Keytab::parse(b""), Err(FormatError::NotAKeytab));
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(body in prop::collection::vec(any::<u8>(), 0..200), version in 0u8..4) {
            let _ = Keytab::parse(&body);
            let _ = Keytab::parse(&[&[5, version], body.as_slice()].concat());
        }
    }
}
