//! Timeouts of some milliseconds, for the end of a response that has begun to arrive.
//!
//! Hadoop's servers send the last chunk of a response in a segment of its own, some ten microseconds
//! after the rest. If the two were forwarded as they come, gateway and client would each be woken
//! twice. Measured with four connections and a backend that sends its last chunk 15 µs later: a Tokio
//! timeout for each response costs 13 % of the requests per second, and not waiting costs 16 %.

use std::{cell::Cell, pin::Pin, rc::Rc, time::Duration};

use tokio::{runtime::Handle, task::spawn_local, time::sleep};

use super::coarse_timeout::CoarseTimeout;

/// The wait ends at the second next tick at the latest.
const TICK: Duration = Duration::from_millis(10);

/// A [`CoarseTimeout`] with a tick of its own, which runs only while somebody waits.
#[derive(Clone, Debug)]
pub(super) struct ShortTimeout(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    waiting: CoarseTimeout,
    ticking: Cell<bool>,
    clock: Handle,
}

impl ShortTimeout {
    /// `clock` is the control runtime, which sleeps in place of the worker. Before, workers slept with
    /// timeouts of 1 to 6 ms (strace). A timeout that is nearer than the kernel's own tick makes the
    /// kernel program its clock at each sleep and each wake-up, several times for each request. And a
    /// timer that is nearer than all others makes Tokio wake the worker through its eventfd: half a
    /// `write` and half an `epoll_wait` for each request.
    pub(super) fn new(clock: Handle) -> Self {
        Self(Rc::new(Inner {
            waiting: CoarseTimeout::new(1),
            ticking: Cell::new(false),
            clock,
        }))
    }

    /// `None` if the future takes longer.
    pub(super) async fn try_wait<F: Future>(&self, future: Pin<&mut F>) -> Option<F::Output> {
        if !self.0.ticking.replace(true) {
            let inner = Rc::clone(&self.0);
            spawn_local(async move { inner.tick().await });
        }
        self.0.waiting.try_wait(future).await
    }
}

impl Inner {
    async fn tick(&self) {
        loop {
            // an error means that the process is ending
            let _ticked = self.clock.spawn(async { sleep(TICK).await }).await;
            self.waiting.tick();
            if self.waiting.is_idle() {
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
    async fn a_wait_times_out_and_its_tick_stops() {
        let timeout = ShortTimeout::new(Handle::current());
        let waits = async {
            for _ in 0..2 {
                assert_eq!(timeout.try_wait(pin!(async { 7 })).await, Some(7));
                assert_eq!(timeout.try_wait(pin!(pending::<()>())).await, None);
                sleep(2 * TICK).await;
                assert!(!timeout.0.ticking.get());
            }
        };
        LocalSet::new().run_until(waits).await;
    }
}
