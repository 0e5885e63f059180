//! The gateway.

use std::{
    net::SocketAddrV4,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{Peer, write};
use crate::bench::{
    stage::{self, Stage},
    who::Who,
};

const PORT: u16 = 18080;
const LOGGED_PORT: u16 = 18081;
const TLS_PORT: u16 = 18443;
const STREAM_PORT: u16 = 18090;
const HDFS_PORT: u16 = 50070;
const CONFIG: &str = include_str!("../../../templates/bench/gateway.toml");
const HDFS_CONFIG: &str = include_str!("../../../templates/bench/gateway-hdfs.toml");
const TRAIN_CONFIG: &str = include_str!("../../../templates/bench/gateway-train.toml");

impl Peer {
    /// The path of its own answer that says who is logged in.
    pub const GATEWAY_LOCAL: &str = "/.spnegate/whoami";
    /// The name of its session cookie on a plain listener.
    pub const GATEWAY_COOKIE: &str = "spnegate";

    /// Its replay cache, while it has no access log.
    pub fn gateway_replay_cache(stage: &Stage) -> PathBuf {
        file(stage, Who::Gateway, ".rcache2")
    }

    /// Starts it before a console without Kerberos, its access log off.
    pub fn gateway(stage: &Stage, backend: SocketAddrV4) -> Result<Peer> {
        let listen = stage::proxy(PORT);
        start(stage, Who::Gateway, CONFIG, listen, Some(backend))
    }

    /// The same with its access log in a file.
    pub fn gateway_logged(stage: &Stage, backend: SocketAddrV4) -> Result<Peer> {
        let listen = stage::proxy(LOGGED_PORT);
        start(stage, Who::GatewayLogged, CONFIG, listen, Some(backend))
    }

    /// Where it listens by TLS while it is trained.
    pub fn train_tls() -> SocketAddrV4 {
        stage::proxy(TLS_PORT)
    }

    /// The port that it relays while it is trained.
    pub fn train_stream() -> SocketAddrV4 {
        stage::proxy(STREAM_PORT)
    }

    /// Starts it with all ways that its profile is taken from.
    pub fn gateway_train(stage: &Stage, backend: SocketAddrV4) -> Result<Peer> {
        let listen = stage::proxy(PORT);
        start(stage, Who::Gateway, TRAIN_CONFIG, listen, Some(backend))
    }

    /// Starts it before the lab's NameNodes.
    pub fn gateway_hdfs(stage: &Stage) -> Result<Peer> {
        let listen = stage::proxy(HDFS_PORT);
        start(stage, Who::Gateway, HDFS_CONFIG, listen, None)
    }
}

fn file(stage: &Stage, who: Who, suffix: &str) -> PathBuf {
    stage.folder.join(format!("{}{suffix}", who.word()))
}

fn start(
    stage: &Stage,
    who: Who,
    template: &str,
    listen: SocketAddrV4,
    backend: Option<SocketAddrV4>,
) -> Result<Peer> {
    let log = file(stage, who, ".access");
    let access = match who {
        Who::GatewayLogged => log.as_path(),
        _ => Path::new("off"),
    };
    let backend = backend.map(|backend| backend.to_string());
    let rcache = file(stage, who, ".rcache2");
    let words = [
        ("LISTEN", listen.to_string().into()),
        ("FOLDER", stage.folder.to_string_lossy()),
        ("TLS", Peer::train_tls().to_string().into()),
        ("STREAM", Peer::train_stream().to_string().into()),
        ("BACKEND", backend.unwrap_or_default().into()),
        ("CORES", stage.cores.to_string().into()),
        ("KEYTAB", stage.keytab.to_string_lossy()),
        ("RCACHE", rcache.to_string_lossy()),
        ("ACCESS", access.to_string_lossy()),
    ];
    let path = file(stage, who, ".toml");
    write(template, &words, &path)?;
    let program = stage.gateway.to_str();
    let program = program.context("the gateway's program has a name in UTF-8")?;
    let mut command = stage.lab.command(program);
    command.arg("serve").arg("--config").arg(path);
    Peer::start(who, &command, listen, &stage.folder)
}
