//! The life of one connection: handshake → parked ⇄ serving → lingering.
//!
//! hyper keeps at least 8 KiB of buffers for as long as its connection lives. A connection that has
//! been quiet for two ticks, or for a moment after its first request, is therefore taken apart:
//! only the socket and its [`State`] stay, and the next byte builds hyper's part anew. The hyper part is boxed apart, so a parked task is small.

use std::{
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncWrite, net::TcpStream};

use self::{
    announced::Announced,
    hello::{Greeted, Hello},
    lingering::Lingering,
};
use crate::{
    net::{Sources, proxy_protocol::Malformed},
    refusal::Refusal,
    server::{
        ConnInfo, Cut, HttpService, Tls,
        exchange::Exchange,
        stream::Stream,
        timers::{End, Phase, State},
        tunnel::Tunnelling,
        watched::Watched,
        worker::Worker,
    },
};

mod announced;
mod hello;
mod lingering;
mod plain_http;
mod refusing;

type Http1<S> = http1::Connection<TokioIo<Watched>, Exchange<S>>;
type Http2<S> = http2::Connection<TokioIo<Watched>, Exchange<S>, LocalExecutor>;

/// Runs a connection's streams on the worker's own thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future<Output: 'static> + 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// Whether the client broke the protocol, for which it was sent a GOAWAY (RFC 9113 section 5.4.1).
fn is_broken_http2(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    let cause = source.and_then(|source| source.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| cause.is_go_away() && cause.is_library())
}

/// A connection's task.
pub(super) struct Connection<S: HttpService> {
    worker: Rc<Worker>,
    state: Rc<State>,
    service: Rc<S>,
    at: At<S>,
}

enum At<S: HttpService> {
    Announced(Box<Announced>),
    Handshake(Box<Hello>),
    Parked(Stream),
    Serving(Box<Http1<S>>),
    Multiplexed(Box<Http2<S>>),
    Tunnel(Tunnelling),
    Lingering(Lingering),
    Done,
}

impl<S: HttpService> Connection<S> {
    /// A fresh connection, entered in the worker's list; it ends at once if nothing is begun.
    pub(super) fn new(worker: Rc<Worker>, state: State, service: Rc<S>) -> Self {
        let state = Rc::new(state);
        worker.enter(&state);
        Self {
            worker,
            state,
            service,
            at: At::Done,
        }
    }

    /// Waits for a PROXY protocol header before anything else.
    pub(super) fn expect_header(
        &mut self,
        tcp: TcpStream,
        tls: Option<Tls>,
        sources: &Rc<Sources>,
    ) {
        self.at = At::Announced(Box::new(Announced {
            tcp,
            tls,
            sources: Rc::clone(sources),
            header: Vec::new(),
        }));
    }

    /// Begins with TLS, or with HTTP.
    pub(super) fn begin(&mut self, tcp: TcpStream, tls: Option<&Tls>) {
        self.at = if let Some(tls) = tls {
            self.state.enter(Phase::Handshake);
            At::Handshake(Box::new(Hello::new(tcp, tls.current())))
        } else {
            self.state.enter(Phase::Idle);
            self.state.parked.set(true);
            At::Parked(Stream::Plain(tcp))
        };
    }

    /// Whether this client may connect; counts it if not.
    pub(super) fn welcome(&self, sources: &Sources) -> bool {
        let welcome = self.worker.welcome(&self.state, sources);
        if let Err(refusal) = welcome {
            refusal.count();
            let (peer, reason) = (self.state.info().peer, refusal.reason());
            tracing::debug!(%peer, reason, "connection refused");
        }
        welcome.is_ok()
    }

    /// The header is whole: who is it, and may they?
    fn announced(&mut self, client: Option<SocketAddr>) {
        let At::Announced(announced) = std::mem::replace(&mut self.at, At::Done) else {
            return;
        };
        let Announced {
            tcp, tls, sources, ..
        } = *announced;
        if let Some(client) = client {
            let info = self.state.info();
            let info = ConnInfo::new(client, info.local, info.listener, info.tls);
            self.state.set_info(info);
        }
        if self.welcome(&sources) {
            self.begin(tcp, tls.as_ref());
        }
    }

    /// What came is no header: the listed peer is not set up as the listener is.
    fn misannounced(&mut self) {
        Refusal::ProxyHeader.count();
        tracing::info!(
            peer = %self.state.info().peer,
            reason = Refusal::ProxyHeader.reason(),
            "connection closed: {Malformed}"
        );
        if let At::Announced(announced) = std::mem::replace(&mut self.at, At::Done) {
            self.hang_up(Stream::Plain(announced.tcp), true);
        }
    }

    fn serve(&mut self, stream: Stream) {
        if self.state.take_up() {
            self.worker.watch(&self.state);
        }
        let http2 = stream.speaks_http2();
        let watched = Watched::new(stream, Rc::clone(&self.state));
        let exchange = Exchange::new(S::clone(&self.service), Rc::clone(&self.state));
        if http2 {
            self.state.multiplex();
            let io = TokioIo::new(watched);
            let http2 = self.worker.http2.serve_connection(io, exchange);
            self.at = At::Multiplexed(Box::new(http2));
            return;
        }
        let http1 = self
            .worker
            .http1
            .serve_connection(TokioIo::new(watched), exchange);
        self.at = At::Serving(Box::new(http1));
    }

    /// Takes hyper apart, if it agrees that nothing is going on.
    ///
    /// hyper ends at once when it is told to shut down while idle; if it is not idle after all, the
    /// next answer says `Connection: close`, and no request is lost either way.
    fn park(&mut self, mut http1: Box<Http1<S>>, cx: &mut Context<'_>) {
        Pin::new(&mut *http1).graceful_shutdown();
        self.at = match Pin::new(&mut *http1).poll(cx) {
            Poll::Ready(Ok(())) => {
                let parts = http1.into_parts();
                // blank lines are all that the scan lets hyper hold between requests
                if parts.read_buf.iter().all(u8::is_ascii_whitespace) {
                    self.state.parked.set(true);
                    At::Parked(parts.io.into_inner().into_stream())
                } else {
                    At::Done
                }
            }
            Poll::Ready(Err(_)) => At::Done,
            Poll::Pending => At::Serving(http1),
        };
    }

    /// Shuts the write side. What the client still sends is read and thrown away for a while:
    /// closing with unread bytes would reset the connection and could destroy the last answer.
    fn hang_up(&mut self, stream: Stream, more: bool) {
        self.state.enter(Phase::Linger);
        let now = self.state.clock.now.get();
        self.at = At::Lingering(Lingering::new(stream, more, now));
    }

    /// Whether nothing at all has come of what has to come first.
    fn is_silent(&self) -> bool {
        match &self.at {
            At::Announced(announced) => announced.is_silent(),
            At::Handshake(hello) => hello.is_silent(),
            At::Parked(_)
            | At::Serving(_)
            | At::Multiplexed(_)
            | At::Tunnel(_)
            | At::Lingering(_)
            | At::Done => false,
        }
    }

    /// Ends the connection on the sweep's word.
    fn end(&mut self, end: End, cx: &mut Context<'_>) {
        let phase = self.state.phase();
        // who is told of it, unless something of an answer is under way
        let mut late = None;
        match end {
            End::Silent => {}
            // nobody asked for anything
            End::Head if self.is_silent() => {}
            End::Head => {
                Refusal::HeadTimeout.count();
                late = (phase == Phase::Head).then_some(Refusal::HeadTimeout);
                if phase == Phase::Multiplexed {
                    self.note(Refusal::HeadTimeout, 0);
                }
            }
            End::Body => {
                Refusal::BodyTimeout.count();
                late = (phase == Phase::Busy).then_some(Refusal::BodyTimeout);
            }
            End::Goodbye => {
                if let (At::Multiplexed(http2), Some(streams)) =
                    (&mut self.at, self.state.streams())
                {
                    streams.goodbye.set(true);
                    Pin::new(&mut **http2).graceful_shutdown();
                }
                return;
            }
        }
        if end == End::Body {
            self.state.info().set_cut(Cut::Stalled);
        }
        tracing::debug!(peer = %self.state.info().peer, ?phase, ?end, "connection ended");
        self.at = match (std::mem::replace(&mut self.at, At::Done), late) {
            (At::Serving(http1), Some(refusal)) if self.state.flushed.get() => {
                let stream = http1.into_parts().io.into_inner().into_stream();
                self.refuse(stream, refusal, None, cx);
                return;
            }
            // says goodbye in TLS where that needs no waiting
            (At::Parked(mut stream), _) => {
                let _sent = Pin::new(&mut stream).poll_shutdown(cx);
                At::Done
            }
            (
                At::Handshake(_)
                | At::Serving(_)
                | At::Multiplexed(_)
                | At::Tunnel(_)
                | At::Announced(_)
                | At::Lingering(_)
                | At::Done,
                _,
            ) => At::Done,
        };
    }
}

impl<S: HttpService> Future for Connection<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if let Some(end) = this.state.ending(cx) {
            this.end(end, cx);
        }
        loop {
            match &mut this.at {
                At::Handshake(hello) => match ready!(hello.poll(cx)) {
                    Ok(Greeted::Plain(tcp, head)) => this.plain(tcp, &head, cx),
                    // somebody asks whether the port is open
                    Ok(Greeted::Nobody) => this.at = At::Done,
                    Ok(Greeted::Tls(tls)) => {
                        this.state.enter(Phase::Idle);
                        // a request may already have come with the handshake's last bytes
                        this.serve(Stream::Tls(tls));
                    }
                    Err(error) => {
                        this.worker.tls_failures.increment(1);
                        tracing::debug!(peer = %this.state.info().peer, %error, "TLS handshake failed");
                        this.at = At::Done;
                    }
                },
                At::Parked(stream) => {
                    // an error shows again when hyper reads
                    let _readable = ready!(stream.poll_readable(cx));
                    if let At::Parked(stream) = std::mem::replace(&mut this.at, At::Done) {
                        this.serve(stream);
                    }
                }
                At::Serving(http1) => {
                    let result = Pin::new(&mut **http1).poll(cx);
                    if result.is_pending() && !this.state.is_parkable() {
                        return Poll::Pending;
                    }
                    if let At::Serving(http1) = std::mem::replace(&mut this.at, At::Done) {
                        match result {
                            Poll::Ready(result) => this.served(*http1, &result, cx),
                            Poll::Pending => {
                                this.park(http1, cx);
                                if matches!(this.at, At::Serving(_)) {
                                    return Poll::Pending;
                                }
                            }
                        }
                    }
                }
                At::Multiplexed(http2) => {
                    let result = Pin::new(&mut **http2).poll(cx);
                    if let Some(streams) = this.state.streams() {
                        streams.leftovers.poll(this.state.clock.now.get(), cx);
                    }
                    if let Err(error) = ready!(result) {
                        tracing::debug!(peer = %this.state.info().peer, %error, "connection failed");
                        if is_broken_http2(&error) {
                            Refusal::BadRequest.count();
                            this.note(Refusal::BadRequest, 0);
                        }
                    }
                    this.at = At::Done;
                }
                At::Announced(announced) => match ready!(announced.poll(cx)) {
                    Ok(client) => this.announced(client),
                    // a balancer that asks whether the port is open
                    Err(Malformed) if announced.is_silent() => this.at = At::Done,
                    Err(Malformed) => this.misannounced(),
                },
                At::Tunnel(tunnel) => {
                    ready!(tunnel.poll(cx));
                    this.at = At::Done;
                }
                At::Lingering(lingering) => {
                    let now = this.state.clock.now.get();
                    ready!(lingering.poll(now, &this.worker.limits, cx));
                    this.at = At::Done;
                }
                At::Done => return Poll::Ready(()),
            }
        }
    }
}

impl<S: HttpService> Drop for Connection<S> {
    fn drop(&mut self) {
        self.worker.leave(&self.state);
    }
}
