//! Waiting for the head of an answer.

use std::pin::Pin;

use tokio::time::{Instant, sleep_until};

use super::{PATIENCE, Upstream};
use crate::upstream::{
    backend::{Backend, BackendHealth},
    next::AttemptOutcome,
    upload::Upload,
};

impl Upstream {
    /// Waits for the head of the answer; gives a safe request back early when the probe finds that
    /// the backend is dead (a frozen one accepts connections for a minute and more).
    pub(super) async fn wait<T>(
        &self,
        mut answer: Pin<&mut impl Future<Output = T>>,
        backend: &Backend,
        upload: &Upload,
        may_abandon: bool,
    ) -> Result<T, AttemptOutcome> {
        // counted by the worker's ticks; a limit too short for them has its own timer
        let mut left = self.timeouts.first_byte;
        if left > 2 * PATIENCE {
            if let Some(answer) = self.patience.try_wait(answer.as_mut()).await {
                return Ok(answer);
            }
            left -= PATIENCE;
        }
        let rest = || Instant::now() + left;
        let mut end = upload.due(self.timeouts.first_byte).unwrap_or_else(rest);
        loop {
            let changed = self.group.changed.notified();
            if may_abandon && backend.health() == BackendHealth::Down {
                return Err(AttemptOutcome::Abandoned);
            }
            tokio::select! {
                answer = answer.as_mut() => return Ok(answer),
                () = changed => {}
                () = sleep_until(end) => {
                    // the time runs from the end of the request; a stalled one is the server's case
                    match upload.due(self.timeouts.first_byte) {
                        Some(later) if later > Instant::now() => end = later,
                        Some(_) | None => return Err(AttemptOutcome::TimedOut),
                    }
                }
            }
        }
    }
}
