//! What is held, what is under way and what failed, per principal and per SPN; no I/O, no GSSAPI.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use libgssapi::credential::Cred;
use tokio::sync::oneshot;

use super::{Answer, InitiateError, far, near};
use crate::gss::{Principal, sys::MemoryCcache};

/// How long a failure answers for further tries.
const NEGATIVE: Duration = Duration::from_secs(2);

/// Who to whom.
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
    /// Services that wait for the ticket.
    parked: Vec<Key>,
}

/// A ticket-granting ticket.
#[derive(Clone)]
pub(super) struct Tgt {
    pub(super) ccache: Arc<MemoryCcache>,
    pub(super) renew: Instant,
    pub(super) ends: Instant,
}

/// A backend's service, for one principal.
#[derive(Default)]
struct Service {
    ready: Option<Arc<Ready>>,
    /// Whatever it says, renew it.
    stale: bool,
    flight: Option<Instant>,
    failed: Option<Failed>,
    waiters: Vec<oneshot::Sender<Answer>>,
}

/// A service ticket, in a cache that serves without the KDC.
pub(super) struct Ready {
    pub(super) key: Key,
    /// Before the cache that it reads, so that it is released first.
    pub(super) cred: Cred,
    pub(super) ccache: Arc<MemoryCcache>,
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
        if let Some(ready) = service.ready.as_ref().filter(|ready| ready.ends > now) {
            let due = (service.stale || ready.renew <= now)
                && service.flight.is_none()
                && failed.is_none();
            let job = near::Job {
                ready: Arc::clone(ready),
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
            if now.duration_since(since) > deadline {
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

    /// What a service ticket is got with. A renewal wants a newer ticket-granting ticket than the
    /// one that the old service ticket came from: out of the same cache would come the same ticket.
    pub(super) fn basis(&mut self, key: &Key, now: Instant) -> Basis {
        let old = self
            .services
            .get(key)
            .and_then(|service| service.ready.as_ref());
        let client = self.clients.entry(key.client.clone()).or_default();
        if let Some(tgt) = client.ticket.as_ref() {
            let spent = old.is_some_and(|old| Arc::ptr_eq(&old.ccache, &tgt.ccache));
            let renewing = fresh(client.failed.as_ref(), now).is_none();
            if !spent && (tgt.renew > now || (tgt.ends > now && !renewing)) {
                return Basis::Tgt(tgt.clone());
            }
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
        std::mem::take(&mut entry.parked)
    }

    /// None came; gives the services that waited for it.
    pub(super) fn client_failed(
        &mut self,
        client: &Principal,
        error: InitiateError,
        now: Instant,
    ) -> Vec<Key> {
        let entry = self.clients.entry(client.clone()).or_default();
        entry.flight = false;
        entry.failed = Some(Failed::new(error, now));
        std::mem::take(&mut entry.parked)
    }

    /// A service ticket came; gives those who wait.
    pub(super) fn service_got(&mut self, ready: Ready) -> Vec<near::Job> {
        let service = self.services.entry(ready.key.clone()).or_default();
        service.flight = None;
        service.failed = None;
        service.stale = false;
        let ready = service.ready.insert(Arc::new(ready));
        std::mem::take(&mut service.waiters)
            .into_iter()
            .map(|reply| near::Job {
                ready: Arc::clone(ready),
                reply,
            })
            .collect()
    }

    /// None came; gives those who wait. A ticket that still holds stays.
    pub(super) fn service_failed(
        &mut self,
        key: &Key,
        error: InitiateError,
        now: Instant,
    ) -> Vec<oneshot::Sender<Answer>> {
        let service = self.services.entry(key.clone()).or_default();
        service.flight = None;
        service.failed = Some(Failed::new(error, now));
        std::mem::take(&mut service.waiters)
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
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(5);

    fn key() -> Key {
        Key {
            client: "spnegate/p@R".parse().unwrap(),
            spn: "HTTP/nn1@R".parse().unwrap(),
        }
    }

    fn ask(state: &mut State, now: Instant) -> Decision {
        state.ask(key(), oneshot::channel().0, now, DEADLINE, 2)
    }

    fn ask_and_wait(state: &mut State, now: Instant) -> (Decision, oneshot::Receiver<Answer>) {
        let (reply, answer) = oneshot::channel();
        (state.ask(key(), reply, now, DEADLINE, 2), answer)
    }

    fn error() -> InitiateError {
        InitiateError::UnknownSpn { spn: key().spn }
    }

    #[test]
    fn one_exchange_is_under_way_and_the_others_wait_within_bounds() {
        let (mut state, now) = (State::default(), Instant::now());
        let (first, _first) = ask_and_wait(&mut state, now);
        assert!(matches!(first, Decision::Far(_)));
        let (second, _second) = ask_and_wait(&mut state, now);
        assert!(matches!(second, Decision::Wait));
        let third = ask(&mut state, now);
        assert!(matches!(third, Decision::Refuse(InitiateError::Busy)));
    }

    #[test]
    fn those_who_left_make_room() {
        let (mut state, now) = (State::default(), Instant::now());
        assert!(matches!(ask(&mut state, now), Decision::Far(_)));
        for _ in 0..9 {
            assert!(matches!(ask(&mut state, now), Decision::Wait));
        }
    }

    #[test]
    fn behind_a_hung_exchange_nobody_waits_longer_than_the_deadline() {
        let (mut state, now) = (State::default(), Instant::now());
        assert!(matches!(ask(&mut state, now), Decision::Far(_)));
        let later = now + DEADLINE + Duration::from_secs(1);
        assert!(matches!(
            ask(&mut state, later),
            Decision::Refuse(InitiateError::KdcUnreachable { .. })
        ));
    }

    #[test]
    fn a_failure_answers_for_a_moment_and_is_then_tried_again() {
        let (mut state, now) = (State::default(), Instant::now());
        assert!(matches!(ask(&mut state, now), Decision::Far(_)));
        assert_eq!(state.service_failed(&key(), error(), now).len(), 1);
        assert!(matches!(ask(&mut state, now), Decision::Refuse(e) if e == error()));
        assert!(matches!(ask(&mut state, now + NEGATIVE), Decision::Far(_)));
    }

    #[test]
    fn the_first_ticket_of_a_principal_is_fetched_once_for_all_its_services() {
        let (mut state, now) = (State::default(), Instant::now());
        let other = Key {
            spn: "HTTP/nn2@R".parse().unwrap(),
            ..key()
        };
        assert!(matches!(state.basis(&key(), now), Basis::Fetch(_)));
        assert!(matches!(state.basis(&other, now), Basis::Parked));
        let parked = state.client_failed(&key().client, error(), now);
        assert_eq!(parked, [key(), other]);
        assert!(matches!(state.basis(&key(), now), Basis::Failed(e) if e == error()));
        let tgt = Tgt {
            ccache: Arc::new(MemoryCcache::new()),
            renew: now + DEADLINE,
            ends: now + DEADLINE,
        };
        state.client_got(&key().client, tgt);
        assert!(matches!(state.basis(&key(), now), Basis::Tgt(_)));
        state.renew_all(now);
        assert!(matches!(state.basis(&key(), now), Basis::Fetch(_)));
    }
}
