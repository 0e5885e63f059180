//! What the status page and the gauges say of the running gateway.

use metrics_exporter_prometheus::PrometheusHandle;

use super::Shared;
use crate::telemetry::metrics::{self, UPKEEP};

/// The running gateway, as the status page asks it.
#[derive(Clone, Debug)]
pub(super) struct Source(pub(super) Shared);

/// New keys are for the backend logins too.
pub(super) async fn follow_keytab(shared: Shared) {
    let mut status = shared.acceptor.status();
    let mut generation = status.borrow().generation;
    while status.changed().await.is_ok() {
        let now = status.borrow_and_update().generation;
        if now != generation {
            generation = now;
            shared.initiator.reload();
        }
    }
}

/// Keeps the gauges that nobody sets by the way, and the histograms' memory, in order.
pub(super) async fn keep_metrics(shared: Shared, prometheus: PrometheusHandle) {
    let (sessions, keytab) = (metrics::sessions(), metrics::keytab_valid());
    let status = shared.acceptor.status();
    let mut tick = tokio::time::interval(UPKEEP);
    loop {
        tick.tick().await;
        #[expect(clippy::cast_precision_loss, reason = "a gauge of at most millions")]
        sessions.set(shared.sessions.cached() as f64);
        keytab.set(f64::from(u8::from(status.borrow().valid())));
        prometheus.run_upkeep();
    }
}
