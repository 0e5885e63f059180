//! Waits that are rarely long: a timer of its own for each request would cost more than all else
//! that waiting costs, so a tick wakes those who have waited for some.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use slab::Slab;

/// Everyone who waits at one worker for one console's backends.
#[derive(Debug)]
pub(super) struct Patience {
    /// Ticks after which a wait is long.
    long: u32,
    ticks: Cell<u32>,
    waiting: RefCell<Slab<Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    since: u32,
    waker: Waker,
}

impl Patience {
    /// Lasts for so many ticks, the first of which may come at once.
    pub(super) fn of(long: u32) -> Self {
        Self {
            long,
            ticks: Cell::default(),
            waiting: RefCell::default(),
        }
    }

    /// Whether nobody waits.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.borrow().is_empty()
    }

    /// Counts time, and wakes those who have waited for long.
    pub(super) fn tick(&self) {
        let now = self.ticks.get().wrapping_add(1);
        self.ticks.set(now);
        for (_, waiter) in self.waiting.borrow().iter() {
            if now.wrapping_sub(waiter.since) >= self.long {
                waiter.waker.wake_by_ref();
            }
        }
    }

    /// `None` where the future takes longer than that; it can be waited for again.
    pub(super) fn try_wait<'p, F: Future>(&'p self, future: Pin<&'p mut F>) -> Waiting<'p, F> {
        Waiting {
            future,
            patience: self,
            slot: None,
        }
    }
}

/// The future of [`Patience::try_wait`].
#[must_use = "futures do nothing unless polled"]
pub(super) struct Waiting<'p, F> {
    future: Pin<&'p mut F>,
    patience: &'p Patience,
    slot: Option<usize>,
}

impl<F: Future> Future for Waiting<'_, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = self.future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        let now = self.patience.ticks.get();
        let mut waiting = self.patience.waiting.borrow_mut();
        let Some(waiter) = self.slot.and_then(|slot| waiting.get_mut(slot)) else {
            let waker = cx.waker().clone();
            let slot = waiting.insert(Waiter { since: now, waker });
            drop(waiting);
            self.slot = Some(slot);
            return Poll::Pending;
        };
        if now.wrapping_sub(waiter.since) >= self.patience.long {
            return Poll::Ready(None);
        }
        waiter.waker.clone_from(cx.waker());
        Poll::Pending
    }
}

impl<F> Drop for Waiting<'_, F> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.patience.waiting.borrow_mut().try_remove(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, pin::pin};

    use tokio::task::{LocalSet, spawn_local, yield_now};

    use super::*;

    #[tokio::test]
    async fn an_answer_is_handed_on_and_nobody_is_left_in_the_list() {
        let patience = Patience::of(3);
        let quick = pin!(async {
            yield_now().await;
            7
        });
        assert_eq!(patience.try_wait(quick).await, Some(7));
        assert!(patience.is_idle());
        drop(patience.try_wait(pin!(pending::<()>())));
        assert!(patience.is_idle());
    }

    #[tokio::test]
    async fn a_long_wait_ends_by_the_tick_and_not_before() {
        LocalSet::new()
            .run_until(async {
                let patience = std::rc::Rc::new(Patience::of(3));
                let waiting = spawn_local({
                    let patience = std::rc::Rc::clone(&patience);
                    async move { patience.try_wait(pin!(pending::<()>())).await }
                });
                for _ in 0..3 {
                    yield_now().await;
                    assert!(!waiting.is_finished());
                    patience.tick();
                }
                assert_eq!(waiting.await.unwrap(), None);
            })
            .await;
    }
}
