//! The first of a connection that comes by a balancer.

use std::{
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpStream,
};

use crate::{
    net::{
        Sources,
        proxy_protocol::{self, Malformed, Progress},
    },
    server::Tls,
};

/// A connection whose client a balancer is about to name.
pub(super) struct Announced {
    pub(super) tcp: TcpStream,
    pub(super) tls: Option<Tls>,
    pub(super) sources: Rc<Sources>,
    pub(super) header: Vec<u8>,
}

impl Announced {
    /// Whether nothing has come at all: no header was broken, and nobody asked for anything.
    pub(super) fn is_silent(&self) -> bool {
        self.header.is_empty()
    }

    /// Reads the header and no more.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<SocketAddr>, Malformed>> {
        loop {
            let more = match proxy_protocol::read(&self.header)? {
                Progress::Done(client) => return Poll::Ready(Ok(client)),
                Progress::More(more) => more,
            };
            let mut chunk = [0; 256];
            let mut buf = ReadBuf::new(&mut chunk[..more.min(256)]);
            match ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => self.header.extend_from_slice(buf.filled()),
                Ok(()) | Err(_) => return Poll::Ready(Err(Malformed)),
            }
        }
    }
}
