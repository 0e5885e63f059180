//! Waits of a moment: the end of an answer that has begun to come.
//!
//! Hadoop's servers send the end of a chunked answer in a segment of its own, some ten microseconds
//! behind the rest. Written on as it comes, it would cost gateway and client one more wake-up each.

use std::{cell::Cell, pin::Pin, rc::Rc, time::Duration};

use tokio::{runtime::Handle, task::spawn_local, time::sleep};

use super::patience::Patience;

/// A moment lasts until the next of these: no longer than that, and rarely less than what is waited
/// for takes.
const TICK: Duration = Duration::from_millis(10);

/// Everyone who waits for a moment. Its tick runs only while there is somebody: a timer for each
/// wait would also wake the worker each time, to tell it of a nearer one.
#[derive(Clone, Debug)]
pub(super) struct Moment(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    patience: Patience,
    ticking: Cell<bool>,
    clock: Handle,
}

impl Moment {
    /// `clock` keeps the time: on a worker, the near end of a tick would have the kernel set its
    /// clock anew whenever the worker goes to sleep, several times a request.
    pub(super) fn new(clock: Handle) -> Self {
        Self(Rc::new(Inner {
            patience: Patience::of(1),
            ticking: Cell::new(false),
            clock,
        }))
    }

    /// `None` where the future takes longer than a moment.
    pub(super) async fn try_wait<F: Future>(&self, future: Pin<&mut F>) -> Option<F::Output> {
        if !self.0.ticking.replace(true) {
            let inner = Rc::clone(&self.0);
            spawn_local(async move { inner.tick().await });
        }
        self.0.patience.try_wait(future).await
    }
}

impl Inner {
    async fn tick(&self) {
        loop {
            // an error is the end of the process
            let _ticked = self.clock.spawn(async { sleep(TICK).await }).await;
            self.patience.tick();
            if self.patience.is_idle() {
                break;
            }
        }
        self.ticking.set(false);
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, pin::pin};

    use tokio::task::LocalSet;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_moment_ends_and_its_tick_with_it() {
        let moment = Moment::new(Handle::current());
        let waits = async {
            for _ in 0..2 {
                assert_eq!(moment.try_wait(pin!(async { 7 })).await, Some(7));
                assert_eq!(moment.try_wait(pin!(pending::<()>())).await, None);
                sleep(2 * TICK).await;
                assert!(!moment.0.ticking.get());
            }
        };
        LocalSet::new().run_until(waits).await;
    }
}
