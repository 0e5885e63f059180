//! Where an answer's body ends, and what of it is data (RFC 9112 sections 6.3 and 7.1).

use bytes::{Buf, Bytes, BytesMut};
use http_body::SizeHint;
use httparse::Status;

use super::{Http1Error, MAX_HEAD};

/// The longest line that says a chunk's size, its extensions included.
const MAX_SIZE_LINE: usize = 4096;

/// Reads a body off the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoder {
    /// Nothing comes any more.
    Ended,
    /// So many bytes are to come; never none.
    Length(u64),
    /// All that comes until the server closes.
    UntilClose,
    /// A chunk's size is to come.
    Size,
    /// So many bytes of a chunk are to come; never none.
    Chunk(u64),
    /// A chunk's own line end is to come.
    ChunkEnd,
    /// Trailers, of which so many bytes have come, and the end.
    Trailers(usize),
}

impl Decoder {
    /// Of a body with a `Content-Length`.
    pub const fn length(bytes: u64) -> Self {
        match bytes {
            0 => Self::Ended,
            _ => Self::Length(bytes),
        }
    }

    /// Of a body in chunks.
    pub const fn chunked() -> Self {
        Self::Size
    }

    /// Nothing comes any more.
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Ended)
    }

    /// How much is to come.
    pub fn size_hint(self) -> SizeHint {
        match self {
            Self::Ended => SizeHint::with_exact(0),
            Self::Length(bytes) => SizeHint::with_exact(bytes),
            Self::UntilClose | Self::Size | Self::Chunk(_) | Self::ChunkEnd | Self::Trailers(_) => {
                SizeHint::default()
            }
        }
    }

    /// Takes data off the input; `None`: it has ended, or more input is wanted.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, Http1Error> {
        self.step_over_frame(input)?;
        let data = match self {
            _ if input.is_empty() => None,
            Self::Length(left) => {
                let data = take(input, left);
                if *left == 0 {
                    *self = Self::Ended;
                }
                Some(data)
            }
            Self::Chunk(left) => {
                let data = take(input, left);
                if *left == 0 {
                    *self = Self::ChunkEnd;
                }
                Some(data)
            }
            Self::UntilClose => Some(input.split().freeze()),
            Self::Ended | Self::Size | Self::ChunkEnd | Self::Trailers(_) => None,
        };
        if data.is_some() {
            // the end is often here already; what is wrong with it is found by the next call too
            let _ = self.step_over_frame(input);
        }
        Ok(data)
    }

    /// The server has closed.
    pub fn close(&mut self) -> Result<(), Http1Error> {
        match self {
            Self::Ended | Self::UntilClose => {
                *self = Self::Ended;
                Ok(())
            }
            _ => Err(Http1Error::Closed),
        }
    }

    /// Takes what is no data off the input.
    fn step_over_frame(&mut self, input: &mut BytesMut) -> Result<(), Http1Error> {
        loop {
            match self {
                Self::Ended | Self::Length(_) | Self::UntilClose | Self::Chunk(_) => return Ok(()),
                Self::Size => match httparse::parse_chunk_size(input) {
                    Ok(Status::Complete((line, size))) => {
                        input.advance(line);
                        *self = match size {
                            0 => Self::Trailers(0),
                            size => Self::Chunk(size),
                        };
                    }
                    Ok(Status::Partial) if input.len() <= MAX_SIZE_LINE => return Ok(()),
                    Ok(Status::Partial) | Err(_) => return Err(Http1Error::Framing("chunk size")),
                },
                Self::ChunkEnd => match **input {
                    [b'\r', b'\n', ..] => {
                        input.advance(2);
                        *self = Self::Size;
                    }
                    [] | [b'\r'] => return Ok(()),
                    _ => return Err(Http1Error::Framing("chunk")),
                },
                Self::Trailers(before) => {
                    let Some(line_end) = memchr::memchr(b'\n', input) else {
                        return if *before + input.len() > MAX_HEAD {
                            Err(Http1Error::LargeHead)
                        } else {
                            Ok(())
                        };
                    };
                    *before += line_end + 1;
                    if *before > MAX_HEAD {
                        return Err(Http1Error::LargeHead);
                    }
                    if matches!(input[..line_end], [] | [b'\r']) {
                        *self = Self::Ended;
                    }
                    input.advance(line_end + 1);
                }
            }
        }
    }
}

fn take(input: &mut BytesMut, left: &mut u64) -> Bytes {
    let size = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
    *left -= size as u64;
    input.split_to(size).freeze()
}
