//! Unfinished logins, each kept with its HTTP/1.1 connection until the client's next token.
//!
//! Only the unfinished *login* belongs to the connection, never an identity: load balancers send
//! requests of many users over one connection.

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    gss::Pending,
    net::source::{Shares, Source, Spent},
    refusal::Refusal,
};

/// The longest time from one token to the next.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);
/// The unfinished logins of the whole process. Their number is limited because each holds a GSSAPI
/// context, and shared out by client address so that one client cannot use all of it.
static UNFINISHED: LazyLock<Mutex<Shares>> = LazyLock::new(|| Mutex::new(Shares::new(1024)));

/// Holds the unfinished login of a connection.
///
/// The server makes one for each HTTP/1.1 connection and puts a clone into the extensions of each of
/// its requests. Without it, or with one that holds nothing (HTTP/2), logins that need several tokens
/// are refused as [`LoginInterrupted`](crate::refusal::Refusal::LoginInterrupted).
///
/// It also has the client's address, so that a client that floods the gateway with logins does not lock
/// out others.
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

/// Counts one unfinished login of a client.
struct Permit {
    shares: &'static Mutex<Shares>,
    source: Option<Source>,
}

// === impl LoginSlot ===

impl<P> LoginSlot<P> {
    /// An empty slot without a client address.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty slot of a client with this address.
    pub fn of(client: IpAddr) -> Self {
        Self {
            client: Some(client),
            ..Self::default()
        }
    }

    /// A slot of a client with this address that holds nothing, for connections whose requests are
    /// concurrent (HTTP/2).
    pub fn of_stream(client: IpAddr) -> Self {
        Self {
            unfinished: None,
            client: Some(client),
        }
    }

    /// Whether a login can be kept in this slot.
    pub(super) fn keeps(&self) -> bool {
        self.unfinished.is_some()
    }

    /// Whether a login has begun on this connection and waits for its next token.
    pub(super) fn is_awaiting(&self) -> bool {
        self.unfinished.as_ref().is_some_and(|kept| {
            kept.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_some()
        })
    }

    /// The client's address, if it is known.
    pub(super) fn client(&self) -> Option<IpAddr> {
        self.client
    }

    /// Keeps a login. The refusal is for the client if this slot keeps none, or if the client or the
    /// process has too many unfinished logins.
    pub(super) fn put(&self, pending: P) -> Result<(), Refusal> {
        self.put_counted(pending, &UNFINISHED)
    }

    fn put_counted(&self, pending: P, shares: &'static Mutex<Shares>) -> Result<(), Refusal> {
        let Some(unfinished) = &self.unfinished else {
            return Err(Refusal::LoginInterrupted);
        };
        let mut slot = unfinished.lock().unwrap_or_else(PoisonError::into_inner);
        // The login that this one replaces releases its permit first.
        *slot = None;
        let permit = Permit::take(shares, self.client.map(Source::from))?;
        let deadline = Instant::now() + TOKEN_TIMEOUT;
        *slot = Some(Box::new(Unfinished {
            pending,
            deadline,
            _permit: permit,
        }));
        Ok(())
    }

    /// Removes the login and returns it, unless its deadline has passed at `now`.
    pub(super) fn take(&self, now: Instant) -> Option<P> {
        let unfinished = self
            .unfinished
            .as_ref()?
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()?;
        // A late login is dropped here and not by a timer; `UNFINISHED` limits how many can be kept so
        // long.
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
    fn take(shares: &'static Mutex<Shares>, source: Option<Source>) -> Result<Self, Refusal> {
        let mut held = shares.lock().unwrap_or_else(PoisonError::into_inner);
        match held.take(source) {
            Ok(()) => Ok(Self { shares, source }),
            Err(Spent::All) => Err(Refusal::LoginBusy),
            Err(Spent::Share) => Err(Refusal::LoginFlood),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut held = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        held.give_back(self.source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_taken_once_and_before_its_deadline() {
        let slot = LoginSlot::new();
        assert_eq!((slot.put(1), slot.put(2)), (Ok(()), Ok(())));
        assert_eq!(slot.clone().take(Instant::now()), Some(2));
        assert_eq!(slot.take(Instant::now()), None);
        assert_eq!(slot.put(3), Ok(()));
        assert_eq!(slot.take(Instant::now() + TOKEN_TIMEOUT), None);
        assert_eq!(slot.take(Instant::now()), None, "a late login is dropped");
    }

    #[test]
    fn unfinished_logins_are_limited_per_client() {
        static HELD: LazyLock<Mutex<Shares>> = LazyLock::new(|| Mutex::new(Shares::new(4)));
        let of = |n| LoginSlot::<()>::of(IpAddr::from([192, 0, 2, n]));
        let floods = [of(66), of(66), of(66)];
        let put = |slot: &LoginSlot<()>| slot.put_counted((), &HELD);
        assert_eq!((put(&floods[0]), put(&floods[0])), (Ok(()), Ok(())));
        assert_eq!(put(&floods[1]), Ok(()));
        assert_eq!(put(&floods[2]), Err(Refusal::LoginFlood));
        let others = [of(1), of(2), of(3)];
        assert_eq!((put(&others[0]), put(&others[1])), (Ok(()), Ok(())));
        assert_eq!(put(&others[2]), Err(Refusal::LoginBusy));
        assert!(others[0].take(Instant::now()).is_some());
        assert_eq!(put(&others[2]), Ok(()));
        drop((floods, others));
        assert_eq!(HELD.lock().unwrap().taken(), 0);
    }
}
