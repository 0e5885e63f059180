//! Writes calls in all three encodings.
//!
//! Independent of `wire.rs` on purpose: with the writer there, a mistake in an encoding would be in both the
//! calls and the reader, and no test would find it.

/// A call being written.
pub(super) struct Writer {
    out: Vec<u8>,
    compact: bool,
    last: Vec<i16>,
}

pub(super) fn binary(method: &str) -> Writer {
    let mut out = b"\x80\x01\x00\x01".to_vec();
    out.extend_from_slice(&u32::try_from(method.len()).unwrap().to_be_bytes());
    out.extend_from_slice(method.as_bytes());
    out.extend_from_slice(&7_u32.to_be_bytes());
    Writer::after(out, false)
}

/// Without a version.
pub(super) fn old(method: &str) -> Writer {
    let mut out = u32::try_from(method.len()).unwrap().to_be_bytes().to_vec();
    out.extend_from_slice(method.as_bytes());
    out.push(1);
    out.extend_from_slice(&7_u32.to_be_bytes());
    Writer::after(out, false)
}

pub(super) fn compact(method: &str) -> Writer {
    let mut out = b"\x82\x21\x87\x07".to_vec();
    out.push(u8::try_from(method.len()).unwrap());
    out.extend_from_slice(method.as_bytes());
    Writer::after(out, true)
}

impl Writer {
    fn after(out: Vec<u8>, compact: bool) -> Self {
        let last = vec![0];
        Self { out, compact, last }
    }

    fn field(&mut self, number: i16, binary: u8, compact: u8) {
        let last = self.last.last_mut().unwrap();
        if !self.compact {
            self.out.push(binary);
            self.out.extend_from_slice(&number.to_be_bytes());
        } else if (1..16).contains(&(number - *last)) {
            self.out
                .push(u8::try_from(number - *last).unwrap() << 4 | compact);
        } else {
            self.out.push(compact);
            let zigzag = (number << 1) ^ (number >> 15);
            size(&mut self.out, true, usize::from(zigzag.cast_unsigned()));
        }
        *last = number;
    }

    fn string(&mut self, text: &str) {
        size(&mut self.out, self.compact, text.len());
        self.out.extend_from_slice(text.as_bytes());
    }

    pub(super) fn begin(mut self, number: i16) -> Self {
        self.field(number, 12, 12);
        self.last.push(0);
        self
    }

    pub(super) fn end(mut self) -> Self {
        self.out.push(0);
        self.last.pop();
        self
    }

    pub(super) fn done(self) -> Vec<u8> {
        assert_eq!(self.last.len(), 1);
        self.end().out
    }

    pub(super) fn text(mut self, number: i16, text: &str) -> Self {
        self.field(number, 11, 8);
        self.string(text);
        self
    }

    pub(super) fn number(mut self, number: i16, value: u8) -> Self {
        self.field(number, 8, 5);
        if self.compact {
            self.out.push(value << 1);
        } else {
            self.out.extend_from_slice(&[0, 0, 0, value]);
        }
        self
    }

    /// A boolean: true.
    pub(super) fn flag(mut self, number: i16) -> Self {
        self.field(number, 2, 1);
        if !self.compact {
            self.out.push(1);
        }
        self
    }

    pub(super) fn map(mut self, number: i16, map: &[(&str, &str)]) -> Self {
        self.field(number, 13, 11);
        if self.compact {
            size(&mut self.out, true, map.len());
            if !map.is_empty() {
                self.out.push(0x88);
            }
        } else {
            self.out.extend_from_slice(&[11, 11]);
            size(&mut self.out, false, map.len());
        }
        for (key, value) in map {
            self.string(key);
            self.string(value);
        }
        self
    }
}

fn size(out: &mut Vec<u8>, compact: bool, size: usize) {
    if !compact {
        out.extend_from_slice(&u32::try_from(size).unwrap().to_be_bytes());
        return;
    }
    let mut left = size;
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
