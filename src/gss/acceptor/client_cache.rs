//! Client names by ticket: the name is resolved once per ticket and cached.
//!
//! A client logs in with the same ticket for hours. To give its name, MIT's GSSAPI makes three more
//! contexts of the krb5 library, each of which checks `krb5.conf` with two system calls under a lock of
//! the whole process. A profile of the accept threads showed 11 µs of CPU for it on one core and 19 µs
//! on two, in a login of 75 µs. The name is in the ticket's encrypted part, which only the KDC can
//! write, so the same bytes, accepted again, belong to the same client. GSSAPI still decrypts the
//! ticket and verifies by the authenticator that the client has its session key.

use ring::digest::{SHA256, digest};

use crate::gss::Principal;

/// The most tickets that are cached: a few megabytes.
const CAPACITY: u64 = 16 * 1024;

#[derive(Debug)]
pub(super) struct ClientCache(moka::sync::Cache<TicketHash, Principal>);

/// The SHA-256 of a ticket. Not a fast hash: a client that could find a collision with another client's
/// ticket would take its name.
pub(super) type TicketHash = [u8; 32];

impl ClientCache {
    pub(super) fn new() -> Self {
        Self(moka::sync::Cache::new(CAPACITY))
    }

    /// `ticket` is the encoding of the whole `Ticket`.
    #[expect(clippy::expect_used, reason = "SHA-256 has 32 bytes")]
    pub(super) fn key(ticket: &[u8]) -> TicketHash {
        let digest = digest(&SHA256, ticket);
        digest.as_ref().try_into().expect("32 bytes")
    }

    pub(super) fn find(&self, key: &TicketHash) -> Option<Principal> {
        self.0.get(key)
    }

    /// Only with the name that GSSAPI gave for this very ticket, after it has accepted it.
    pub(super) fn insert(&self, key: TicketHash, client: &Principal) {
        self.0.insert(key, client.clone());
    }
}
