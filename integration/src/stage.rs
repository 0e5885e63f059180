//! What the tests of one program share: a lab and a gateway before it.

use std::time::Duration;

use anyhow::Result;

use crate::{Gateway, Lab, Server};

/// How long to wait for another lab on this machine to end.
const PATIENCE: Duration = Duration::from_secs(600);

/// A lab with these servers and a gateway before all their consoles; they end with it.
#[derive(Debug)]
pub struct Stage {
    /// The servers.
    pub lab: Lab,
    /// What stands before them.
    pub gateway: Gateway,
}

impl Stage {
    /// Starts both; `sections` of the gateway's configuration file stand as they are.
    pub fn set(servers: &[Server], sections: &str) -> Result<Stage> {
        let lab = Lab::builder()
            .with(servers)
            .wait_for_turn(PATIENCE)
            .start()?;
        let gateway = Gateway::builder(&lab).sections(sections).start()?;
        Ok(Stage { lab, gateway })
    }
}
