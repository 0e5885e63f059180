//! What a backend's answer says about addresses and cookies, in the client's terms.
//!
//! In a request's way: after the attempt, before the answer goes out.

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

/// Rewrites a body piece by piece, and holds back no more than what one address may take.
pub trait Rewriter {
    /// Takes the next piece of the body.
    fn feed(&mut self, piece: &Bytes);

    /// The next piece that is ready to be sent.
    fn pop(&mut self) -> Option<Bytes>;

    /// Whether no piece is ready.
    fn is_empty(&self) -> bool;

    /// Ends the body: what is held back is not an address and is released unchanged.
    fn finish(&mut self);
}
