//! Changes the administrative state of backends, for the admin listener.

use std::sync::Arc;

use super::GatewayParts;
use crate::admin::control::{Assign, ControlError};

pub(super) fn assign(shared: &GatewayParts) -> Assign {
    let (groups, streams) = (Arc::clone(&shared.upstreams), shared.streams.clone());
    Arc::new(move |wanted| {
        let mut named = streams.streams.iter();
        if let Some(stream) = named.find(|stream| *stream.name == *wanted.console) {
            if stream.assign(&wanted.backend, wanted.state) {
                return Ok(());
            }
            // A console may have the same name as a stream; its backends are tried next.
            if groups.iter().all(|group| *group.console != *stream.name) {
                let known: Vec<&str> = stream.backends.iter().map(|b| &*b.address).collect();
                return Err(ControlError::Backend {
                    console: wanted.console.clone(),
                    backend: wanted.backend.clone(),
                    known: known.join(", "),
                });
            }
        }
        let group = groups
            .iter()
            .find(|group| *group.console == *wanted.console)
            .ok_or_else(|| ControlError::Console(wanted.console.clone()))?;
        // The configuration has host names in lower case, an operator may not write them so.
        let is_wanted = |authority: &&Arc<str>| authority.eq_ignore_ascii_case(&wanted.backend);
        let index = group.authorities.iter().position(|a| is_wanted(&a));
        let index = index.ok_or_else(|| ControlError::Backend {
            console: wanted.console.clone(),
            backend: wanted.backend.clone(),
            known: group.authorities.join(", "),
        })?;
        group.assign(index, wanted.state);
        Ok(())
    })
}
