//! The part of DER (X.690) that Kerberos needs: two readers and functions that write.
//!
//! Nothing is copied and nothing panics; what cannot be read is `None`.
//!
//! [`Der`] is lenient, as the decoder of MIT krb5 is (`asn1_encode.c`): it takes lengths with more bytes
//! than needed, elements with unknown tags, and integers that are padded or negative. The gateway has to
//! see in a message what libkrb5 and a KDC will see in it, no less: a ticket that only they could read
//! would be accepted without its service name. That is why this is not the crate `der`: its version 0.8
//! refuses a length of `81 01`, an `INTEGER` of `00 01`, and tags such as `0f`; and as a `u32` it refuses
//! the key version numbers above 2^31 that KDCs write as negative numbers (`02 04 ff 00 00 00`, the
//! `enc_data (MSB-set kvno)` of MIT's reference encodings in `tests/asn.1`). [`Exact`] could be built on it,
//! at the price of two readers with different tags and errors for the same messages.

/// The bytes that are not read yet, leniently.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Der<'a>(pub &'a [u8]);

impl<'a> Der<'a> {
    /// The next element's tag and contents; only definite lengths of up to four bytes.
    pub(crate) fn next(&mut self) -> Option<(u8, Der<'a>)> {
        let (&tag, rest) = self.0.split_first()?;
        let (&short, rest) = rest.split_first()?;
        let (length, rest) = match short {
            0..0x80 => (usize::from(short), rest),
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
                let length = digits.iter().try_fold(0u32, |sum, &digit| {
                    Some(sum.checked_shl(8)? | u32::from(digit))
                })?;
                (usize::try_from(length).ok()?, rest)
            }
            0x80 | 0x85.. => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, Der(value)))
    }

    /// The contents of the next element, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Option<Der<'a>> {
        self.next()
            .filter(|(found, _)| *found == tag)
            .map(|(_, value)| value)
    }

    /// The contents of the next element with this tag; others before it are skipped.
    pub(crate) fn field(&mut self, tag: u8) -> Option<Der<'a>> {
        loop {
            let (found, value) = self.next()?;
            if found == tag {
                return Some(value);
            }
        }
    }

    /// A `KerberosString`: a `GeneralString` (RFC 4120 section 5.2.1), in practice UTF-8.
    pub(crate) fn string(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.expect(0x1b)?.0).ok()
    }

    /// An integer of 32 bits, signed or not: some KDCs write kvnos above 2^31 as negative numbers.
    pub(crate) fn integer(&mut self) -> Option<u32> {
        let bytes = self.expect(0x02)?.0;
        let bytes = match bytes {
            [0, rest @ ..] if rest.len() == 4 => rest,
            bytes => bytes,
        };
        if bytes.is_empty() || bytes.len() > 4 {
            return None;
        }
        let sign = if bytes[0] & 0x80 != 0 && bytes.len() < 4 {
            u32::MAX
        } else {
            0
        };
        Some(
            bytes
                .iter()
                .fold(sign, |sum, &byte| (sum << 8) | u32::from(byte)),
        )
    }
}

/// The bytes that are not read yet, strictly: lengths must have as few bytes as they need.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exact<'a>(pub &'a [u8]);

impl<'a> Exact<'a> {
    /// The contents of the next element, which must have this tag.
    pub(crate) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut rest = Der(self.0);
        let value = rest.expect(tag)?.0;
        let header = self.0.len() - rest.0.len() - value.len();
        let least = match value.len() {
            0..0x80 => 2,
            0x80..0x100 => 3,
            0x100..0x1_0000 => 4,
            0x1_0000..0x100_0000 => 5,
            _ => 6,
        };
        self.0 = rest.0;
        (header == least).then_some(value)
    }

    /// The same for the last element: nothing may follow it.
    pub(crate) fn only(mut self, tag: u8) -> Option<&'a [u8]> {
        self.take(tag).filter(|_| self.0.is_empty())
    }
}

/// Writes an element whose contents are `parts`, concatenated.
pub fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    out.push(tag);
    if let Ok(short @ 0..0x80) = u8::try_from(length) {
        out.push(short);
    } else {
        let bytes = length.to_be_bytes();
        let digits = bytes.iter().position(|byte| *byte != 0).unwrap_or(7);
        let digits = bytes.get(digits..).unwrap_or_default();
        // A length has at most eight bytes.
        out.push(0x80 | u8::try_from(digits.len()).unwrap_or(8));
        out.extend_from_slice(digits);
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// Writes a non-negative `INTEGER`.
pub fn integer(number: u32) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(3);
    let digits = bytes.get(first..).unwrap_or_default();
    // A leading bit that is set would make the number negative.
    if digits.first().is_some_and(|byte| byte & 0x80 != 0) {
        element(0x02, &[&[0], digits])
    } else {
        element(0x02, &[digits])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn padded_and_negative_integers_are_read_as_mit_reads_them() {
        for (bytes, number) in [
            (&b"\x02\x04\xff\0\0\0"[..], 0xff00_0000),
            (b"\x02\x05\0\xff\0\0\0", 0xff00_0000),
            (b"\x02\x01\xff", u32::MAX),
            (b"\x02\x02\0\x01", 1),
        ] {
            assert_eq!(Der(bytes).integer(), Some(number));
        }
        assert_eq!(Der(b"\x02\0").integer(), None);
        assert_eq!(Der(b"\x02\x05\x01\0\0\0\0").integer(), None);
    }

    proptest! {
        #[test]
        fn written_elements_are_read_by_both_readers(number: u32, value in prop::collection::vec(any::<u8>(), 0..70_000)) {
            let written = element(0x30, &[&integer(number), &element(0x04, &[&value])]);
            let mut read = Der(&written).expect(0x30).unwrap();
            prop_assert_eq!(read.integer(), Some(number));
            prop_assert_eq!(read.expect(0x04).unwrap().0, &value[..]);
            prop_assert!(read.0.is_empty());
            prop_assert!(Exact(&written).only(0x30).is_some());
        }

        #[test]
        fn longer_lengths_are_read_by_the_lenient_reader_only(value in prop::collection::vec(any::<u8>(), 0..70_000), more in 1usize..3) {
            let written = element(0x04, &[&value]);
            prop_assert_eq!(Exact(&written).only(0x04), Some(&value[..]));
            let digits = [&[0; 4][..], &value.len().to_be_bytes()].concat();
            let short = value.len().to_be_bytes().iter().skip_while(|b| **b == 0).count();
            let longer = short.max(1) + more - usize::from(value.len() < 0x80);
            prop_assume!((1..=4).contains(&longer));
            let length = u8::try_from(0x80 | longer).unwrap();
            let other = [&[0x04, length], &digits[digits.len() - longer..], &value].concat();
            prop_assert_eq!(Der(&other).expect(0x04).map(|read| read.0), Some(&value[..]));
            prop_assert_eq!(Exact(&other).only(0x04), None);
        }
    }
}
