//! Truststores: each is loaded once, shared by all backends that use it, and reloaded when it changes.

use std::{collections::HashMap, sync::Arc};

use crate::{
    config::{Config, Console},
    tls::{TlsError, Trust, TrustSource, watch::Watch},
};

/// The truststores that have been loaded.
#[derive(Debug, Default)]
pub(super) struct Truststores {
    known: HashMap<TrustSource, Trust>,
    /// Files to reload when they change.
    pub(super) watches: Vec<Watch>,
}

impl Truststores {
    pub(super) fn load(&mut self, source: &TrustSource) -> Result<Trust, TlsError> {
        if let Some(trust) = self.known.get(source) {
            return Ok(trust.clone());
        }
        // The watch notes the state of the files before they are read, so that a change in
        // between is noticed.
        let watch = Watch::begin(source.files());
        let trust = Trust::load(source)?;
        self.watches.push(watch.reload({
            let (trust, source) = (trust.clone(), source.clone());
            move || trust.reload(&source)
        }));
        self.known.insert(source.clone(), trust.clone());
        Ok(trust)
    }

    /// The truststore for the nodes of each console.
    pub(super) fn of_nodes(&mut self, config: &Config) -> Result<Arc<[Option<Trust>]>, TlsError> {
        let of = |console: &Console| {
            let source = console.node_trust.as_ref();
            source.map(|source| self.load(source)).transpose()
        };
        config.consoles.iter().map(of).collect()
    }
}
