//! The state of the keytab, for the log, the metric `spnegate_keytab_valid` and the status page.

use std::{sync::Arc, time::SystemTime};

use super::key_set::KeySet;
use crate::gss::{KeytabError, Principal};

/// The state of the keytab file.
#[derive(Clone, Debug)]
pub struct KeytabStatus {
    /// Why the file cannot be used; the keys loaded before stay in use. `None` if it is valid.
    pub error: Option<Arc<KeytabError>>,
    /// When the file became valid or invalid, or its content was loaded.
    pub since: SystemTime,
    /// How many different contents have been loaded, the one at start included.
    pub generation: u64,
    /// The principals in use.
    pub principals: Arc<[Principal]>,
}

impl KeytabStatus {
    pub(super) fn first(keys: &KeySet) -> Self {
        Self {
            error: None,
            since: SystemTime::now(),
            generation: 1,
            principals: keys.principals(),
        }
    }

    /// Whether the keys in use are those of the file.
    pub fn valid(&self) -> bool {
        self.error.is_none()
    }
}
