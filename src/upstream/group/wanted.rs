//! What a request wants of its servers.

use std::net::IpAddr;

/// What of a request matters to the choice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PickCriteria {
    /// The client's address, for `balance = "source"`.
    pub client: IpAddr,
    /// The server that the request belongs to, wherever others would go.
    pub owner: Option<usize>,
    /// Servers that this request has been at, a bit for each: asked again only if there is no other.
    pub tried: TriedBackends,
}

/// A set of servers; of a console with more than 64 the others are never in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TriedBackends(u64);

impl TriedBackends {
    /// Adds one.
    pub(crate) fn add(&mut self, index: usize) {
        self.0 |= Self::bit(index);
    }

    /// Whether it is in there.
    pub(crate) fn has(self, index: usize) -> bool {
        self.0 & Self::bit(index) != 0
    }

    const fn bit(index: usize) -> u64 {
        if index < 64 { 1 << index } else { 0 }
    }
}
