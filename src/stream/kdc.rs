//! The KDC relay: Kerberos requests by TCP and UDP (RFC 4120 section 7.2), port 464 too (RFC 3244).
//!
//! A request is passed on as it came and so is its answer; `KRB_ERR_RESPONSE_TOO_BIG` among them, at
//! which a client turns to TCP. What the gateway adds: a request that a KDC leaves without an answer
//! goes to the next within the client's own patience (MIT's client waits a second), and where none
//! answers the client is told so in its own language.

pub(crate) mod exchange;
pub(crate) mod kkdcp;
pub(crate) mod message;
pub(super) mod tcp;
pub(super) mod udp;

/// The longest message: MS-KKDCP's own limit, and more than any PAC makes of a ticket.
pub const MAX_MESSAGE: usize = 128 * 1024;
