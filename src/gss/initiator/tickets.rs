//! The tickets that are held, in flight or failed, for each principal and each SPN; no I/O, no GSSAPI.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use libgssapi::credential::Cred;
use tokio::sync::oneshot;

use super::{
    InitiateError, TokenResult,
    backoff::{Backoff, Keys},
    cached::TokenJob,
    kdc::KdcJob,
};
use crate::gss::{Principal, sys::MemoryCcache};

/// How long a failure is returned to further callers without another request to the KDC.
const NEGATIVE_CACHE: Duration = Duration::from_secs(2);
/// The least time between two service tickets that are requested because a backend has refused a login.
const REPLACE_INTERVAL: Duration = Duration::from_secs(10);

/// Cache key: client principal and service principal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct TicketKey {
    pub(super) client: Principal,
    pub(super) spn: Principal,
}

#[derive(Default)]
pub(super) struct Tickets {
    clients: HashMap<Principal, Client>,
    services: HashMap<TicketKey, Service>,
}

/// A principal of the gateway.
#[derive(Default)]
struct Client {
    ticket: Option<Tgt>,
    in_flight: bool,
    failed: Option<Failed>,
    backoff: Option<Backoff>,
    /// Service tickets that wait for the ticket-granting ticket.
    parked: Vec<TicketKey>,
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

/// A ticket-granting ticket, alone in a credential cache. Each service ticket is requested in a copy of
/// it: in the same cache libkrb5 would return the service ticket that is there, however old it is.
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
    ticket: Option<Arc<ServiceTicket>>,
    /// Renew it, however much of its life is left.
    stale: bool,
    /// A backend has refused it: further tokens wait for the new one.
    suspect: bool,
    /// When a backend last refused it.
    refused: Option<Instant>,
    /// When the exchange with the KDC began.
    in_flight: Option<Instant>,
    failed: Option<Failed>,
    waiters: Vec<oneshot::Sender<TokenResult>>,
}

/// A service ticket in a credential cache of its own, from which tokens are made without the KDC.
pub(super) struct ServiceTicket {
    pub(super) key: TicketKey,
    /// Declared before the cache that it reads, because fields are dropped in this order.
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
            until: now + NEGATIVE_CACHE,
            error,
        }
    }
}

fn recent(failed: Option<&Failed>, now: Instant) -> Option<InitiateError> {
    failed
        .filter(|failed| failed.until > now)
        .map(|failed| failed.error.clone())
}

/// How a token is made.
pub(super) enum TokenPlan {
    /// From a cached ticket; `renew` is to be queued for the kdc threads as well.
    Cached {
        job: TokenJob,
        renew: Option<KdcJob>,
    },
    /// A kdc thread must get the ticket first.
    Kdc(KdcJob),
    /// The exchange for it is in flight.
    Wait,
    Refuse(InitiateError),
}

/// The ticket-granting ticket for a service ticket.
pub(super) enum TgtLookup {
    Held(Tgt),
    /// It is in flight; the service ticket is parked until it arrives.
    Pending,
    /// It has to be requested; the service ticket is parked until it arrives.
    Fetch(KdcJob),
    /// The last request failed a moment ago.
    Failed(InitiateError),
}

impl Tickets {
    /// Decides how one token is made.
    ///
    /// An exchange that has been in flight for longer than `deadline` is taken for hung: callers are
    /// refused rather than made to wait behind it.
    pub(super) fn plan(
        &mut self,
        key: TicketKey,
        reply: oneshot::Sender<TokenResult>,
        now: Instant,
        deadline: Duration,
        queue: usize,
    ) -> TokenPlan {
        let service = self.services.entry(key.clone()).or_default();
        let failed = recent(service.failed.as_ref(), now);
        // libkrb5 cannot be interrupted: on a hung KDC an exchange took 27 s.
        let hung = |since: Instant| now.duration_since(since) > deadline;
        let waits = service.suspect && !service.in_flight.is_some_and(hung);
        let held = service.ticket.as_ref().filter(|ticket| ticket.ends > now);
        if let Some(ticket) = held.filter(|_| !waits) {
            let due = (service.stale || ticket.renew <= now)
                && service.in_flight.is_none()
                && failed.is_none();
            let job = TokenJob {
                ticket: Arc::clone(ticket),
                cached: true,
                reply,
            };
            if due {
                service.in_flight = Some(now);
            }
            return TokenPlan::Cached {
                job,
                renew: due.then_some(KdcJob::ServiceTicket(key)),
            };
        }
        if let Some(error) = failed {
            return TokenPlan::Refuse(error);
        }
        if let Some(since) = service.in_flight {
            if hung(since) {
                return TokenPlan::Refuse(InitiateError::KdcUnreachable {
                    realm: key.spn.realm().to_owned(),
                    text: "an earlier request is still waiting for it".to_owned(),
                });
            }
            // Callers that have gone away make room for others.
            service.waiters.retain(|waiter| !waiter.is_closed());
            if service.waiters.len() >= queue {
                return TokenPlan::Refuse(InitiateError::Busy);
            }
            service.waiters.push(reply);
            return TokenPlan::Wait;
        }
        service.in_flight = Some(now);
        service.waiters.push(reply);
        TokenPlan::Kdc(KdcJob::ServiceTicket(key))
    }

    pub(super) fn tgt_for(&mut self, key: &TicketKey, now: Instant) -> TgtLookup {
        let client = self.clients.entry(key.client.clone()).or_default();
        let renewing = recent(client.failed.as_ref(), now).is_none();
        // A ticket that is due for renewal is still used if the last renewal failed a moment ago.
        if let Some(tgt) = client.ticket.as_ref()
            && (tgt.renew > now || (tgt.ends > now && !renewing))
        {
            return TgtLookup::Held(tgt.clone());
        }
        if let Some(error) = recent(client.failed.as_ref(), now) {
            return TgtLookup::Failed(error);
        }
        client.parked.push(key.clone());
        if std::mem::replace(&mut client.in_flight, true) {
            return TgtLookup::Pending;
        }
        TgtLookup::Fetch(KdcJob::Tgt(key.client.clone()))
    }

    /// Stores a ticket-granting ticket and returns the service tickets that waited for it.
    pub(super) fn tgt_received(&mut self, client: &Principal, tgt: Tgt) -> Vec<TicketKey> {
        let entry = self.clients.entry(client.clone()).or_default();
        entry.ticket = Some(tgt);
        entry.in_flight = false;
        entry.failed = None;
        entry.backoff = None;
        std::mem::take(&mut entry.parked)
    }

    /// Whether the KDC may be asked for a ticket-granting ticket with these keys. The error is the one
    /// of the last refusal.
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

    /// Records an error of the KDC for a request with these keys. Returns how long the KDC is not asked
    /// again, where the error is one that an account lockout counts.
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

    /// Records that no ticket-granting ticket was received. Returns the service tickets that waited for
    /// it, and whether an older ticket-granting ticket is still valid for them.
    pub(super) fn tgt_failed(
        &mut self,
        client: &Principal,
        error: InitiateError,
        now: Instant,
    ) -> (Vec<TicketKey>, bool) {
        let entry = self.clients.entry(client.clone()).or_default();
        entry.in_flight = false;
        entry.failed = Some(Failed::new(error, now));
        let has_older = entry.ticket.as_ref().is_some_and(|tgt| tgt.ends > now);
        (std::mem::take(&mut entry.parked), has_older)
    }

    /// The gateway's principals that tickets were requested for, by name.
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

    /// Stores a service ticket and returns the tokens that waited for it.
    pub(super) fn service_ticket_received(&mut self, ticket: ServiceTicket) -> Vec<TokenJob> {
        let service = self.services.entry(ticket.key.clone()).or_default();
        service.in_flight = None;
        service.failed = None;
        service.stale = false;
        service.suspect = false;
        let ticket = service.ticket.insert(Arc::new(ticket));
        std::mem::take(&mut service.waiters)
            .into_iter()
            .map(|reply| TokenJob {
                ticket: Arc::clone(ticket),
                cached: false,
                reply,
            })
            .collect()
    }

    /// Records that no service ticket was received. An older ticket that has not ended is used for the
    /// waiting tokens, even if a backend has refused it; otherwise the callers are returned.
    pub(super) fn service_ticket_failed(
        &mut self,
        key: &TicketKey,
        error: InitiateError,
        now: Instant,
    ) -> (Vec<TokenJob>, Vec<oneshot::Sender<TokenResult>>) {
        let service = self.services.entry(key.clone()).or_default();
        service.in_flight = None;
        service.failed = Some(Failed::new(error, now));
        service.suspect = false;
        let waiters = std::mem::take(&mut service.waiters);
        let held = service.ticket.as_ref().filter(|ticket| ticket.ends > now);
        let Some(ticket) = held else {
            return (Vec::new(), waiters);
        };
        let job = |reply| TokenJob {
            ticket: Arc::clone(ticket),
            cached: true,
            reply,
        };
        (waiters.into_iter().map(job).collect(), Vec::new())
    }

    /// Records that a backend has refused a login with a service ticket that was held already: its key
    /// may have changed. Returns whether the next token is made with another ticket.
    pub(super) fn refused(&mut self, ticket: &Weak<ServiceTicket>, now: Instant) -> bool {
        // A ticket that was dropped or replaced since has a successor already.
        let Some(ticket) = ticket.upgrade() else {
            return true;
        };
        let Some(service) = self.services.get_mut(&ticket.key) else {
            return true;
        };
        let current = service.ticket.as_ref();
        if !current.is_some_and(|held| Arc::ptr_eq(held, &ticket)) || service.suspect {
            return true;
        }
        // A backend that refuses every login must not cost a request to the KDC each time.
        let recently = |at: Instant| now.duration_since(at) < REPLACE_INTERVAL;
        if service.refused.is_some_and(recently) {
            return false;
        }
        service.refused = Some(now);
        service.suspect = true;
        service.stale = true;
        // A cached failure must not delay the request for the new ticket.
        service.failed = None;
        true
    }

    /// Drops a ticket from which no token could be made.
    pub(super) fn discard(&mut self, ticket: &Arc<ServiceTicket>) {
        if let Some(service) = self.services.get_mut(&ticket.key)
            && let Some(held) = &service.ticket
            && Arc::ptr_eq(held, ticket)
        {
            service.ticket = None;
        }
    }

    /// Forgets failures and makes every ticket due for renewal. Back-offs stay: they depend on the
    /// keys, so a new keytab ends them by itself.
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
