//! Waiting for the head of a response while watching the backend's health.

use std::pin::{Pin, pin};

use tokio::time::Instant;

use super::{Upstream, WATCH_AFTER};
use crate::upstream::{
    attempt::{HeadTimeout, await_head},
    backend::{Backend, BackendHealth},
    next::AttemptOutcome,
    upload::Upload,
};

impl Upstream {
    /// Waits for the head of the response. Gives up early on a request that may be repeated when the
    /// probe finds that the backend is down: a frozen server accepts connections for a minute and
    /// more, and none of them gets a response.
    pub(super) async fn await_head<T>(
        &self,
        mut exchange: Pin<&mut impl Future<Output = T>>,
        backend: &Backend,
        upload: &Upload,
        may_abandon: bool,
    ) -> Result<T, AttemptOutcome> {
        // Most responses begin within the coarse timeout, which needs no timer. A `first_byte` that is
        // too short for the ticks gets its own timer from the start.
        let mut left = self.timeouts.first_byte;
        if left > 2 * WATCH_AFTER {
            if let Some(head) = self.coarse_timeout.try_wait(exchange.as_mut()).await {
                return Ok(head);
            }
            left -= WATCH_AFTER;
        }
        let due = || upload.due(self.timeouts.first_byte);
        let mut head = pin!(await_head(exchange, due, Instant::now() + left));
        loop {
            // registered before the health is read, so that no change is missed
            let changed = self.group.changed.notified();
            if may_abandon && backend.health() == BackendHealth::Down {
                return Err(AttemptOutcome::Abandoned);
            }
            tokio::select! {
                head = head.as_mut() => {
                    return head.map_err(|HeadTimeout| AttemptOutcome::TimedOut);
                }
                () = changed => {}
            }
        }
    }
}
