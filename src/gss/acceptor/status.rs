//! How the keytab is: for the log, the metric `spnegate_keytab_valid` and the status page.

use std::{sync::Arc, time::SystemTime};

use super::keyring::Keyring;
use crate::gss::{KeytabError, Principal};

/// The state of the keytab file.
#[derive(Clone, Debug)]
pub struct KeytabStatus {
    /// Why the file cannot be used; the keys loaded before stay in use. `None`: it is valid.
    pub error: Option<Arc<KeytabError>>,
    /// Since when it has been so.
    pub since: SystemTime,
    /// How often a new content was taken over, the start included.
    pub generation: u64,
    /// The principals in use.
    pub principals: Arc<[Principal]>,
}

impl KeytabStatus {
    pub(super) fn first(ring: &Keyring) -> Self {
        Self {
            error: None,
            since: SystemTime::now(),
            generation: 1,
            principals: ring.principals(),
        }
    }

    /// Whether the file on disk is the one in use.
    pub fn valid(&self) -> bool {
        self.error.is_none()
    }
}
