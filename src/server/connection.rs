//! The life of one connection: handshake → parked ⇄ serving → lingering.
//!
//! hyper keeps at least 8 KiB of buffers for as long as its connection lives. A connection that has
//! been quiet for two ticks, or for 10–20 ms after its first request, is therefore *parked*: hyper's
//! part is dropped, and only the socket and its [`ConnectionState`] stay until the next byte arrives.
//! hyper's part is boxed, so that the task of a parked connection is small.

use std::{
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use hyper::server::conn::{http1, http2 as hyper_http2};
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncWrite, net::TcpStream};

use self::{
    exchange::Exchange,
    handshake::{Handshake, HandshakeOutcome},
    lingering::Lingering,
    observed::ObservedStream,
    proxy_header::ProxyHeaderReader,
    stream::Stream,
    tunnel::RunningTunnel,
};
use crate::{
    net::{SourcePolicy, proxy_protocol::Malformed},
    refusal::Refusal,
    server::{AbortCause, ConnInfo, HttpService, Tls, worker::Worker},
};

mod discard;
mod exchange;
mod handshake;
mod http2;
mod lingering;
mod observed;
mod own_response;
mod proxy_header;
mod request_body;
mod state;
mod stream;
mod tunnel;

pub use self::request_body::RequestBody;
pub(super) use self::state::{CloseReason, ConnectionState, FAST_PARKING_INTERVAL, Phase};
pub(crate) use self::tunnel::{Tunnel, TunnelBackend};

type Http1<S> = http1::Connection<TokioIo<ObservedStream>, Exchange<S>>;
type Http2<S> = hyper_http2::Connection<TokioIo<ObservedStream>, Exchange<S>, LocalExecutor>;

/// Runs the streams of an HTTP/2 connection on the worker's own thread: services are not `Send`.
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

/// Whether h2 sent a GOAWAY because the client violated the protocol (RFC 9113 section 5.4.1).
fn is_protocol_violation(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    let cause = source.and_then(|source| source.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| cause.is_go_away() && cause.is_library())
}

/// A connection's task.
pub(super) struct Connection<S: HttpService> {
    worker: Rc<Worker>,
    state: Rc<ConnectionState>,
    service: Rc<S>,
    stage: Stage<S>,
}

enum Stage<S: HttpService> {
    ProxyHeader(Box<ProxyHeaderReader>),
    Handshake(Box<Handshake>),
    Parked(Stream),
    Serving(Box<Http1<S>>),
    Multiplexed(Box<Http2<S>>),
    Tunnel(RunningTunnel),
    Lingering(Lingering),
    Done,
}

impl<S: HttpService> Connection<S> {
    /// Registers a new connection with the worker. It ends when it is first polled, unless
    /// [`Connection::expect_header`] or [`Connection::begin`] is called before.
    pub(super) fn new(worker: Rc<Worker>, state: ConnectionState, service: Rc<S>) -> Self {
        let state = Rc::new(state);
        worker.register(&state);
        Self {
            worker,
            state,
            service,
            stage: Stage::Done,
        }
    }

    /// Reads a PROXY protocol header before anything else.
    pub(super) fn expect_header(
        &mut self,
        tcp: TcpStream,
        tls: Option<Tls>,
        sources: &Rc<SourcePolicy>,
    ) {
        self.stage = Stage::ProxyHeader(Box::new(ProxyHeaderReader::new(
            tcp,
            tls,
            Rc::clone(sources),
        )));
    }

    /// Begins with TLS where the listener has it, otherwise with HTTP.
    pub(super) fn begin(&mut self, tcp: TcpStream, tls: Option<&Tls>) {
        self.stage = if let Some(tls) = tls {
            self.state.enter(Phase::Handshake);
            Stage::Handshake(Box::new(Handshake::new(tcp, tls.current())))
        } else {
            self.state.enter(Phase::Idle);
            self.state.parked();
            Stage::Parked(Stream::Plain(tcp))
        };
    }

    /// Whether this client may connect. A refusal is counted and logged.
    pub(super) fn is_admitted(&self, sources: &SourcePolicy) -> bool {
        let admission = self.worker.admit_client(&self.state, sources);
        if let Err(refusal) = admission {
            refusal.count();
            let (peer, reason) = (self.state.info().peer, refusal.reason());
            tracing::debug!(%peer, reason, "connection refused");
        }
        admission.is_ok()
    }

    /// The PROXY protocol header is complete.
    fn proxy_header_read(&mut self, client: Option<SocketAddr>) {
        let Stage::ProxyHeader(reader) = std::mem::replace(&mut self.stage, Stage::Done) else {
            return;
        };
        let ProxyHeaderReader {
            tcp, tls, sources, ..
        } = *reader;
        if let Some(client) = client {
            let info = self.state.info();
            let info = ConnInfo::new(client, info.local, info.listener, info.tls);
            self.state.set_info(info);
        }
        if self.is_admitted(&sources) {
            self.begin(tcp, tls.as_ref());
        }
    }

    /// The peer is listed in `accept_proxy`, but sends no PROXY protocol header: its configuration
    /// and the listener's do not agree.
    fn proxy_header_malformed(&mut self) {
        Refusal::ProxyHeader.count();
        tracing::info!(
            peer = %self.state.info().peer,
            reason = Refusal::ProxyHeader.reason(),
            "connection closed: {Malformed}"
        );
        if let Stage::ProxyHeader(reader) = std::mem::replace(&mut self.stage, Stage::Done) {
            self.hang_up(Stream::Plain(reader.tcp), true);
        }
    }

    /// Builds hyper's part.
    fn serve(&mut self, stream: Stream) {
        if self.state.resumed() {
            self.worker.try_fast_parking(&self.state);
        }
        let http2 = stream.speaks_http2();
        let observed = ObservedStream::new(stream, Rc::clone(&self.state));
        let exchange = Exchange::new(S::clone(&self.service), Rc::clone(&self.state));
        if http2 {
            self.state.http2_agreed();
            let io = TokioIo::new(observed);
            let http2 = self.worker.http2.serve_connection(io, exchange);
            self.stage = Stage::Multiplexed(Box::new(http2));
            return;
        }
        let http1 = self
            .worker
            .http1
            .serve_connection(TokioIo::new(observed), exchange);
        self.stage = Stage::Serving(Box::new(http1));
    }

    /// Drops hyper's part, if hyper is idle.
    ///
    /// An idle hyper connection ends immediately on a graceful shutdown. If it is not idle after all,
    /// its next response has `Connection: close`; no request is lost either way.
    fn park(&mut self, mut http1: Box<Http1<S>>, cx: &mut Context<'_>) {
        Pin::new(&mut *http1).graceful_shutdown();
        self.stage = match Pin::new(&mut *http1).poll(cx) {
            Poll::Ready(Ok(())) => {
                let parts = http1.into_parts();
                // hyper may hold blank lines between requests (RFC 9112 section 2.2), which can be
                // dropped. The framing scan excludes anything else.
                if parts.read_buf.iter().all(u8::is_ascii_whitespace) {
                    self.state.parked();
                    Stage::Parked(parts.io.into_inner().into_stream())
                } else {
                    Stage::Done
                }
            }
            Poll::Ready(Err(_)) => Stage::Done,
            Poll::Pending => Stage::Serving(http1),
        };
    }

    /// Shuts the write side down and discards what the client still sends: closing with unread bytes
    /// would reset the connection and could destroy the last response.
    fn hang_up(&mut self, stream: Stream, more: bool) {
        self.state.enter(Phase::Linger);
        let now = self.state.now();
        self.stage = Stage::Lingering(Lingering::new(stream, more, now));
    }

    /// Whether the client has sent nothing of the PROXY protocol header or the handshake.
    fn is_silent(&self) -> bool {
        match &self.stage {
            Stage::ProxyHeader(reader) => reader.is_silent(),
            Stage::Handshake(handshake) => handshake.is_silent(),
            Stage::Parked(_)
            | Stage::Serving(_)
            | Stage::Multiplexed(_)
            | Stage::Tunnel(_)
            | Stage::Lingering(_)
            | Stage::Done => false,
        }
    }

    /// Closes the connection at the sweep's request.
    fn close(&mut self, reason: CloseReason, cx: &mut Context<'_>) {
        let phase = self.state.phase();
        // A page is sent unless the client has received a part of a response.
        let mut page = None;
        match reason {
            CloseReason::Quiet => {}
            // A port scan or a health check, not a slow client.
            CloseReason::HeadTimeout if self.is_silent() => {}
            CloseReason::HeadTimeout => {
                Refusal::HeadTimeout.count();
                page = (phase == Phase::Head).then_some(Refusal::HeadTimeout);
                if phase == Phase::Multiplexed {
                    self.log_refusal(Refusal::HeadTimeout, 0);
                }
            }
            CloseReason::BodyTimeout => {
                Refusal::BodyTimeout.count();
                page = (phase == Phase::Service).then_some(Refusal::BodyTimeout);
            }
            CloseReason::Goodbye => {
                if let (Stage::Multiplexed(http2), Some(state)) =
                    (&mut self.stage, self.state.http2())
                {
                    state.goodbye_sent();
                    Pin::new(&mut **http2).graceful_shutdown();
                }
                return;
            }
        }
        if reason == CloseReason::BodyTimeout {
            self.state.set_abort_cause(AbortCause::Stalled);
        }
        tracing::debug!(peer = %self.state.info().peer, ?phase, end = ?reason, "connection ended");
        self.stage = match (std::mem::replace(&mut self.stage, Stage::Done), page) {
            (Stage::Serving(http1), Some(refusal)) if self.state.is_flushed() => {
                let stream = http1.into_parts().io.into_inner().into_stream();
                self.refuse(stream, refusal, None, cx);
                return;
            }
            // Sends TLS's close_notify (RFC 8446 section 6.1) where that needs no waiting.
            (Stage::Parked(mut stream), _) => {
                let _sent = Pin::new(&mut stream).poll_shutdown(cx);
                Stage::Done
            }
            (
                Stage::Handshake(_)
                | Stage::Serving(_)
                | Stage::Multiplexed(_)
                | Stage::Tunnel(_)
                | Stage::ProxyHeader(_)
                | Stage::Lingering(_)
                | Stage::Done,
                _,
            ) => Stage::Done,
        };
    }
}

impl<S: HttpService> Future for Connection<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if let Some(reason) = this.state.take_close_request(cx) {
            this.close(reason, cx);
        }
        loop {
            match &mut this.stage {
                Stage::Handshake(handshake) => match ready!(handshake.poll(cx)) {
                    Ok(HandshakeOutcome::Plain(tcp, head)) => {
                        this.refuse_plain_http(tcp, &head, cx);
                    }
                    // A check that the port is open.
                    Ok(HandshakeOutcome::Closed) => this.stage = Stage::Done,
                    Ok(HandshakeOutcome::Tls(tls)) => {
                        this.state.enter(Phase::Idle);
                        // Not parked: rustls may already have decrypted a request that came with
                        // the handshake's last bytes, and the socket would not become readable.
                        this.serve(Stream::Tls(tls));
                    }
                    Err(error) => {
                        this.worker.tls_failures.increment(1);
                        tracing::debug!(peer = %this.state.info().peer, %error, "TLS handshake failed");
                        this.stage = Stage::Done;
                    }
                },
                Stage::Parked(stream) => {
                    // An error is reported again when hyper reads.
                    let _readable = ready!(stream.poll_readable(cx));
                    if let Stage::Parked(stream) = std::mem::replace(&mut this.stage, Stage::Done) {
                        this.serve(stream);
                    }
                }
                Stage::Serving(http1) => {
                    let result = Pin::new(&mut **http1).poll(cx);
                    if result.is_pending() && !this.state.is_parkable() {
                        return Poll::Pending;
                    }
                    if let Stage::Serving(http1) = std::mem::replace(&mut this.stage, Stage::Done) {
                        match result {
                            Poll::Ready(result) => this.hyper_finished(*http1, &result, cx),
                            Poll::Pending => {
                                this.park(http1, cx);
                                if matches!(this.stage, Stage::Serving(_)) {
                                    return Poll::Pending;
                                }
                            }
                        }
                    }
                }
                Stage::Multiplexed(http2) => {
                    let result = Pin::new(&mut **http2).poll(cx);
                    if let Some(state) = this.state.http2() {
                        state.poll_unread_bodies(this.state.now(), cx);
                    }
                    if let Err(error) = ready!(result) {
                        tracing::debug!(peer = %this.state.info().peer, %error, "connection failed");
                        if is_protocol_violation(&error) {
                            Refusal::BadRequest.count();
                            this.log_refusal(Refusal::BadRequest, 0);
                        }
                    }
                    this.stage = Stage::Done;
                }
                Stage::ProxyHeader(reader) => match ready!(reader.poll(cx)) {
                    Ok(client) => this.proxy_header_read(client),
                    // A balancer's check that the port is open.
                    Err(Malformed) if reader.is_silent() => this.stage = Stage::Done,
                    Err(Malformed) => this.proxy_header_malformed(),
                },
                Stage::Tunnel(tunnel) => {
                    ready!(tunnel.poll(cx));
                    this.stage = Stage::Done;
                }
                Stage::Lingering(lingering) => {
                    let now = this.state.now();
                    ready!(lingering.poll(now, &this.worker.limits, cx));
                    this.stage = Stage::Done;
                }
                Stage::Done => return Poll::Ready(()),
            }
        }
    }
}

impl<S: HttpService> Drop for Connection<S> {
    fn drop(&mut self) {
        self.worker.deregister(&self.state);
    }
}
