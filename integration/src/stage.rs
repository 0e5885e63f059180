//! What the tests of one program share: a lab and a gateway before it.

use std::time::Duration;

use anyhow::Result;

use crate::{Client, Console, Gateway, GatewayBuilder, Lab, Load, Server};

/// How long to wait for another lab on this machine to end.
const PATIENCE: Duration = Duration::from_secs(600);
/// Threads that read, a console.
const READERS: usize = 4;

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
        Stage::with(servers, |gateway, _| gateway.sections(sections))
    }

    /// The same with more to be said of the gateway.
    pub fn with(
        servers: &[Server],
        describe: impl for<'a> FnOnce(GatewayBuilder<'a>, &Lab) -> GatewayBuilder<'a>,
    ) -> Result<Stage> {
        let lab = Lab::builder()
            .with(servers)
            .wait_for_turn(PATIENCE)
            .start()?;
        let gateway = describe(Gateway::builder(&lab), &lab).start()?;
        Ok(Stage { lab, gateway })
    }

    /// A client of a console with alice's session.
    pub fn client(&self, console: Console) -> Result<Client> {
        let url = Gateway::url(console, "/.spnegate/whoami");
        let session = self.lab.session("alice", &url)?;
        Ok(Gateway::client(console).header("Cookie", &session))
    }

    /// Several of them that read pages of a console, each with the words that must be in it.
    pub fn readers(
        &self,
        console: Console,
        pages: &'static [(&'static str, &'static str)],
    ) -> Result<Load> {
        let clients: Result<Vec<_>> = (0..READERS).map(|_| self.client(console)).collect();
        Ok(Load::of_readers(clients?, pages))
    }
}
