//! Whose ticket it is, once GSSAPI has told.
//!
//! A client logs in with the same ticket for hours, and what GSSAPI takes to say its name, three
//! contexts of the krb5 library, is half of a login. The name stands in the ticket's encrypted part,
//! which only the KDC can write: the same bytes, accepted again, are the same client's. GSSAPI still
//! decrypts the ticket and proves, by the authenticator, that the client has its key.

use ring::digest::{SHA256, digest};

use crate::gss::Principal;

/// Tickets that are remembered; one more forgets one that is rarely used. A few megabytes.
const CAPACITY: u64 = 16 * 1024;

/// Clients by ticket.
#[derive(Debug)]
pub(super) struct Clients(moka::sync::Cache<Key, Principal>);

/// A ticket's hash: another ticket of the same hash cannot be made.
pub(super) type Key = [u8; 32];

impl Clients {
    pub(super) fn new() -> Self {
        Self(moka::sync::Cache::new(CAPACITY))
    }

    /// `ticket` is the encoding of the whole `Ticket`.
    #[expect(clippy::expect_used, reason = "SHA-256 has 32 bytes")]
    pub(super) fn key(ticket: &[u8]) -> Key {
        let digest = digest(&SHA256, ticket);
        digest.as_ref().try_into().expect("32 bytes")
    }

    pub(super) fn find(&self, key: &Key) -> Option<Principal> {
        self.0.get(key)
    }

    /// Only for what GSSAPI has said of this very ticket.
    pub(super) fn learn(&self, key: Key, client: &Principal) {
        self.0.insert(key, client.clone());
    }
}
