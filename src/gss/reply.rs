//! An answer that a GSS thread will give, or not in time.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    sync::oneshot,
    time::{Sleep, sleep},
};

/// Why no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// The deadline passed first.
    Timeout,
    /// The thread is gone.
    Stopped,
}

/// The waiting side; dropping it tells the thread that nobody waits any more.
pub(super) enum Reply<T> {
    /// Known at once; `None` after it was taken.
    Ready(Option<T>),
    /// On its way. The timer is armed on the first poll that has to wait.
    Waiting {
        answer: oneshot::Receiver<T>,
        deadline: Duration,
        timer: Option<Pin<Box<Sleep>>>,
    },
}

impl<T> Reply<T> {
    pub(super) const fn ready(value: T) -> Self {
        Self::Ready(Some(value))
    }

    pub(super) const fn waiting(answer: oneshot::Receiver<T>, deadline: Duration) -> Self {
        Self::Waiting {
            answer,
            deadline,
            timer: None,
        }
    }
}

impl<T: Unpin> Future for Reply<T> {
    type Output = Result<T, Lost>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Ready(value) => Poll::Ready(value.take().ok_or(Lost::Stopped)),
            Self::Waiting {
                answer,
                deadline,
                timer,
            } => {
                if let Poll::Ready(value) = Pin::new(answer).poll(context) {
                    return Poll::Ready(value.map_err(|_| Lost::Stopped));
                }
                timer
                    .get_or_insert_with(|| Box::pin(sleep(*deadline)))
                    .as_mut()
                    .poll(context)
                    .map(|()| Err(Lost::Timeout))
            }
        }
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready(_) => "Ready",
            Self::Waiting { .. } => "Waiting",
        })
    }
}
