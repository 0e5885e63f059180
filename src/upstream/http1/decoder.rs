//! Decodes the body of a response (RFC 9112 sections 6.3 and 7.1).

use bytes::{Buf, Bytes, BytesMut};
use http_body::SizeHint;
use httparse::Status;

use super::{Http1Error, MAX_HEAD};

/// In bytes: the longest line with a chunk size, including chunk extensions.
const MAX_SIZE_LINE: usize = 4096;

/// What is expected next of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoder {
    /// Nothing: the body has ended.
    Ended,
    /// This many bytes, at least one.
    Length(u64),
    /// Everything until the server closes the connection.
    UntilClose,
    /// A chunk size.
    Size,
    /// This many bytes of a chunk, at least one.
    Chunk(u64),
    /// The line end after a chunk.
    ChunkEnd,
    /// Trailers, of which this many bytes have arrived, and then the end.
    Trailers(usize),
}

impl Decoder {
    pub const fn length(bytes: u64) -> Self {
        match bytes {
            0 => Self::Ended,
            _ => Self::Length(bytes),
        }
    }

    pub const fn chunked() -> Self {
        Self::Size
    }

    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Ended)
    }

    pub fn size_hint(self) -> SizeHint {
        match self {
            Self::Ended => SizeHint::with_exact(0),
            Self::Length(bytes) => SizeHint::with_exact(bytes),
            Self::UntilClose | Self::Size | Self::Chunk(_) | Self::ChunkEnd | Self::Trailers(_) => {
                SizeHint::default()
            }
        }
    }

    /// Takes data off the input. `None`: the body has ended, or more input is needed.
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
            // The end has often arrived with the data; knowing it now saves a poll. An error in it is
            // found again by the next call.
            let _ = self.step_over_frame(input);
        }
        Ok(data)
    }

    /// The server has closed the connection.
    pub fn close(&mut self) -> Result<(), Http1Error> {
        match self {
            Self::Ended | Self::UntilClose => {
                *self = Self::Ended;
                Ok(())
            }
            _ => Err(Http1Error::Closed),
        }
    }

    /// Takes chunk sizes, line ends and trailers off the input.
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
