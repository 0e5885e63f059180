//! Logins between two legs, kept with their HTTP/1.1 connection.
//!
//! Only the *login* belongs to the connection, never an identity: load balancers send requests of
//! many users over one connection.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::gss::Pending;

/// How long a client may take from one leg to the next.
const PATIENCE: Duration = Duration::from_secs(30);
/// Logins between two legs, in the whole process; each holds a GSSAPI context.
const MOST: usize = 1024;

static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// The place of a connection's unfinished login.
///
/// The server makes one for each HTTP/1.1 connection and puts a clone into the extensions of each
/// of its requests. Without it, or with one that keeps nothing (HTTP/2), logins of several legs are
/// refused as [`LoginInterrupted`](crate::refusal::Refusal::LoginInterrupted).
///
/// It also tells the client's address, so that one that floods the gateway with logins shuts
/// nobody else out.
pub struct LoginSlot<P = Pending> {
    unfinished: Option<Kept<P>>,
    client: Option<IpAddr>,
}

type Kept<P> = Arc<Mutex<Option<Box<Unfinished<P>>>>>;

struct Unfinished<P> {
    pending: P,
    deadline: Instant,
    _permit: Permit,
}

/// One of at most `MOST`.
struct Permit(&'static AtomicUsize);

// === impl LoginSlot ===

impl<P> LoginSlot<P> {
    /// An empty one, of a few bytes.
    pub fn new() -> Self {
        Self::default()
    }

    /// One of a client with this address.
    pub fn of(client: IpAddr) -> Self {
        Self {
            client: Some(client),
            ..Self::default()
        }
    }

    /// One of a client with this address whose requests may be several users' at the same time: it
    /// keeps nothing.
    pub fn of_stream(client: IpAddr) -> Self {
        Self {
            unfinished: None,
            client: Some(client),
        }
    }

    /// Whether a login can be kept.
    pub(super) fn keeps(&self) -> bool {
        self.unfinished.is_some()
    }

    /// The client's address, if it is known.
    pub(super) fn client(&self) -> Option<IpAddr> {
        self.client
    }

    /// Keeps a login; `false` where the process has too many, or this keeps none.
    pub(super) fn put(&self, pending: P) -> bool {
        self.put_counted(pending, &UNDER_WAY, MOST)
    }

    fn put_counted(&self, pending: P, count: &'static AtomicUsize, most: usize) -> bool {
        let Some(unfinished) = &self.unfinished else {
            return false;
        };
        let mut slot = unfinished.lock().unwrap_or_else(PoisonError::into_inner);
        // a login that this one replaces gives its place back first
        *slot = None;
        let Some(permit) = Permit::take(count, most) else {
            return false;
        };
        let deadline = Instant::now() + PATIENCE;
        *slot = Some(Box::new(Unfinished {
            pending,
            deadline,
            _permit: permit,
        }));
        true
    }

    /// Takes the login out, if its time is not over at `now`.
    pub(super) fn take(&self, now: Instant) -> Option<P> {
        let unfinished = self
            .unfinished
            .as_ref()?
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()?;
        (now < unfinished.deadline).then_some(unfinished.pending)
    }
}

impl<P> Clone for LoginSlot<P> {
    fn clone(&self) -> Self {
        Self {
            unfinished: self.unfinished.clone(),
            client: self.client,
        }
    }
}

impl<P> Default for LoginSlot<P> {
    fn default() -> Self {
        Self {
            unfinished: Some(Arc::new(Mutex::new(None))),
            client: None,
        }
    }
}

impl<P> fmt::Debug for LoginSlot<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginSlot").finish_non_exhaustive()
    }
}

// === impl Permit ===

impl Permit {
    fn take(count: &'static AtomicUsize, most: usize) -> Option<Self> {
        if count.fetch_add(1, Ordering::Relaxed) < most {
            return Some(Self(count));
        }
        count.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_taken_once_and_in_time() {
        let slot = LoginSlot::new();
        assert!(slot.put(1) && slot.put(2));
        assert_eq!(slot.clone().take(Instant::now()), Some(2));
        assert_eq!(slot.take(Instant::now()), None);
        assert!(slot.put(3));
        assert_eq!(slot.take(Instant::now() + PATIENCE), None);
        assert_eq!(slot.take(Instant::now()), None, "late is gone");
    }

    #[test]
    fn their_number_is_bounded_and_places_come_back() {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let slots: Vec<LoginSlot<()>> = (0..3).map(|_| LoginSlot::new()).collect();
        let put = |n: usize| slots[n].put_counted((), &COUNT, 2);
        assert!(put(0) && put(1) && put(1) && !put(2));
        assert!(slots[0].take(Instant::now()).is_some());
        assert!(put(2) && !put(0));
        drop(slots);
        assert_eq!(COUNT.load(Ordering::Relaxed), 0);
    }
}
