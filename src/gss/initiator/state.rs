//! What is held, what is under way and what failed, per principal and per SPN; no I/O, no GSSAPI.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use libgssapi::credential::Cred;
use tokio::sync::oneshot;

use super::{
    Answer, InitiateError,
    backoff::{Backoff, Keys},
    far, near,
};
use crate::gss::{Principal, sys::MemoryCcache};

/// How long a failure answers for further tries.
const NEGATIVE: Duration = Duration::from_secs(2);
/// How often, for one service, a refused login may cost a new service ticket.
const REFUSED: Duration = Duration::from_secs(10);

/// Cache key: client principal and service principal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) client: Principal,
    pub(super) spn: Principal,
}

/// The initiator's memory.
#[derive(Default)]
pub(super) struct State {
    clients: HashMap<Principal, Client>,
    services: HashMap<Key, Service>,
}

/// A principal of the gateway.
#[derive(Default)]
struct Client {
    ticket: Option<Tgt>,
    flight: bool,
    failed: Option<Failed>,
    backoff: Option<Backoff>,
    /// Services that wait for the ticket.
    parked: Vec<Key>,
}

/// A principal of the gateway, for the log and the status page.
#[derive(Clone, Debug)]
pub struct ClientStatus {
    /// As the configuration names it.
    pub principal: Principal,
    /// As the KDC names it; another name only with `canonicalize` in `krb5.conf`.
    pub known_as: Option<String>,
    /// Whether it holds a ticket-granting ticket that has not ended.
    pub logged_in: bool,
    /// Why the last try for a new ticket-granting ticket failed.
    pub error: Option<InitiateError>,
    /// How long the KDC is not asked again while the keytab's keys stay the same.
    pub pause: Duration,
}

/// A ticket-granting ticket, alone in a cache: each service ticket is fetched into a copy, so that a
/// newer one can be had without a newer ticket-granting ticket.
#[derive(Clone)]
pub(super) struct Tgt {
    pub(super) ccache: Arc<MemoryCcache>,
    /// The client as the KDC names it.
    pub(super) client: Arc<str>,
    pub(super) renew: Instant,
    pub(super) ends: Instant,
}

/// A backend's service, for one principal.
#[derive(Default)]
struct Service {
    ready: Option<Arc<Ready>>,
    /// Renew it, however much of its life is left.
    stale: bool,
    /// A backend has refused it: further tokens wait for the new one.
    doubted: bool,
    /// When a backend last refused it.
    refused: Option<Instant>,
    flight: Option<Instant>,
    failed: Option<Failed>,
    waiters: Vec<oneshot::Sender<Answer>>,
}

/// A service ticket, in a cache that serves without the KDC.
pub(super) struct Ready {
    pub(super) key: Key,
    /// Before the cache that it reads, so that it is released first.
    pub(super) cred: Cred,
    pub(super) _ccache: MemoryCcache,
    pub(super) renew: Instant,
    pub(super) ends: Instant,
}

struct Failed {
    until: Instant,
    error: InitiateError,
}

impl Failed {
    fn new(error: InitiateError, now: Instant) -> Self {
        Self {
            until: now + NEGATIVE,
            error,
        }
    }
}

fn fresh(failed: Option<&Failed>, now: Instant) -> Option<InitiateError> {
    failed
        .filter(|failed| failed.until > now)
        .map(|failed| failed.error.clone())
}

/// What to do for a token.
pub(super) enum Decision {
    /// A near thread makes it; `renew` is work for a far one beside it.
    Near {
        job: near::Job,
        renew: Option<far::Job>,
    },
    /// A far thread must get the ticket first.
    Far(far::Job),
    /// That is under way.
    Wait,
    /// No token.
    Refuse(InitiateError),
}

/// What a far thread is to do for a service ticket.
pub(super) enum Basis {
    /// Get it with this.
    Tgt(Tgt),
    /// It is parked; somebody gets the ticket-granting ticket.
    Parked,
    /// It is parked; get the ticket-granting ticket.
    Fetch(far::Job),
    /// That failed a moment ago.
    Failed(InitiateError),
}

impl State {
    /// Decides for one token.
    pub(super) fn ask(
        &mut self,
        key: Key,
        reply: oneshot::Sender<Answer>,
        now: Instant,
        deadline: Duration,
        queue: usize,
    ) -> Decision {
        let service = self.services.entry(key.clone()).or_default();
        let failed = fresh(service.failed.as_ref(), now);
        let hung = |since: Instant| now.duration_since(since) > deadline;
        let waits = service.doubted && !service.flight.is_some_and(hung);
        let held = service.ready.as_ref().filter(|ready| ready.ends > now);
        if let Some(ready) = held.filter(|_| !waits) {
            let due = (service.stale || ready.renew <= now)
                && service.flight.is_none()
                && failed.is_none();
            let job = near::Job {
                ready: Arc::clone(ready),
                cached: true,
                reply,
            };
            if due {
                service.flight = Some(now);
            }
            return Decision::Near {
                job,
                renew: due.then_some(far::Job::Service(key)),
            };
        }
        if let Some(error) = failed {
            return Decision::Refuse(error);
        }
        if let Some(since) = service.flight {
            if hung(since) {
                return Decision::Refuse(InitiateError::KdcUnreachable {
                    realm: key.spn.realm().to_owned(),
                    text: "an earlier request still waits for it".to_owned(),
                });
            }
            service.waiters.retain(|waiter| !waiter.is_closed());
            if service.waiters.len() >= queue {
                return Decision::Refuse(InitiateError::Busy);
            }
            service.waiters.push(reply);
            return Decision::Wait;
        }
        service.flight = Some(now);
        service.waiters.push(reply);
        Decision::Far(far::Job::Service(key))
    }

    /// What a service ticket is got with.
    pub(super) fn basis(&mut self, key: &Key, now: Instant) -> Basis {
        let client = self.clients.entry(key.client.clone()).or_default();
        let renewing = fresh(client.failed.as_ref(), now).is_none();
        if let Some(tgt) = client.ticket.as_ref()
            && (tgt.renew > now || (tgt.ends > now && !renewing))
        {
            return Basis::Tgt(tgt.clone());
        }
        if let Some(error) = fresh(client.failed.as_ref(), now) {
            return Basis::Failed(error);
        }
        client.parked.push(key.clone());
        if std::mem::replace(&mut client.flight, true) {
            return Basis::Parked;
        }
        Basis::Fetch(far::Job::Client(key.client.clone()))
    }

    /// A ticket-granting ticket came; gives the services that waited for it.
    pub(super) fn client_got(&mut self, client: &Principal, tgt: Tgt) -> Vec<Key> {
        let entry = self.clients.entry(client.clone()).or_default();
        entry.ticket = Some(tgt);
        entry.flight = false;
        entry.failed = None;
        entry.backoff = None;
        std::mem::take(&mut entry.parked)
    }

    /// Whether the KDC may be asked for a ticket-granting ticket with these keys; the error is that
    /// of the last time.
    pub(super) fn may_ask(
        &self,
        client: &Principal,
        keys: &Keys,
        now: Instant,
    ) -> Result<(), InitiateError> {
        let entry = self.clients.get(client);
        let backoff = entry.and_then(|entry| entry.backoff.as_ref());
        match backoff.and_then(|backoff| backoff.refusal(keys, now)) {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// The KDC has answered a request with these keys by an error; how long it is left in peace.
    pub(super) fn client_refused(
        &mut self,
        client: &Principal,
        keys: Keys,
        error: &InitiateError,
        now: Instant,
    ) -> Option<Duration> {
        let entry = self.clients.entry(client.clone()).or_default();
        let backoff = Backoff::after(entry.backoff.as_ref(), keys, error, now)?;
        let pause = backoff.pause(now);
        entry.backoff = Some(backoff);
        Some(pause)
    }

    /// No ticket-granting ticket came; gives the services that waited for it, and whether an older
    /// one serves them.
    pub(super) fn client_failed(
        &mut self,
        client: &Principal,
        error: InitiateError,
        now: Instant,
    ) -> (Vec<Key>, bool) {
        let entry = self.clients.entry(client.clone()).or_default();
        entry.flight = false;
        entry.failed = Some(Failed::new(error, now));
        let serves = entry.ticket.as_ref().is_some_and(|tgt| tgt.ends > now);
        (std::mem::take(&mut entry.parked), serves)
    }

    /// The gateway's principals that tickets were wanted for.
    pub(super) fn clients(&self, now: Instant) -> Vec<ClientStatus> {
        let status = |(principal, client): (&Principal, &Client)| ClientStatus {
            principal: principal.clone(),
            known_as: client.ticket.as_ref().map(|tgt| tgt.client.to_string()),
            logged_in: client.ticket.as_ref().is_some_and(|tgt| tgt.ends > now),
            error: client.failed.as_ref().map(|failed| failed.error.clone()),
            pause: client
                .backoff
                .as_ref()
                .map_or(Duration::ZERO, |backoff| backoff.pause(now)),
        };
        let mut clients: Vec<_> = self.clients.iter().map(status).collect();
        clients.sort_by_key(|client| client.principal.to_string());
        clients
    }

    /// A service ticket came; gives those who wait.
    pub(super) fn service_got(&mut self, ready: Ready) -> Vec<near::Job> {
        let service = self.services.entry(ready.key.clone()).or_default();
        service.flight = None;
        service.failed = None;
        service.stale = false;
        service.doubted = false;
        let ready = service.ready.insert(Arc::new(ready));
        std::mem::take(&mut service.waiters)
            .into_iter()
            .map(|reply| near::Job {
                ready: Arc::clone(ready),
                cached: false,
                reply,
            })
            .collect()
    }

    /// None came; gives the waiting callers. A ticket that has not ended stays, and is used again even
    /// if a backend has refused it.
    pub(super) fn service_failed(
        &mut self,
        key: &Key,
        error: InitiateError,
        now: Instant,
    ) -> (Vec<near::Job>, Vec<oneshot::Sender<Answer>>) {
        let service = self.services.entry(key.clone()).or_default();
        service.flight = None;
        service.failed = Some(Failed::new(error, now));
        service.doubted = false;
        let waiters = std::mem::take(&mut service.waiters);
        let held = service.ready.as_ref().filter(|ready| ready.ends > now);
        let Some(ready) = held else {
            return (Vec::new(), waiters);
        };
        let job = |reply| near::Job {
            ready: Arc::clone(ready),
            cached: true,
            reply,
        };
        (waiters.into_iter().map(job).collect(), Vec::new())
    }

    /// A backend has refused a login with a service ticket that was held already: perhaps its key has
    /// changed. Gives whether the next token is made with another one.
    pub(super) fn refused(&mut self, ticket: &Weak<Ready>, now: Instant) -> bool {
        let Some(ready) = ticket.upgrade() else {
            return true;
        };
        let Some(service) = self.services.get_mut(&ready.key) else {
            return true;
        };
        let current = service.ready.as_ref();
        if !current.is_some_and(|held| Arc::ptr_eq(held, &ready)) || service.doubted {
            return true;
        }
        let lately = |at: Instant| now.duration_since(at) < REFUSED;
        if service.refused.is_some_and(lately) {
            return false;
        }
        service.refused = Some(now);
        service.doubted = true;
        service.stale = true;
        service.failed = None;
        true
    }

    /// A ticket that was thought good is not.
    pub(super) fn spoilt(&mut self, ready: &Arc<Ready>) {
        if let Some(service) = self.services.get_mut(&ready.key)
            && let Some(held) = &service.ready
            && Arc::ptr_eq(held, ready)
        {
            service.ready = None;
        }
    }

    /// Forgets failures; everything is due for renewal.
    pub(super) fn renew_all(&mut self, now: Instant) {
        for client in self.clients.values_mut() {
            client.failed = None;
            if let Some(tgt) = &mut client.ticket {
                tgt.renew = now;
            }
        }
        for service in self.services.values_mut() {
            service.failed = None;
            service.stale = true;
        }
    }
}

#[cfg(test)]
mod tests;
