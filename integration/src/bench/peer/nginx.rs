//! nginx as a relay.

use std::{net::SocketAddrV4, process::Command};

use anyhow::Result;

use super::{Peer, write};
use crate::bench::{
    stage::{self, Stage},
    who::Who,
};

const PORT: u16 = 18083;
const CONFIG: &str = include_str!("../../../templates/bench/nginx.conf");

impl Peer {
    /// Starts it before a console.
    pub fn nginx(stage: &Stage, backend: SocketAddrV4) -> Result<Peer> {
        let listen = stage::proxy(PORT);
        let words = [
            ("FOLDER", stage.folder.to_string_lossy()),
            ("LISTEN", listen.to_string().into()),
            ("BACKEND", backend.to_string().into()),
            ("CORES", stage.cores.to_string().into()),
        ];
        let path = stage.folder.join("nginx.conf");
        write(CONFIG, &words, &path)?;
        let mut nginx = Command::new("/usr/sbin/nginx");
        nginx.arg("-c").arg(path).arg("-e").arg("stderr");
        Peer::start(Who::Nginx, &nginx, listen, &stage.folder)
    }
}
