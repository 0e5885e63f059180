//! Carries out what an operator wants of a backend.

use std::sync::Arc;

use super::Shared;
use crate::admin::control::{Assign, ControlError};

/// For the admin listener.
pub(super) fn assign(shared: &Shared) -> Assign {
    let groups = Arc::clone(&shared.upstreams);
    Arc::new(move |wanted| {
        let group = groups
            .iter()
            .find(|group| *group.console == *wanted.console)
            .ok_or_else(|| ControlError::Console(wanted.console.clone()))?;
        let is = |authority: &&Arc<str>| authority.eq_ignore_ascii_case(&wanted.backend);
        let index = group.authorities.iter().position(|a| is(&a));
        let index = index.ok_or_else(|| ControlError::Backend {
            console: wanted.console.clone(),
            backend: wanted.backend.clone(),
            known: group.authorities.join(", "),
        })?;
        group.assign(index, wanted.duty);
        Ok(())
    })
}
