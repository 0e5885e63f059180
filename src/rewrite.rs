//! Translates addresses and cookies in a backend's response into the gateway's.
//!
//! On the request path: after the attempt, before the response is sent to the client.

pub(crate) mod addresses;
pub(crate) mod consoles;
pub(crate) mod json;
pub(crate) mod link;
pub(crate) mod location;
pub(crate) mod node;
pub(crate) mod own_link;
pub(crate) mod own_page;
pub(crate) mod pages;
pub(crate) mod set_cookie;
pub(crate) mod url;

use bytes::Bytes;

/// Rewrites a body piece by piece. Holds back at most one address.
pub trait Rewriter {
    /// Takes the next piece of the body.
    fn feed(&mut self, piece: &Bytes);

    /// Returns the next piece that is ready to be sent.
    fn pop(&mut self) -> Option<Bytes>;

    /// Whether no piece is ready.
    fn is_empty(&self) -> bool;

    /// Ends the body. What is held back is not a complete address and is released unchanged.
    fn finish(&mut self);
}
