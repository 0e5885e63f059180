//! Scans a connection's bytes as they arrive, to know where heads and bodies begin and end.
//!
//! hyper drops the `Content-Length` of a request that has both framings before a service sees it
//! (RFC 9112 section 6.3), so only the bytes show it. The time limits use the same scan: whether a
//! head or a body is incomplete. Nothing is copied, except a line that is split over two reads.

use memchr::memchr;

/// Enough for `Transfer-Encoding:` and for `Content-Length:` with any `u64`.
const LINE: usize = 40;

/// The framing of a request by the bytes of its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum FramingVerdict {
    /// At most one framing.
    Clean,
    /// `Content-Length` and `Transfer-Encoding` in one head (RFC 9112 section 6.1).
    Both,
    /// The bytes before were malformed, so the beginning of this head is not known.
    Unknown,
}

/// The position in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Between requests or in a head.
    Head,
    /// In a body; this many bytes are left.
    Length(u64),
    /// In a chunked body.
    Chunk(Chunk),
    /// In malformed bytes, which hyper refuses.
    Lost,
}

/// The position in a chunked body (RFC 9112 section 7.1). Has to be exactly as strict as hyper: where
/// the two disagree about the end of a body, the scan reads body bytes as a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    /// In the size; whether a digit was seen.
    Size(u64, bool),
    /// Between the size and its CR.
    Extension(u64),
    /// Before the LF of the size line.
    SizeLf(u64),
    /// In data; this many bytes are left.
    Data(u64),
    /// Before the CR after data.
    DataCr,
    /// Before the LF after data.
    DataLf,
    /// At the start of a trailer line.
    TrailerStart,
    /// In a trailer line.
    Trailer,
    /// Before the LF of a trailer line.
    TrailerLf,
    /// Before the last LF.
    EndLf,
}

#[derive(Debug)]
pub(in crate::server) struct FramingScan {
    at: At,
    /// A part of a request line has arrived.
    started: bool,
    chunked: bool,
    length: Option<u64>,
    /// The beginning of a line that is split over reads.
    kept: [u8; LINE],
    kept_len: u8,
    /// The kept line was longer than [`LINE`].
    cut: bool,
    /// Complete heads that were not yet taken.
    heads: u32,
    /// The index of the first of them with both framings.
    both: Option<u32>,
}

impl FramingScan {
    pub(in crate::server) const fn new() -> Self {
        Self {
            at: At::Head,
            started: false,
            chunked: false,
            length: None,
            kept: [0; LINE],
            kept_len: 0,
            cut: false,
            heads: 0,
            both: None,
        }
    }

    pub(in crate::server) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match self.at {
                At::Head => self.head(bytes),
                At::Length(left) => {
                    let n = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    let left = left - n as u64;
                    self.at = if left == 0 {
                        At::Head
                    } else {
                        At::Length(left)
                    };
                    &bytes[n..]
                }
                At::Chunk(chunk) => self.chunk(chunk, bytes),
                At::Lost => return,
            };
        }
    }

    /// The framing of the oldest head that was not taken. Has to be called once for each request.
    pub(in crate::server) fn take(&mut self) -> FramingVerdict {
        if self.heads == 0 {
            return FramingVerdict::Unknown;
        }
        self.heads -= 1;
        match self.both {
            None => FramingVerdict::Clean,
            Some(0) => {
                self.both = None;
                FramingVerdict::Both
            }
            Some(n) => {
                self.both = Some(n - 1);
                FramingVerdict::Clean
            }
        }
    }

    /// Whether a head has arrived in part. Blank lines between requests do not count (RFC 9112
    /// section 2.2).
    pub(in crate::server) fn in_head(&self) -> bool {
        match self.at {
            At::Head => self.started || (self.kept_len > 0 && self.kept() != b"\r"),
            At::Length(_) | At::Chunk(_) => false,
            At::Lost => true,
        }
    }

    /// Whether the bytes are malformed, or contain a length that is too large.
    pub(in crate::server) const fn is_lost(&self) -> bool {
        matches!(self.at, At::Lost)
    }

    /// Whether a body has arrived in part.
    pub(in crate::server) const fn in_body(&self) -> bool {
        matches!(self.at, At::Length(_) | At::Chunk(_))
    }

    fn kept(&self) -> &[u8] {
        &self.kept[..usize::from(self.kept_len)]
    }

    fn keep(&mut self, bytes: &[u8]) {
        let start = usize::from(self.kept_len);
        let n = bytes.len().min(LINE - start);
        self.kept[start..start + n].copy_from_slice(&bytes[..n]);
        self.kept_len += u8::try_from(n).unwrap_or_default();
        self.cut |= n < bytes.len();
    }

    fn head<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let Some(end) = memchr(b'\n', bytes) else {
            self.keep(bytes);
            return &[];
        };
        let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
        if self.kept_len == 0 {
            self.line(line);
        } else {
            self.keep(line);
            let kept = self.kept;
            self.line(&kept[..usize::from(self.kept_len)]);
            self.kept_len = 0;
        }
        self.cut = false;
        rest
    }

    fn line(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            if self.started {
                self.end_of_head();
            }
        } else if !self.started {
            self.started = true;
        } else if is_field(line, b"transfer-encoding") {
            self.chunked = true;
        } else if is_field(line, b"content-length") {
            match content_length(&line[b"content-length:".len()..]) {
                Some(n) if !self.cut && self.length.is_none_or(|first| first == n) => {
                    self.length = Some(n);
                }
                _ => self.at = At::Lost,
            }
        }
    }

    fn end_of_head(&mut self) {
        if self.chunked && self.length.is_some() && self.both.is_none() {
            self.both = Some(self.heads);
        }
        self.heads += 1;
        self.at = match self.length {
            _ if self.chunked => At::Chunk(Chunk::Size(0, false)),
            Some(n) if n > 0 => At::Length(n),
            _ => At::Head,
        };
        self.started = false;
        self.chunked = false;
        self.length = None;
    }

    fn chunk<'b>(&mut self, chunk: Chunk, bytes: &'b [u8]) -> &'b [u8] {
        if let Chunk::Data(left) = chunk {
            let n = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
            let left = left - n as u64;
            self.at = At::Chunk(if left == 0 {
                Chunk::DataCr
            } else {
                Chunk::Data(left)
            });
            return &bytes[n..];
        }
        self.at = match chunk.step(bytes[0]) {
            Step::On(next) => At::Chunk(next),
            Step::End => At::Head,
            Step::Bad => At::Lost,
        };
        &bytes[1..]
    }
}

enum Step {
    On(Chunk),
    End,
    Bad,
}

impl Chunk {
    fn step(self, byte: u8) -> Step {
        Step::On(match (self, byte) {
            (Self::Size(size, _), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                match size.checked_mul(16).and_then(|s| s.checked_add(digit)) {
                    Some(size) => Self::Size(size, true),
                    None => return Step::Bad,
                }
            }
            (Self::Size(size, true) | Self::Extension(size), b'\r') => Self::SizeLf(size),
            (Self::Extension(_), b'\n') => return Step::Bad,
            (Self::Size(size, true), b';' | b' ' | b'\t') | (Self::Extension(size), _) => {
                Self::Extension(size)
            }
            (Self::SizeLf(0) | Self::TrailerLf, b'\n') => Self::TrailerStart,
            (Self::SizeLf(size), b'\n') => Self::Data(size),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::Size(0, false),
            (Self::TrailerStart, b'\r') => Self::EndLf,
            (Self::Trailer, b'\r') => Self::TrailerLf,
            (Self::TrailerStart | Self::Trailer, _) => Self::Trailer,
            (Self::EndLf, b'\n') => return Step::End,
            _ => return Step::Bad,
        })
    }
}

fn is_field(line: &[u8], name: &[u8]) -> bool {
    line.get(name.len()) == Some(&b':') && line[..name.len()].eq_ignore_ascii_case(name)
}

fn content_length(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    if digits.is_empty() {
        return None;
    }
    let length = digits.iter().try_fold(0u64, |n, byte| {
        byte.is_ascii_digit()
            .then(|| n.checked_mul(10)?.checked_add(u64::from(byte - b'0')))?
    });
    length.filter(|length| *length <= super::MAX_LENGTH)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verdicts(bytes: &[u8]) -> Vec<FramingVerdict> {
        let mut scan = FramingScan::new();
        scan.feed(bytes);
        (0..scan.heads).map(|_| scan.take()).collect()
    }

    #[test]
    fn both_framings_are_seen_in_either_order_and_any_case() {
        for head in [
            &b"PUT / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"[..],
            b"PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length:5\r\n\r\n",
            b"\r\n\nPUT / HTTP/1.1\nCONTENT-LENGTH:\t5 \nTransfer-encoding: chunked\n\n",
        ] {
            assert_eq!(verdicts(head), [FramingVerdict::Both]);
        }
    }

    #[test]
    fn bodies_are_not_read_as_heads() {
        let smuggled = "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let sized = format!(
            "POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{smuggled}GET / HTTP/1.1\r\n\r\n",
            smuggled.len()
        );
        assert_eq!(verdicts(sized.as_bytes()), [FramingVerdict::Clean; 2]);
        let chunked = format!(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{:x};a=b\r\n{smuggled}\r\n0\r\n\
             Content-Length: 3\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            smuggled.len()
        );
        assert_eq!(verdicts(chunked.as_bytes()), [FramingVerdict::Clean; 2]);
    }

    #[test]
    fn of_pipelined_requests_the_ambiguous_one_is_identified() {
        let bytes =
            b"GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\
            POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n";
        assert_eq!(
            verdicts(bytes),
            [
                FramingVerdict::Clean,
                FramingVerdict::Clean,
                FramingVerdict::Both
            ]
        );
    }

    #[test]
    fn blank_lines_between_requests_are_not_a_head() {
        let mut scan = FramingScan::new();
        scan.feed(b"\r\n\r");
        assert!(!scan.in_head());
        scan.feed(b"\nG");
        assert!(scan.in_head());
    }

    #[test]
    fn the_scan_gives_up_on_malformed_chunks_and_lengths() {
        for bytes in [
            &b"POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n"[..],
            b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 9223372036854775808\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naX",
        ] {
            let mut scan = FramingScan::new();
            scan.feed(bytes);
            assert_eq!(scan.at, At::Lost, "{:?}", bytes.escape_ascii().to_string());
        }
    }

    proptest! {
        #[test]
        fn the_verdict_does_not_depend_on_how_reads_split(
            cuts in proptest::collection::vec(0usize..260, 0..8),
            pad in " {0,60}",
        ) {
            let bytes = format!(
                "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nX:{pad}\r\n\r\n\
                 PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nT: x\r\n\r\n\
                 PUT / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
            );
            let bytes = bytes.as_bytes();
            let mut cuts: Vec<_> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut scan = FramingScan::new();
            let mut from = 0;
            for cut in cuts {
                scan.feed(&bytes[from..cut]);
                from = cut;
            }
            scan.feed(&bytes[from..]);
            prop_assert_eq!(scan.heads, 4);
            let verdicts: Vec<_> = (0..4).map(|_| scan.take()).collect();
            prop_assert_eq!(verdicts, [FramingVerdict::Clean, FramingVerdict::Clean, FramingVerdict::Clean, FramingVerdict::Both]);
        }

        #[test]
        fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut scan = FramingScan::new();
            scan.feed(&bytes);
            let _ = (scan.take(), scan.in_head(), scan.in_body());
        }
    }
}
