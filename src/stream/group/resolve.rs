//! DNS: the names of a stream's servers are looked up at a fixed interval, so that a server may move.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use tokio::{net::lookup_host, time};

use super::StreamGroup;

/// Looks up every host name of the group, once per interval. A failed look-up changes nothing: it is more
/// likely that DNS is down than that the server is gone.
pub(crate) async fn follow_names(group: Arc<StreamGroup>, every: Duration) {
    let is_name = |host: &str| host.parse::<IpAddr>().is_err();
    if !group.backends.iter().any(|backend| is_name(&backend.host)) {
        return;
    }
    let mut known: Vec<Vec<IpAddr>> = vec![Vec::new(); group.backends.len()];
    let mut tick = time::interval(every);
    // A slow DNS server delays the next look-up; the default would follow with a burst of them.
    tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        for (index, backend) in group.backends.iter().enumerate() {
            if !is_name(&backend.host) {
                continue;
            }
            match look_up(&backend.host, backend.port).await {
                Ok(addresses) if known.get(index) != Some(&addresses) => {
                    tracing::info!(stream = %group.name, backend = %backend.address, ?addresses, "host name resolved");
                    group.set_addresses(index, &addresses);
                    if let Some(known) = known.get_mut(index) {
                        *known = addresses;
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(stream = %group.name, backend = %backend.address, %error, "host name not resolved; trying again");
                }
            }
        }
    }
}

/// The addresses of a name, sorted; never empty.
async fn look_up(host: &str, port: u16) -> io::Result<Vec<IpAddr>> {
    let mut addresses: Vec<IpAddr> = lookup_host((host, port))
        .await?
        .map(|address| address.ip())
        .collect();
    // DNS servers rotate the addresses of a name; another order is not a change.
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        ));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_known_name_has_addresses() {
        let addresses = look_up("localhost", 88).await.unwrap();
        assert!(addresses.iter().all(IpAddr::is_loopback));
        assert!(look_up("no-such-name.invalid", 88).await.is_err());
    }
}
