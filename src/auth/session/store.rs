//! Begins, finds, renews and ends sessions.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderValue};
use ring::{
    hmac,
    rand::{SecureRandom as _, SystemRandom},
};
use subtle::{Choice, ConstantTimeEq as _};

use super::{
    Session, cookie_name,
    revoked::Revoked,
    seal::{self, Claims, KEY},
    set_cookie, short, unix,
};
use crate::{
    auth::{
        Scheme, cookie,
        names::{AuthToLocal, NameError},
        secret::{Secret, SecretError},
    },
    gss::Principal,
};

/// The most copies of the session cookie that are tried in one request. Browsers send one or two; each
/// copy may cost a MAC.
const COPIES: usize = 8;

/// How long sessions last and how many are cached.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// `session.lifetime`. A session also ends with its ticket.
    pub lifetime: Duration,
    /// `session.idle`
    pub idle: Duration,
    /// `session.capacity`, in sessions.
    pub capacity: u64,
}

/// All sessions of the gateway. Cheap to clone; shared by all workers and kept over reloads.
#[derive(Clone)]
pub struct Sessions(Arc<Inner>);

struct Inner {
    key: hmac::Key,
    random: SystemRandom,
    lifetime: AtomicU32,
    idle: AtomicU32,
    cache: moka::sync::Cache<[u8; KEY], Arc<Session>>,
    revoked: Revoked,
}

/// The result of looking up the session of a request.
#[derive(Debug)]
pub enum SessionLookup {
    /// A valid session.
    Session(Arc<Session>),
    /// There are session cookies, but all are expired, revoked or forged. The client has to log in
    /// again.
    Ended,
    /// No session cookie.
    None,
}

/// A session that a login has begun, with its cookie.
#[derive(Debug)]
pub struct NewSession {
    /// The session.
    pub session: Arc<Session>,
    /// The `Set-Cookie` header; `None` if the ticket ends now, or if the principal is too long for a
    /// cookie.
    pub cookie: Option<HeaderValue>,
}

/// Why a session cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The principal has no short name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// No random bytes for the session id.
    #[error(transparent)]
    Random(#[from] SecretError),
}

// === impl Sessions ===

impl Sessions {
    /// An empty store; it accepts cookies signed with the same secret.
    pub fn new(limits: SessionLimits, secret: &Secret) -> Self {
        Self(Arc::new(Inner {
            key: secret.key("spnegate-session-v1"),
            random: SystemRandom::new(),
            lifetime: AtomicU32::new(short(limits.lifetime.as_secs())),
            idle: AtomicU32::new(short(limits.idle.as_secs())),
            cache: moka::sync::Cache::builder()
                .max_capacity(limits.capacity)
                .build(),
            revoked: Revoked::default(),
        }))
    }

    /// Applies new limits, except the capacity, at a reload. Sessions that are older than the new
    /// limits end.
    pub fn set_limits(&self, limits: SessionLimits) {
        self.0
            .lifetime
            .store(short(limits.lifetime.as_secs()), Ordering::Relaxed);
        self.0
            .idle
            .store(short(limits.idle.as_secs()), Ordering::Relaxed);
    }

    /// Finds the session of a request; `now` in Unix seconds.
    pub fn find(
        &self,
        headers: &HeaderMap,
        scheme: Scheme,
        names: &AuthToLocal,
        now: u64,
    ) -> SessionLookup {
        // Each copy is tried: a stale cookie of another path or host must not hide the valid one.
        let mut found = SessionLookup::None;
        for value in cookie::named(headers, cookie_name(scheme)).take(COPIES) {
            match self.read(value, scheme, names, short(now)) {
                Some(session) => return SessionLookup::Session(session),
                None => found = SessionLookup::Ended,
            }
        }
        found
    }

    /// Begins the session of a client whose ticket has been accepted; `now` in Unix seconds.
    pub fn begin(
        &self,
        principal: &Principal,
        ticket_expires: SystemTime,
        scheme: Scheme,
        names: &AuthToLocal,
        now: u64,
    ) -> Result<NewSession, BeginError> {
        let user = names.map(principal)?;
        let mut id = [0; 16];
        self.0
            .random
            .fill(&mut id)
            .map_err(|_| SecretError::Random)?;
        let now = short(now);
        let lifetime = now.saturating_add(self.0.lifetime.load(Ordering::Relaxed));
        let expires = short(unix(ticket_expires)).min(lifetime);
        let principal = principal.to_string();
        let claims = Claims {
            scheme,
            id,
            issued: now,
            seen: now,
            expires,
            principal: &principal,
        };
        let value = seal::seal(&self.0.key, &claims);
        let fits = value.len() <= seal::MAX_VALUE && now < expires;
        let cookie = fits.then(|| set_cookie(scheme, &value)).flatten();
        // It is cached when its cookie comes back: clients that do not store cookies would fill the
        // cache.
        let session = Arc::new(Session::new(&claims, &value, &user, names.generation()));
        Ok(NewSession { session, cookie })
    }

    /// A newer cookie, if a quarter of `idle` has passed since the last one.
    ///
    /// The time of the last request is in the cookie, so it has to be sent again for the idle time to
    /// be extended; a quarter keeps `Set-Cookie` out of almost all responses.
    pub fn renew(&self, session: &Session, now: u64) -> Option<HeaderValue> {
        let now = short(now);
        let last = session.reissued.load(Ordering::Relaxed).max(session.seen);
        if now.saturating_sub(last) < self.0.idle.load(Ordering::Relaxed).div_ceil(4).max(1) {
            return None;
        }
        // Of concurrent requests, only one response gets the cookie.
        let was = session.reissued.swap(now, Ordering::Relaxed);
        if was >= now {
            return None;
        }
        let claims = Claims {
            scheme: session.scheme,
            id: session.id,
            issued: session.issued,
            seen: now,
            expires: session.expires,
            principal: session.principal(),
        };
        set_cookie(session.scheme, &seal::seal(&self.0.key, &claims))
    }

    /// Ends a session on this replica: no copy of its cookie is accepted any more.
    pub fn end(&self, session: &Session, now: u64) {
        self.0
            .revoked
            .insert(session.id, session.expires, short(now));
        if let Some(key) = seal::cache_key(session.value().as_bytes()) {
            self.0.cache.invalidate(&key);
        }
    }

    /// Whether a session that was found earlier has been ended since, on this replica.
    pub fn is_revoked(&self, session: &Session) -> bool {
        self.0.revoked.contains(&session.id)
    }

    /// The number of cached sessions. Runs the cache's pending tasks, which the number depends on.
    pub fn cached(&self) -> u64 {
        self.0.cache.run_pending_tasks();
        self.0.cache.entry_count()
    }

    /// The session of one cookie; `None` if the cookie is not valid on this scheme now.
    fn read(
        &self,
        value: &[u8],
        scheme: Scheme,
        names: &AuthToLocal,
        now: u32,
    ) -> Option<Arc<Session>> {
        let key = seal::cache_key(value)?;
        let cached = self
            .0
            .cache
            .get(&key)
            // A cached user name is valid only for the rules that made it.
            .filter(|s| s.generation == names.generation());
        if let Some(session) = &cached
            && is_same(session.value().as_bytes(), value)
        {
            if session.scheme == scheme && self.alive(session, now) {
                return cached;
            }
            self.0.cache.invalidate(&key);
            return None;
        }
        let mut buffer = seal::Buffer::default();
        let claims = seal::open(&self.0.key, value, &mut buffer)?;
        let value = std::str::from_utf8(value).ok()?;
        let user = match &cached {
            // Another cookie of a cached session: the name is known.
            Some(known) if known.principal() == claims.principal => known.user().to_owned(),
            _ => names.map(&claims.principal.parse().ok()?).ok()?,
        };
        let session = Arc::new(Session::new(&claims, value, &user, names.generation()));
        if session.scheme != scheme || !self.alive(&session, now) {
            return None;
        }
        // The cache has one entry for each session: its newest cookie.
        if cached.is_none_or(|known| known.seen <= session.seen) {
            self.0.cache.insert(key, Arc::clone(&session));
        }
        Some(session)
    }

    fn alive(&self, session: &Session, now: u32) -> bool {
        let Inner {
            lifetime,
            idle,
            revoked,
            ..
        } = &*self.0;
        now < session.expires
            && now.saturating_sub(session.issued) < lifetime.load(Ordering::Relaxed)
            && now.saturating_sub(session.seen) < idle.load(Ordering::Relaxed)
            && !revoked.contains(&session.id)
    }
}

/// Compares in constant time, so that the time tells nothing about how many bytes of a forged cookie
/// are right; eight bytes at a time, because this runs for every request.
fn is_same(known: &[u8], given: &[u8]) -> bool {
    let ((words, rest), (others, other_rest)) = (known.as_chunks::<8>(), given.as_chunks::<8>());
    let word = |bytes: &[u8; 8]| u64::from_ne_bytes(*bytes);
    known.len() == given.len()
        && words
            .iter()
            .zip(others)
            .fold(rest.ct_eq(other_rest), |same: Choice, (a, b)| {
                same & word(a).ct_eq(&word(b))
            })
            .into()
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}
