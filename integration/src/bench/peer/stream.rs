//! HAProxy, nginx and the gateway as relays of ports.

use std::{net::SocketAddrV4, path::PathBuf, process::Command};

use anyhow::{Context, Result};

use super::{Peer, write};
use crate::bench::{
    stage::{self, Stage},
    who::Who,
};

const GATEWAY_PORT: u16 = 18090;
const HAPROXY_PORT: u16 = 18091;
const NGINX_PORT: u16 = 18092;
const GATEWAY_CONFIG: &str = include_str!("../../../templates/bench/gateway-stream.toml");
const HAPROXY_CONFIG: &str = include_str!("../../../templates/bench/haproxy-stream.cfg");
const NGINX_CONFIG: &str = include_str!("../../../templates/bench/nginx-stream.conf");

impl Peer {
    /// The gateway as a relay of one TCP and UDP port.
    pub fn gateway_stream(stage: &Stage, tcp: SocketAddrV4, udp: SocketAddrV4) -> Result<Peer> {
        let listen = stage::proxy(GATEWAY_PORT);
        let path = config(
            stage,
            "gateway-stream.toml",
            GATEWAY_CONFIG,
            listen,
            tcp,
            udp,
        )?;
        let program = stage.gateway.to_str();
        let program = program.context("the gateway's program has a name in UTF-8")?;
        let mut command = Command::new(program);
        command.arg("serve").arg("--config").arg(path);
        Peer::start(Who::Gateway, &command, listen, &stage.folder)
    }

    /// HAProxy as a relay of one TCP port.
    pub fn haproxy_stream(stage: &Stage, tcp: SocketAddrV4) -> Result<Peer> {
        let listen = stage::proxy(HAPROXY_PORT);
        let path = config(
            stage,
            "haproxy-stream.cfg",
            HAPROXY_CONFIG,
            listen,
            tcp,
            tcp,
        )?;
        let mut haproxy = Command::new("/usr/sbin/haproxy");
        haproxy.arg("-db").arg("-f").arg(path);
        Peer::start(Who::Haproxy, &haproxy, listen, &stage.folder)
    }

    /// nginx as a relay of one TCP and UDP port.
    pub fn nginx_stream(stage: &Stage, tcp: SocketAddrV4, udp: SocketAddrV4) -> Result<Peer> {
        let listen = stage::proxy(NGINX_PORT);
        let path = config(stage, "nginx-stream.conf", NGINX_CONFIG, listen, tcp, udp)?;
        let mut nginx = Command::new("/usr/sbin/nginx");
        nginx.arg("-c").arg(path).arg("-e").arg("stderr");
        Peer::start(Who::Nginx, &nginx, listen, &stage.folder)
    }
}

fn config(
    stage: &Stage,
    file: &str,
    template: &str,
    listen: SocketAddrV4,
    tcp: SocketAddrV4,
    udp: SocketAddrV4,
) -> Result<PathBuf> {
    let words = [
        ("FOLDER", stage.folder.to_string_lossy()),
        ("LISTEN", listen.to_string().into()),
        ("TCP", tcp.to_string().into()),
        ("UDP", udp.to_string().into()),
        ("CORES", stage.cores.to_string().into()),
    ];
    let path = stage.folder.join(file);
    write(template, &words, &path)?;
    Ok(path)
}
