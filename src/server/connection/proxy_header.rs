//! A connection that comes by a balancer and begins with a PROXY protocol header.

use std::{
    net::SocketAddr,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::net::TcpStream;

use crate::{
    net::{
        SourcePolicy, prefix,
        proxy_protocol::{self, Malformed, Progress},
    },
    server::Tls,
};

pub(super) struct ProxyHeaderReader {
    pub(super) tcp: TcpStream,
    pub(super) tls: Option<Tls>,
    pub(super) sources: Rc<SourcePolicy>,
    header: Vec<u8>,
}

impl ProxyHeaderReader {
    pub(super) const fn new(tcp: TcpStream, tls: Option<Tls>, sources: Rc<SourcePolicy>) -> Self {
        Self {
            tcp,
            tls,
            sources,
            header: Vec::new(),
        }
    }

    /// Whether nothing has arrived: a balancer's check that the port is open, not a broken header.
    pub(super) fn is_silent(&self) -> bool {
        self.header.is_empty()
    }

    /// Reads exactly the header, because what follows belongs to TLS or HTTP. `None`: the balancer
    /// speaks for itself.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<SocketAddr>, Malformed>> {
        loop {
            let more = match proxy_protocol::read(&self.header)? {
                Progress::Done(client) => return Poll::Ready(Ok(client)),
                Progress::More(more) => more,
            };
            if !ready!(prefix::poll_more(&mut self.tcp, cx, &mut self.header, more)) {
                return Poll::Ready(Err(Malformed));
            }
        }
    }
}
