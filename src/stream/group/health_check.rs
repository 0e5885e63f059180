//! Health checks of a stream's servers: a TCP connect to each endpoint at a fixed interval.
//!
//! A connect says only that something listens. It is the check that fits every protocol, because the
//! gateway does not know what a relayed service speaks; `HAProxy`'s default check does the same.

use std::{io, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::{net::TcpStream, time};

use super::{StreamGroup, endpoint::Endpoint};
use crate::balance::AdminState;

/// Connects to every endpoint, once per interval, and records the result.
pub(crate) async fn run(group: Arc<StreamGroup>) {
    let mut tick = time::interval(group.check.interval);
    // After a suspend or a long stall one check is enough; the default would catch up with a burst.
    tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let endpoints = group.endpoints();
        let checked = endpoints
            .iter()
            .filter(|endpoint| endpoint.admin_state() != AdminState::Maintenance);
        join_all(checked.map(|endpoint| check(&group, endpoint))).await;
    }
}

async fn check(group: &StreamGroup, endpoint: &Endpoint) {
    match connect(endpoint, group.check.timeout).await {
        Ok(socket) => {
            // A reset leaves no TIME_WAIT on either side, and most servers log no empty session then.
            let _best_effort = socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO));
            if endpoint.succeeded(&group.check) {
                group.report(endpoint, true);
            }
        }
        Err(error) => group.failed(endpoint, error.to_string()),
    }
}

pub(in crate::stream) async fn connect(
    endpoint: &Endpoint,
    within: Duration,
) -> io::Result<TcpStream> {
    let connecting = TcpStream::connect(endpoint.address);
    let socket = time::timeout(within, connecting)
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no reply to the TCP connect"))??;
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
    async fn a_server_that_stops_is_down_until_it_listens_again() {
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
        let endpoint = group.endpoints()[0].clone();
        check(&group, &endpoint).await;
        assert_eq!(endpoint.health(), EndpointHealth::Healthy);
        drop(listener);
        check(&group, &endpoint).await;
        assert_eq!(endpoint.health(), EndpointHealth::Down);
        assert!(endpoint.last_error().is_some());
        let _again = std::net::TcpListener::bind(address).unwrap();
        check(&group, &endpoint).await;
        assert_eq!(endpoint.health(), EndpointHealth::Healthy);
    }
}
