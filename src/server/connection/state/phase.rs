//! What a connection is doing, and why it is closed.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Phase {
    /// TLS handshake, or a PROXY protocol header.
    Handshake,
    /// Between requests.
    Idle,
    /// A part of a head has arrived.
    Head,
    /// The service has the request and has not returned a response.
    Service,
    /// The response's body is being sent.
    Response,
    /// The response is complete; the request's body is still arriving.
    UploadTail,
    /// Refused or timed out: waiting for the client to read the response and close.
    Linger,
    /// HTTP/2; see `Http2State`.
    Multiplexed,
    /// Upgraded: bytes are copied both ways.
    Tunnel,
}

/// Why the sweep closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum CloseReason {
    /// Idle, lingering or drained: closed without a response.
    Quiet,
    /// `timeouts.head`.
    HeadTimeout,
    /// `timeouts.body_idle`.
    BodyTimeout,
    /// HTTP/2: a GOAWAY is sent, open streams go on.
    Goodbye,
}
