//! Builds streams and KDC proxies.

use std::{sync::Arc, time::Duration};

use super::GatewayParts;
use crate::{
    balance::Algorithm,
    config::Config,
    gateway::kdc_proxy::{self, KdcProxy, KdcProxyTimeouts, ProxiedRealm},
    stream::{
        self, StreamGroup, StreamLimits, StreamOptions,
        group::{health_check, resolve},
        options::{Check, StreamBackend},
    },
};

/// Health checks of a proxy's KDCs, with the defaults of a stream: a proxy has no keys for them.
const CHECK: Check = Check {
    interval: Duration::from_secs(2),
    rise: 2,
    fall: 3,
    timeout: Duration::from_secs(1),
};
/// How often their names are resolved.
const RESOLVE: Duration = Duration::from_secs(10);

/// The servers of all streams and proxies.
#[derive(Clone, Debug)]
pub(super) struct StreamGroups {
    /// In the order of the configuration.
    pub(super) streams: Arc<[Arc<StreamGroup>]>,
    /// In the order of the configuration.
    pub(super) proxies: Arc<[RealmServers]>,
    /// Limits of concurrent requests, for all proxies together.
    pub(super) limits: Arc<StreamLimits>,
}

/// The KDCs of a realm, and its password-change servers if there are any.
type RealmServers = (Arc<StreamGroup>, Option<Arc<StreamGroup>>);

impl StreamGroups {
    pub(super) fn new(config: &Config) -> Self {
        let streams = config.streams.iter();
        let proxies = config.kdc_proxies.iter().map(|proxy| {
            let group = |name: &str, backends: &[StreamBackend]| {
                let name = format!("{name}:{}", proxy.realm).into();
                let backends = backends.to_vec();
                Arc::new(StreamGroup::new(
                    name,
                    backends,
                    // KDCs are asked in the order of the file, as documented; a proxy has no
                    // `balance`.
                    Algorithm::First,
                    CHECK,
                    Duration::ZERO,
                ))
            };
            let kpasswd =
                (!proxy.kpasswd.is_empty()).then(|| group("kpasswd_proxy", &proxy.kpasswd));
            (group("kdc_proxy", &proxy.backends), kpasswd)
        });
        Self {
            streams: streams
                .map(|stream| Arc::new(stream::group(stream)))
                .collect(),
            proxies: proxies.collect(),
            limits: kdc_proxy::limits(),
        }
    }

    /// Starts health checks and name resolution.
    pub(super) fn watch(&self, config: &Config, control: &tokio::runtime::Handle) {
        for (stream, group) in config.streams.iter().zip(self.streams.iter()) {
            control.spawn(resolve::follow_names(Arc::clone(group), stream.resolve));
            // Health checks connect by TCP, on which a server of a UDP stream need not listen.
            if stream.tcp {
                control.spawn(health_check::run(Arc::clone(group)));
            }
        }
        for (kdcs, kpasswd) in self.proxies.iter() {
            for group in std::iter::once(kdcs).chain(kpasswd) {
                control.spawn(resolve::follow_names(Arc::clone(group), RESOLVE));
                control.spawn(health_check::run(Arc::clone(group)));
            }
        }
    }
}

pub(super) fn options(shared: &GatewayParts) -> StreamOptions {
    let config = &shared.config;
    StreamOptions {
        workers: config.server.workers,
        connect: config.timeouts.connect,
        head: config.timeouts.head,
        streams: config
            .streams
            .iter()
            .cloned()
            .zip(shared.streams.streams.iter().cloned())
            .collect(),
        access: shared.access.clone(),
    }
}

/// The KDC proxy of one listener; called by each worker.
pub(super) fn kdc_proxy(shared: &GatewayParts, realms: &[usize]) -> Option<KdcProxy> {
    if realms.is_empty() {
        return None;
    }
    let realms = realms.iter().map(|index| {
        let (kdcs, kpasswd) = &shared.streams.proxies[*index];
        let config = &shared.config.kdc_proxies[*index];
        ProxiedRealm {
            name: Arc::clone(&config.realm),
            allow_from: config.allow_from.clone(),
            kdcs: Arc::clone(kdcs),
            kpasswd: kpasswd.clone(),
        }
    });
    let timeouts = &shared.config.timeouts;
    let within = KdcProxyTimeouts {
        connect: timeouts.connect,
        // A message to a KDC is small, so its body has the time of a head. Without a limit,
        // bodies that never ended were held for ever over HTTP/2.
        body: timeouts.head,
    };
    let limits = Arc::clone(&shared.streams.limits);
    Some(KdcProxy::new(realms.collect(), within, limits))
}
