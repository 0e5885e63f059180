//! Reads the first bytes of a connection before TLS or HTTP gets it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpStream,
};

/// Bytes of one read.
const CHUNK: usize = 1024;

/// Appends what has arrived, but at most `limit` bytes, to `prefix`. False at the end of the stream
/// and after an error: nothing more will come.
///
/// Bytes beyond `limit` stay in the socket, where the next reader finds them.
pub(crate) fn poll_more(
    tcp: &mut TcpStream,
    cx: &mut Context<'_>,
    prefix: &mut Vec<u8>,
    limit: usize,
) -> Poll<bool> {
    // Through a small array, because `ReadBuf` over the vector's spare capacity would need `unsafe`.
    let mut chunk = [0; CHUNK];
    let mut buf = ReadBuf::new(&mut chunk[..limit.min(CHUNK)]);
    let read = ready!(Pin::new(tcp).poll_read(cx, &mut buf));
    prefix.extend_from_slice(buf.filled());
    Poll::Ready(read.is_ok() && !buf.filled().is_empty())
}
