//! Relayed ports: bytes through TCP beside HAProxy and nginx, datagrams beside nginx, and how evenly
//! the algorithms spread.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use super::{
    figures::Figures,
    options::Options,
    peer::Peer,
    stage::Stage,
    who::{Metric, Task, Who},
    window::{Used, Window},
};
use crate::machine::progress;

mod spread;

const MIB: usize = 1024 * 1024;
const CONNECTIONS: usize = 4;
const CLIENTS: usize = 16;
const DATAGRAM: usize = 64;
/// A datagram that does not come back in this time is lost.
const LOST: Duration = Duration::from_millis(500);

/// Measures all of it.
pub fn run(stage: &Stage, options: &Options, figures: &mut Figures) -> Result<()> {
    let (tcp, udp) = (source(options.size)?, echo()?);
    let mut peers = Vec::new();
    for who in Who::OPTIONAL.into_iter().filter(|who| options.has(*who)) {
        peers.push(match who {
            Who::Gateway => Peer::gateway_stream(stage, tcp, udp)?,
            Who::Haproxy => Peer::haproxy_stream(stage, tcp)?,
            Who::Nginx => Peer::nginx_stream(stage, tcp, udp)?,
            Who::Direct
            | Who::DirectDoAs
            | Who::HaproxyDoAs
            | Who::Httpd
            | Who::BareLoop
            | Who::GatewayLogged => continue,
        });
    }
    for round in 1..=options.rounds {
        progress::say(&format!(
            "relayed ports, round {round} of {}",
            options.rounds
        ));
        fetch(SocketAddr::V4(tcp), options.size).context("no proxy")?;
        for peer in &peers {
            let used = watched(peer, || fetch(peer.target(), options.size))?.1;
            figures.note_strangers(used.strangers_share(stage.cores));
            let mib = f64::from(options.size);
            let throughput = mib / used.time.as_secs_f64();
            figures.add(Task::StreamTcp, peer.who, Metric::Throughput, throughput);
            let cpu = used.proxy.as_secs_f64() * 1024.0 / mib;
            figures.add(Task::StreamTcp, peer.who, Metric::CpuPerGib, cpu);
        }
        // HAProxy 2.6 relays no UDP
        for peer in peers.iter().filter(|peer| peer.who != Who::Haproxy) {
            let (trips, used) = watched(peer, || ping(peer.target(), options.time))?;
            figures.note_strangers(used.strangers_share(stage.cores));
            let trips = f64::from(trips);
            let rate = trips / used.time.as_secs_f64();
            figures.add(Task::StreamUdp, peer.who, Metric::Rate, rate);
            let cpu = used.proxy.as_secs_f64() * 1e6 / trips;
            figures.add(Task::StreamUdp, peer.who, Metric::Cpu, cpu);
        }
    }
    spread::run(figures);
    Ok(())
}

fn watched<T>(peer: &Peer, work: impl FnOnce() -> Result<T>) -> Result<(T, Used)> {
    let window = Window::open(Some(peer.pid()))?;
    let done = work().with_context(|| format!("{}; {}", peer.who, peer.last_words()))?;
    Ok((done, window.close()?))
}

/// A server that sends its share of the MiB to every client that sends a byte.
fn source(mib: u32) -> Result<SocketAddrV4> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = v4(listener.local_addr()?)?;
    let share = usize::try_from(mib)? * MIB / CONNECTIONS;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || send(client, share));
        }
    });
    Ok(address)
}

fn send(mut client: TcpStream, share: usize) {
    let block = vec![0x5a; 256 * 1024];
    // a connect check sends nothing and expects nothing
    if client.read_exact(&mut [0]).is_err() {
        return;
    }
    let mut left = share;
    while left > 0 {
        let length = left.min(block.len());
        if client.write_all(&block[..length]).is_err() {
            return;
        }
        left -= length;
    }
}

/// All of it, on several connections at once.
fn fetch(target: SocketAddr, mib: u32) -> Result<()> {
    let share = usize::try_from(mib)? * MIB / CONNECTIONS;
    let one = || -> Result<usize> {
        let mut tcp = TcpStream::connect(target)?;
        tcp.write_all(&[0])?;
        let mut buffer = vec![0; 256 * 1024];
        let mut sum = 0;
        loop {
            match tcp.read(&mut buffer)? {
                0 => return Ok(sum),
                read => sum += read,
            }
        }
    };
    thread::scope(|scope| {
        let all: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(one)).collect();
        for one in all {
            let Ok(sum) = one.join() else {
                bail!("a client has panicked");
            };
            let sum = sum?;
            ensure!(sum == share, "{sum} bytes came instead of {share}");
        }
        Ok(())
    })
}

/// A server that sends every datagram back.
fn echo() -> Result<SocketAddrV4> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = v4(socket.local_addr()?)?;
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        // a client that has gone away is reported by an error
        loop {
            if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(&buffer[..length], from);
            }
        }
    });
    Ok(address)
}

/// Datagrams sent and returned, one after the other per client; returns how many came back.
fn ping(target: SocketAddr, time: Duration) -> Result<u32> {
    let end = Instant::now() + time;
    let one = || -> Result<u32> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(target)?;
        socket.set_read_timeout(Some(LOST))?;
        let (mut trips, mut buffer) = (0, [0; 2048]);
        while Instant::now() < end {
            socket.send(&[0x5a; DATAGRAM])?;
            match socket.recv(&mut buffer) {
                Ok(length) => {
                    ensure!(length == DATAGRAM, "{length} bytes came back");
                    trips += 1;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(trips)
    };
    thread::scope(|scope| {
        let all: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(one)).collect();
        let mut sum = 0;
        for one in all {
            let Ok(trips) = one.join() else {
                bail!("a client has panicked");
            };
            sum += trips?;
        }
        ensure!(sum > 0, "no datagram came back");
        Ok(sum)
    })
}

fn v4(address: SocketAddr) -> Result<SocketAddrV4> {
    match address {
        SocketAddr::V4(v4) => Ok(v4),
        SocketAddr::V6(_) => bail!("an address of the wrong family"),
    }
}
