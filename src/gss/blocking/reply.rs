//! The result of a job on another thread, awaited until a deadline.

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

/// Why there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyError {
    /// The deadline passed first.
    Timeout,
    /// The job was dropped without a result.
    Stopped,
}

/// A future of the result. Dropping it closes the channel, by which the thread sees that the job
/// need not be started any more.
pub(crate) enum Reply<T> {
    /// The result was known when the future was made; `None` after it was taken.
    Ready(Option<T>),
    /// The timer is armed on the first poll that has to wait: most jobs end within the same tick of
    /// the runtime, and registering a timer costs more than such a wait.
    Waiting {
        result: oneshot::Receiver<T>,
        deadline: Duration,
        timer: Option<Pin<Box<Sleep>>>,
    },
}

impl<T> Reply<T> {
    pub(crate) const fn ready(value: T) -> Self {
        Self::Ready(Some(value))
    }

    pub(crate) const fn waiting(result: oneshot::Receiver<T>, deadline: Duration) -> Self {
        Self::Waiting {
            result,
            deadline,
            timer: None,
        }
    }
}

impl<T: Unpin> Future for Reply<T> {
    type Output = Result<T, ReplyError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Ready(value) => Poll::Ready(value.take().ok_or(ReplyError::Stopped)),
            Self::Waiting {
                result,
                deadline,
                timer,
            } => {
                if let Poll::Ready(value) = Pin::new(result).poll(context) {
                    return Poll::Ready(value.map_err(|_| ReplyError::Stopped));
                }
                timer
                    .get_or_insert_with(|| Box::pin(sleep(*deadline)))
                    .as_mut()
                    .poll(context)
                    .map(|()| Err(ReplyError::Timeout))
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
