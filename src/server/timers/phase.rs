//! What a connection is doing, and why it is ended.

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Phase {
    /// The TLS handshake.
    Handshake,
    /// Between requests.
    Idle,
    /// A head has begun to arrive.
    Head,
    /// The service has the request and has not answered.
    Busy,
    /// The answer's body is on its way.
    Body,
    /// Answered; the request's body still arrives.
    Tail,
    /// Refused or timed out: waiting for the client to read the answer and close.
    Linger,
    /// HTTP/2: see `Streams`.
    Multiplexed,
    /// Upgraded: bytes both ways.
    Tunnel,
}

/// Why the sweep ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum End {
    /// Idle, lingering or drained: closed without a word.
    Silent,
    /// `timeouts.head`.
    Head,
    /// `timeouts.body_idle`.
    Body,
    /// HTTP/2: told to open no more streams; what is open goes on.
    Goodbye,
}
