//! Checks that the lab's addresses are free and finds the processes that occupy them.

use std::{
    fs, io,
    net::{SocketAddrV4, TcpListener},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{machine::wait, server::Server};

/// How long the processes of a lab that was just killed may take to disappear.
const GRACE: Duration = Duration::from_secs(3);

/// Fails with every address in use and, if it can be determined, the process that uses it.
pub(crate) fn must_be_free(servers: impl IntoIterator<Item = Server>) -> Result<()> {
    let addresses: Vec<_> = servers
        .into_iter()
        .flat_map(|server| server.ports().iter().map(move |port| (server, *port)))
        .map(|(server, port)| (server, SocketAddrV4::new(server.address(), port)))
        .collect();
    let mut taken = Vec::new();
    let free = wait::until("the ports are free", GRACE, || {
        taken = addresses
            .iter()
            .filter(|(_, address)| is_taken(*address))
            .collect();
        Ok(taken.is_empty().then_some(()))
    });
    free.with_context(|| {
        let lines: Vec<_> = taken
            .iter()
            .map(|(server, address)| {
                let holder = holder(*address).unwrap_or_else(|| "an unknown process".to_owned());
                format!("{address}, wanted for {server}, is taken by {holder}")
            })
            .collect();
        format!("the lab cannot start: {}", lines.join("; "))
    })
}

fn is_taken(address: SocketAddrV4) -> bool {
    TcpListener::bind(address).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

/// The process that listens there, as `pid 123 (java)`.
fn holder(address: SocketAddrV4) -> Option<String> {
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let socket = format!("socket:[{}]", listening_inode(&table, address)?);
    for process in fs::read_dir("/proc").ok()?.flatten() {
        // Skips `self` and other entries that are not process ids.
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let Ok(open) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let holds = open
            .flatten()
            .any(|file| fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == &*socket));
        if holds {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("pid {pid} ({})", name.trim()));
        }
    }
    None
}

/// The inode of the socket that listens at the address or at its port on all addresses.
fn listening_inode(table: &str, address: SocketAddrV4) -> Option<&str> {
    const LISTEN: &str = "0A";
    let own = u32::from_ne_bytes(address.ip().octets());
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (ip, port) = fields.get(1)?.split_once(':')?;
        let ip = u32::from_str_radix(ip, 16).ok()?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let listens = fields.get(3) == Some(&LISTEN);
        (listens && port == address.port() && (ip == own || ip == 0))
            .then(|| fields.get(9).copied())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_port_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address =
            SocketAddrV4::new([127, 0, 0, 1].into(), listener.local_addr().unwrap().port());
        assert!(is_taken(address));
        let holder = holder(address).unwrap();
        assert!(
            holder.starts_with(&format!("pid {}", std::process::id())),
            "{holder}"
        );
    }
}
