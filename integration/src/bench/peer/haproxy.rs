//! HAProxy.

use std::{net::SocketAddrV4, process::Command};

use anyhow::Result;

use super::{Peer, write};
use crate::bench::{
    stage::{self, Stage},
    who::Who,
};

const PORT: u16 = 18082;
const NODE_PORT: u16 = 18085;
const CONFIG: &str = include_str!("../../../templates/bench/haproxy.cfg");
const NODE_CONFIG: &str = include_str!("../../../templates/bench/haproxy-node.cfg");

impl Peer {
    /// Starts it before a console, and before a DataNode if there is one.
    pub fn haproxy(
        stage: &Stage,
        backend: SocketAddrV4,
        node: Option<SocketAddrV4>,
    ) -> Result<Peer> {
        let listen = stage::proxy(PORT);
        let mut words = vec![
            ("LISTEN", listen.to_string().into()),
            ("BACKEND", backend.to_string().into()),
            ("CORES", stage.cores.to_string().into()),
        ];
        let mut config = CONFIG.to_owned();
        if let Some(node) = node {
            config.push_str(NODE_CONFIG);
            let listen = Peer::haproxy_node().to_string();
            words.push(("NODE_LISTEN", listen.into()));
            words.push(("NODE", node.to_string().into()));
        }
        let path = stage.folder.join("haproxy.cfg");
        write(&config, &words, &path)?;
        let mut haproxy = Command::new("/usr/sbin/haproxy");
        haproxy.arg("-db").arg("-f").arg(path);
        Peer::start(Who::Haproxy, &haproxy, listen, &stage.folder)
    }

    /// Where it listens for the DataNode.
    pub fn haproxy_node() -> SocketAddrV4 {
        stage::proxy(NODE_PORT)
    }
}
