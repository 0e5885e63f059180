//! The backend of all proxies: an nginx that answers every request with the same 4 KiB.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    process::Command,
};

use anyhow::Result;

use super::{
    peer::{self, Peer},
    stage::Stage,
    who::Who,
};
use crate::machine::names;

const PORT: u16 = 18090;
const QUARTER: &str = "The quick brown fox jumps over the lazy dog, 64 bytes at a time.";

/// The running backend.
#[derive(Debug)]
pub struct Backend {
    process: Peer,
    /// The body of every response.
    pub body: Vec<u8>,
}

impl Backend {
    /// The response in the form of a coordinator's, with a URI and 4 KiB.
    pub const STATEMENT: &str = "/v1/statement/queued/20261126_101500_00042_abcde/1";

    /// Starts it.
    pub fn start(stage: &Stage) -> Result<Backend> {
        let listen = Backend::address();
        let quarter = QUARTER.repeat(1024 / QUARTER.len());
        let path = stage.folder.join("backend.conf");
        let words = [
            ("FOLDER", stage.folder.to_string_lossy()),
            ("LISTEN", listen.to_string().into()),
            ("QUARTER", quarter.as_str().into()),
        ];
        peer::write(
            include_str!("../../templates/bench/backend.conf"),
            &words,
            &path,
        )?;
        let mut nginx = Command::new("nginx");
        nginx.arg("-c").arg(&path).arg("-e").arg("stderr");
        Ok(Backend {
            process: Peer::start(Who::Direct, &nginx, listen, &stage.folder)?,
            body: quarter.repeat(4).into_bytes(),
        })
    }

    /// Where it listens.
    pub fn address() -> SocketAddrV4 {
        let address = names::address("backend").unwrap_or(Ipv4Addr::LOCALHOST);
        SocketAddrV4::new(address, PORT)
    }

    /// The backend as a contender of its own: without a proxy.
    pub fn as_peer(&self) -> &Peer {
        &self.process
    }
}
