//! Health checks of a stream's servers: a TCP connect to each endpoint at a fixed interval.
//!
//! A connect says only that something listens. It is the check that fits every protocol, because the
//! gateway does not know what a relayed service speaks; `HAProxy`'s default check does the same.

use std::{io, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::{net::TcpStream, time};

use super::{StreamGroup, endpoint::Endpoint};
use crate::balance::AdminState;

/// Connects to every target again and again, and books what came of it.
pub(crate) async fn run(group: Arc<StreamGroup>) {
    let mut tick = time::interval(group.check.interval);
    tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let targets = group.targets();
        let looked_at = targets
            .iter()
            .filter(|target| target.admin_state() != AdminState::Maintenance);
        join_all(looked_at.map(|target| look(&group, target))).await;
    }
}

async fn look(group: &StreamGroup, target: &Endpoint) {
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
pub(in crate::stream) async fn connect(
    target: &Endpoint,
    within: Duration,
) -> io::Result<TcpStream> {
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
            endpoint::EndpointHealth,
            tests::{CHECK, backend},
        },
        *,
    };
    use crate::balance::Algorithm;

    #[tokio::test]
    async fn a_server_that_ends_is_found_and_found_again() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let backends = vec![backend("127.0.0.1", address.port())];
        let group = StreamGroup::new(
            "s".into(),
            backends,
            Algorithm::First,
            CHECK,
            Duration::ZERO,
        );
        let target = group.targets()[0].clone();
        look(&group, &target).await;
        assert_eq!(target.standing(), EndpointHealth::Healthy);
        drop(listener);
        look(&group, &target).await;
        assert_eq!(target.standing(), EndpointHealth::Down);
        assert!(target.last_error().is_some());
        let _again = std::net::TcpListener::bind(address).unwrap();
        look(&group, &target).await;
        assert_eq!(target.standing(), EndpointHealth::Healthy);
    }
}
