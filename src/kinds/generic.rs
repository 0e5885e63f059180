//! `generic`: any web server that speaks SPNEGO.

use super::Kind;

#[derive(Debug)]
pub(super) struct Generic;

impl Kind for Generic {
    fn name(&self) -> &'static str {
        "generic"
    }
}
