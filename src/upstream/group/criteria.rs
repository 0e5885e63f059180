//! What matters of a request to the choice of a backend.

use std::net::IpAddr;

#[derive(Clone, Copy, Debug)]
pub(crate) struct PickCriteria {
    /// The client's address, for `balance = "source"`.
    pub client: IpAddr,
    /// The index of the only server that can serve the request, if there is one.
    pub owner: Option<usize>,
    /// The servers that have failed for this request. They are chosen again only if there is no other.
    pub tried: TriedBackends,
}

/// A set of backend indexes below 64; greater ones are never members, which costs only the preference
/// for untried servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TriedBackends(u64);

impl TriedBackends {
    pub(crate) fn add(&mut self, index: usize) {
        self.0 |= Self::bit(index);
    }

    pub(crate) fn has(self, index: usize) -> bool {
        self.0 & Self::bit(index) != 0
    }

    const fn bit(index: usize) -> u64 {
        if index < 64 { 1 << index } else { 0 }
    }
}
