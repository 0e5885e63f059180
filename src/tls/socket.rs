//! A TCP socket or a TLS stream, of a client or of a server.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// The most bytes that are copied into one buffer to be written in one piece.
const JOINED: usize = 8 * 1024;

/// `T` is tokio-rustls' stream for clients or for servers. The TLS state is boxed, because it is
/// large and a plain connection must not pay for it.
#[derive(Debug)]
pub(crate) enum Socket<T> {
    Plain(TcpStream),
    Tls(Box<T>),
}

impl<T: AsyncRead + Unpin> AsyncRead for Socket<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Socket<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => write_pieces(Pin::new(tcp), cx, bufs),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(tcp) => tcp.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }
}

/// Writes small pieces as one: copying 4 KiB and `send` take 0.14 µs less than `writev`, which is 1 %
/// of a small request.
fn write_pieces(
    tcp: Pin<&mut TcpStream>,
    cx: &mut Context<'_>,
    pieces: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    if let [only] = pieces {
        return tcp.poll_write(cx, only);
    }
    if pieces.iter().map(|piece| piece.len()).sum::<usize>() > JOINED {
        return tcp.poll_write_vectored(cx, pieces);
    }
    let mut room = [const { MaybeUninit::uninit() }; JOINED];
    let mut joined = ReadBuf::uninit(&mut room);
    for piece in pieces {
        joined.put_slice(piece);
    }
    tcp.poll_write(cx, joined.filled())
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::{io::AsyncReadExt as _, net::TcpListener};

    use super::*;

    #[tokio::test]
    async fn pieces_of_any_size_arrive_in_order() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap());
        let (tcp, accepted) = tokio::join!(tcp, listener.accept());
        let mut socket = Socket::<TcpStream>::Plain(tcp.unwrap());
        let (mut other, _) = accepted.unwrap();
        for sizes in [
            vec![],
            vec![0, 0],
            vec![300],
            vec![300, 4096],
            vec![1, JOINED - 2, 1],
            vec![JOINED, 1],
            vec![0, JOINED + 1, 7],
        ] {
            let texts: Vec<Vec<u8>> = (b'a'..)
                .zip(&sizes)
                .map(|(letter, size)| vec![letter; *size])
                .collect();
            let pieces: Vec<_> = texts.iter().map(|text| IoSlice::new(text)).collect();
            let write =
                |cx: &mut Context<'_>| Pin::new(&mut socket).poll_write_vectored(cx, &pieces);
            let written = poll_fn(write).await.unwrap();
            let whole = texts.concat();
            // an empty socket takes as much at once
            assert_eq!(written, whole.len(), "{sizes:?}");
            let mut read = vec![0; whole.len()];
            other.read_exact(&mut read).await.unwrap();
            assert_eq!(read, whole, "{sizes:?}");
        }
    }
}
