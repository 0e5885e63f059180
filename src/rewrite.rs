//! What a backend's answer says about addresses and cookies, in the client's terms.
//!
//! In a request's way: after the attempt, before the answer goes out.

pub mod addresses;
pub mod consoles;
pub mod json;
pub mod link;
pub mod location;
pub mod node;
pub mod own_link;
pub mod pages;
pub mod set_cookie;
pub mod url;

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
