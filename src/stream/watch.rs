//! What is done for a stream's servers in the background: looking their names up, connecting to
//! them now and then.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::{
    net::{TcpStream, lookup_host},
    time,
};

use super::{Group, target::Target};
use crate::balance::Duty;

/// Looks up every name of the group again and again; a failed look-up changes nothing.
pub(crate) async fn follow_names(group: Arc<Group>, every: Duration) {
    let is_name = |host: &str| host.parse::<IpAddr>().is_err();
    if !group.backends.iter().any(|backend| is_name(&backend.host)) {
        return;
    }
    let mut known: Vec<Vec<IpAddr>> = vec![Vec::new(); group.backends.len()];
    let mut tick = time::interval(every);
    tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        for (index, backend) in group.backends.iter().enumerate() {
            if !is_name(&backend.host) {
                continue;
            }
            match look_up(&backend.host, backend.port).await {
                Ok(addresses) if known.get(index) != Some(&addresses) => {
                    tracing::info!(stream = %group.name, backend = %backend.address, ?addresses, "name found");
                    group.follow(index, &addresses);
                    if let Some(known) = known.get_mut(index) {
                        *known = addresses;
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(stream = %group.name, backend = %backend.address, %error, "name not found; trying again");
                }
            }
        }
    }
}

/// The addresses of a name, in a fixed order; never none.
async fn look_up(host: &str, port: u16) -> io::Result<Vec<IpAddr>> {
    let mut addresses: Vec<IpAddr> = lookup_host((host, port))
        .await?
        .map(|address| address.ip())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no address"));
    }
    Ok(addresses)
}

/// Connects to every target again and again, and books what came of it.
pub(crate) async fn check(group: Arc<Group>) {
    let mut tick = time::interval(group.check.interval);
    tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let targets = group.targets();
        let looked_at = targets
            .iter()
            .filter(|target| target.duty() != Duty::Maintenance);
        join_all(looked_at.map(|target| look(&group, target))).await;
    }
}

async fn look(group: &Group, target: &Target) {
    match connect(target, group.check.timeout).await {
        Ok(socket) => {
            // a reset leaves nothing behind on either side, and servers log no empty session
            let _best_effort = socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO));
            if target.succeeded(&group.check) {
                group.tell(target, true);
            }
        }
        Err(error) => group.failed(target, error.to_string()),
    }
}

/// A connection to a target.
pub(super) async fn connect(target: &Target, within: Duration) -> io::Result<TcpStream> {
    let connecting = TcpStream::connect(target.address);
    let socket = time::timeout(within, connecting)
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer to the TCP connect"))??;
    socket.set_nodelay(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            group::tests::{CHECK, backend},
            target::Standing,
        },
        *,
    };
    use crate::balance::Algorithm;

    #[tokio::test]
    async fn a_server_that_ends_is_found_and_found_again() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let backends = vec![backend("127.0.0.1", address.port())];
        let group = Group::new(
            "s".into(),
            backends,
            Algorithm::First,
            CHECK,
            Duration::ZERO,
        );
        let target = group.targets()[0].clone();
        look(&group, &target).await;
        assert_eq!(target.standing(), Standing::Good);
        drop(listener);
        look(&group, &target).await;
        assert_eq!(target.standing(), Standing::Down);
        assert!(target.last_error().is_some());
        let _again = std::net::TcpListener::bind(address).unwrap();
        look(&group, &target).await;
        assert_eq!(target.standing(), Standing::Good);
    }

    #[tokio::test]
    async fn a_name_that_is_known_here_has_addresses() {
        let addresses = look_up("localhost", 88).await.unwrap();
        assert!(addresses.iter().all(IpAddr::is_loopback));
        assert!(look_up("no-such-name.invalid", 88).await.is_err());
    }
}
