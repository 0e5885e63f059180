//! The KDC relay: Kerberos requests by TCP and UDP (RFC 4120 section 7.2), port 464 too (RFC 3244).
//!
//! Requests and replies are relayed unchanged, including `KRB_ERR_RESPONSE_TOO_BIG`, after which a client
//! uses TCP. The gateway adds two things: a request that a KDC does not reply to is sent to the next one
//! before the client gives up (MIT's client waits one second), and if no KDC replies, the client gets a
//! `KRB-ERROR`.

pub(crate) mod exchange;
pub(crate) mod kkdcp;
pub(crate) mod message;
pub(super) mod tcp;
pub(super) mod udp;

/// The longest message: the limit of MS-KKDCP, and more than a ticket with the largest PAC.
pub const MAX_MESSAGE: usize = 128 * 1024;
