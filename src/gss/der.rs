//! As much of DER as tokens are made of, read without a copy and without a fault.

/// The rest of a DER encoding.
pub(super) struct Der<'a>(pub(super) &'a [u8]);

impl<'a> Der<'a> {
    /// The next element's tag and contents; only definite lengths of up to four bytes.
    pub(super) fn next(&mut self) -> Option<(u8, Der<'a>)> {
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

    /// The next element, if it has this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Option<Der<'a>> {
        self.next()
            .filter(|(found, _)| *found == tag)
            .map(|(_, value)| value)
    }

    /// The next element with this tag, passing over others.
    pub(super) fn field(&mut self, tag: u8) -> Option<Der<'a>> {
        loop {
            let (found, value) = self.next()?;
            if found == tag {
                return Some(value);
            }
        }
    }

    /// `KerberosString`: a `GeneralString`, in practice UTF-8.
    pub(super) fn string(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.expect(0x1b)?.0).ok()
    }

    /// A number of 32 bits; kvnos above 2^31 are written as negative by some KDCs.
    pub(super) fn integer(&mut self) -> Option<u32> {
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
