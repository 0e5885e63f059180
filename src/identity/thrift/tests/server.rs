//! Reads calls as generated code does: a field that it knows as what it is declared, whatever the head
//! of a map says, and others by their type; of two with one number the last; up to the end of the
//! arguments, whatever comes behind.

/// What a server understands.
#[derive(Debug, Default)]
pub(super) struct Server {
    pub(super) method: String,
    pub(super) user: Option<String>,
    pub(super) settings: Vec<(String, String)>,
}

struct Reader<'b> {
    bytes: &'b [u8],
    compact: bool,
}

/// The server would fail.
#[derive(Debug)]
pub(super) struct Fails;

type Result<T> = std::result::Result<T, Fails>;

/// In numbers of the binary protocol; those of compact are translated.
const TYPES: [u8; 13] = [0, 2, 2, 3, 6, 8, 10, 4, 11, 15, 14, 13, 12];

impl Server {
    pub(super) fn reads(body: &[u8]) -> Result<Self> {
        let mut reader = Reader {
            bytes: body,
            compact: false,
        };
        let mut server = Self {
            method: reader.message()?,
            ..Self::default()
        };
        let settings = match &server.method[..] {
            "OpenSession" => 4,
            "ExecuteStatement" => 3,
            "SetClientInfo" => 2,
            _ => return Err(Fails),
        };
        let open = settings == 4;
        let mut last = 0;
        while let Some((number, kind)) = reader.field(&mut last)? {
            if (number, kind) != (1, 12) {
                reader.skip(kind, 0)?;
                continue;
            }
            let mut last = 0;
            while let Some((number, kind)) = reader.field(&mut last)? {
                match (number, kind) {
                    (2, 11) if open => server.user = Some(reader.string()?),
                    (n, 13) if n == settings => {
                        let size = reader.map()?;
                        server.settings.clear();
                        for _ in 0..size {
                            let pair = (reader.string()?, reader.string()?);
                            server.settings.push(pair);
                        }
                    }
                    _ => reader.skip(kind, 0)?,
                }
            }
        }
        Ok(server)
    }
}

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Result<&[u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(Fails)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn int(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(
            self.take(4)?.try_into().unwrap_or_default(),
        ))
    }

    /// As Java: of any length, the bits above 64 dropped.
    fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for index in 0.. {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).wrapping_shl(7 * index);
            if byte < 0x80 {
                break;
            }
        }
        Ok(value)
    }

    fn size(&mut self) -> Result<usize> {
        let size = if self.compact {
            low(self.varint()?)
        } else {
            self.int()?
        };
        usize::try_from(size).map_err(|_| Fails)
    }

    fn string(&mut self) -> Result<String> {
        let size = self.size()?;
        Ok(String::from_utf8_lossy(self.take(size)?).into_owned())
    }

    fn message(&mut self) -> Result<String> {
        if self.bytes.first() == Some(&0x82) {
            self.compact = true;
            self.byte()?;
            if self.byte()? & 0x1f != 1 {
                return Err(Fails);
            }
            self.varint()?;
            return self.string();
        }
        let version = self.int()?;
        if version >= 0 {
            let size = usize::try_from(version).map_err(|_| Fails)?;
            let name = String::from_utf8_lossy(self.take(size)?).into_owned();
            self.take(5)?;
            return Ok(name);
        }
        if version.cast_unsigned() & 0xffff_0000 != 0x8001_0000 {
            return Err(Fails);
        }
        let name = self.string()?;
        self.int()?;
        Ok(name)
    }

    fn field(&mut self, last: &mut i16) -> Result<Option<(i16, u8)>> {
        let byte = self.byte()?;
        let kind = if self.compact { byte & 0x0f } else { byte };
        if kind == 0 {
            return Ok(None);
        }
        if !self.compact {
            *last = i16::from_be_bytes(self.take(2)?.try_into().unwrap_or_default());
            return Ok(Some((*last, kind)));
        }
        *last = match byte >> 4 {
            0 => {
                let zigzag = low(self.varint()?);
                let [.., a, b] = ((zigzag >> 1) ^ -(zigzag & 1)).to_be_bytes();
                i16::from_be_bytes([a, b])
            }
            delta => last.wrapping_add(i16::from(delta)),
        };
        let translated = *TYPES.get(usize::from(kind)).ok_or(Fails)?;
        // a boolean is in its header
        let translated = if kind < 3 { 1 } else { translated };
        Ok(Some((*last, translated)))
    }

    /// The size of a map.
    fn map(&mut self) -> Result<usize> {
        if !self.compact {
            self.take(2)?;
            return self.size();
        }
        let size = self.size()?;
        if size > 0 {
            self.byte()?;
        }
        Ok(size)
    }

    fn skip(&mut self, kind: u8, depth: u8) -> Result<()> {
        if depth > 60 {
            return Err(Fails);
        }
        match (kind, self.compact) {
            (1, true) => {}
            (2 | 3, _) => drop(self.byte()?),
            (4, _) | (10, false) => drop(self.take(8)?),
            (6, false) => drop(self.take(2)?),
            (8, false) => drop(self.take(4)?),
            (6 | 8 | 10, true) => drop(self.varint()?),
            (11, _) => drop(self.string()?),
            (12, _) => {
                let mut last = 0;
                while let Some((_, kind)) = self.field(&mut last)? {
                    self.skip(kind, depth + 1)?;
                }
            }
            (13, false) => {
                let (key, value) = (self.byte()?, self.byte()?);
                for _ in 0..self.size()? {
                    self.skip(key, depth + 1)?;
                    self.skip(value, depth + 1)?;
                }
            }
            (14 | 15, false) => {
                let element = self.byte()?;
                for _ in 0..self.size()? {
                    self.skip(element, depth + 1)?;
                }
            }
            (13, true) => {
                let size = self.size()?;
                let types = if size > 0 { self.byte()? } else { 0 };
                let kind = |nibble: u8| TYPES.get(usize::from(nibble)).copied().ok_or(Fails);
                for _ in 0..size {
                    self.skip(kind(types >> 4)?, depth + 1)?;
                    self.skip(kind(types & 0x0f)?, depth + 1)?;
                }
            }
            (14 | 15, true) => {
                let byte = self.byte()?;
                let size = match byte >> 4 {
                    15 => self.size()?,
                    short => usize::from(short),
                };
                let kind = *TYPES.get(usize::from(byte & 0x0f)).ok_or(Fails)?;
                for _ in 0..size {
                    self.skip(kind, depth + 1)?;
                }
            }
            _ => return Err(Fails),
        }
        Ok(())
    }
}

/// The lower 32 bits, as a cast in Java has them.
fn low(value: u64) -> i32 {
    let [.., a, b, c, d] = value.to_be_bytes();
    i32::from_be_bytes([a, b, c, d])
}
