//! What the tests of one program share: a lab and a gateway before it.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::{Client, Console, Gateway, GatewayBuilder, Lab, Load, Server, Tally};

/// How long to wait for another lab on this machine to end.
const PATIENCE: Duration = Duration::from_secs(600);
/// Clients of [`Stage::readers`], each with one request under way at a time.
pub const READERS: usize = 4;
/// Requests that must have been refused while a server is away.
const REFUSED: u64 = 10;

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

    // === what becomes of a console's only server ===

    /// Kills it in the midst of `work`, which is then refused, and starts it again; returns when the
    /// gateway uses it.
    pub fn kill_and_restart(&self, console: &str, server: Server, work: &Load) -> Result<()> {
        self.lab.kill9(server)?;
        self.wait_backend(console, server, "down")?;
        work.wait_failed(REFUSED)?;
        self.lab.start(server)?;
        self.wait_backend(console, server, "active")
    }

    /// Freezes it until `newcomers` have been refused, and lets it go on until they have been served.
    /// Others may wait meanwhile, each for an answer that it may still get.
    pub fn freeze(
        &self,
        console: &str,
        server: Server,
        newcomers: impl FnOnce() -> Load,
    ) -> Result<Tally> {
        self.lab.pause(server)?;
        self.wait_backend(console, server, "down")?;
        let newcomers = newcomers();
        newcomers.wait_failed(REFUSED)?;
        self.lab.resume(server)?;
        newcomers.wait_more(REFUSED)?;
        let tally = newcomers.stop();
        println!("who came while {server} hung: {}", tally.line());
        Ok(tally)
    }

    fn wait_backend(&self, console: &str, server: Server, state: &str) -> Result<()> {
        let url = server.url().context("a server without a console")?;
        self.gateway.wait_backend(console, &url, state)
    }
}
