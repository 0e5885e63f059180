//! The far threads: everything that needs a KDC. One that hangs stops them, and nothing else.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use libgssapi::{
    context::{ClientCtx, CtxFlags, SecurityContext},
    name::Name,
    oid::{GSS_MECH_KRB5, GSS_NT_KRB5_PRINCIPAL},
};
use tracing::{debug, info, warn};

use super::{
    Account, InitiateError, Shared,
    backoff::Keys,
    near,
    state::{Basis, Key, Ready, Tgt},
};
use crate::gss::{
    Failure, Keytab, Principal,
    sys::{self, Mechanisms, MemoryCcache},
};

/// Something to be had from a KDC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// A ticket-granting ticket by the keytab.
    Client(Principal),
    /// A service ticket.
    Service(Key),
}

/// Tickets are not used in their last seconds: a backend's clock may be ahead.
const MARGIN: Duration = Duration::from_secs(30);

pub(super) fn run(
    shared: &Shared,
    jobs: &async_channel::Receiver<Job>,
    near: &async_channel::WeakSender<near::Job>,
    again: &async_channel::WeakSender<Job>,
) {
    while let Ok(job) = jobs.recv_blocking() {
        match job {
            Job::Client(client) => {
                for key in fetch(shared, near, &client) {
                    queue(again, Job::Service(key));
                }
            }
            Job::Service(key) => serve(shared, near, again, &key),
        }
    }
}

/// Gets a service ticket, or first what is needed for it.
fn serve(
    shared: &Shared,
    near: &async_channel::WeakSender<near::Job>,
    again: &async_channel::WeakSender<Job>,
    key: &Key,
) {
    // a statement of its own: the lock must not outlive it
    let basis = shared.state().basis(key, Instant::now());
    let tgt = match basis {
        Basis::Parked => return,
        Basis::Fetch(job) => return queue(again, job),
        Basis::Failed(error) => return fail(shared, near, key, &error),
        Basis::Tgt(tgt) => tgt,
    };
    match service(key, &tgt) {
        Ok(ready) => {
            let jobs = shared.state().service_got(ready);
            for job in jobs {
                hand_over(near, job);
            }
        }
        Err(error) => {
            warn!(client = %key.client, spn = %key.spn, %error, "no ticket for a backend");
            fail(shared, near, key, &error);
        }
    }
}

fn queue(again: &async_channel::WeakSender<Job>, job: Job) {
    if let Some(sender) = again.upgrade() {
        // unbounded; closed only when the initiator is gone
        let _ = sender.try_send(job);
    }
}

fn hand_over(near: &async_channel::WeakSender<near::Job>, job: near::Job) {
    let refused = match near.upgrade().map(|near| near.try_send(job)) {
        Some(Ok(())) | None => return,
        Some(Err(refused)) => refused,
    };
    let (job, error) = match refused {
        async_channel::TrySendError::Full(job) => (job, InitiateError::Busy),
        async_channel::TrySendError::Closed(job) => (job, InitiateError::Stopped),
    };
    // the caller may have gone away
    let _ = job.reply.send(Err(error));
}

/// Tells the waiting callers. The reason has been logged.
fn fail(
    shared: &Shared,
    near: &async_channel::WeakSender<near::Job>,
    key: &Key,
    error: &InitiateError,
) {
    let (served, waiters) = shared
        .state()
        .service_failed(key, error.clone(), Instant::now());
    for job in served {
        hand_over(near, job);
    }
    for waiter in waiters {
        // the caller may have gone away
        let _ = waiter.send(Err(error.clone()));
    }
}

/// Gets a ticket-granting ticket; gives the services that can go on.
fn fetch(
    shared: &Shared,
    near: &async_channel::WeakSender<near::Job>,
    client: &Principal,
) -> Vec<Key> {
    let error = match tgt(shared, client) {
        Ok(tgt) => {
            if *tgt.client == *client.to_string() {
                debug!(%client, "ticket-granting ticket");
            } else {
                info!(%client, known_as = %tgt.client, "the KDC knows the client by another name");
            }
            return shared.state().client_got(client, tgt);
        }
        Err(error) => error,
    };
    let now = Instant::now();
    let (parked, serves) = shared.state().client_failed(client, error.clone(), now);
    if serves {
        return parked;
    }
    for key in &parked {
        fail(shared, near, key, &error);
    }
    Vec::new()
}

fn tgt(shared: &Shared, client: &Principal) -> Result<Tgt, InitiateError> {
    let no_key = |text| InitiateError::NoKey {
        client: client.clone(),
        text,
    };
    // GSSAPI would only say that there is no credentials cache
    let keytab = Keytab::load(&shared.keytab).map_err(|error| no_key(error.to_string()))?;
    if keytab.newest(client).is_none() {
        return Err(no_key(format!("{} holds none", shared.keytab.display())));
    }
    let keys = Keys::of(&keytab, client);
    shared.state().may_ask(client, &keys, Instant::now())?;
    let answer = ask(shared, client).map_err(|error| precisely(shared, error));
    answer.inspect_err(|error| {
        let pause = shared
            .state()
            .client_refused(client, keys, error, Instant::now());
        if let Some(pause) = pause {
            warn!(
                %client,
                %error,
                pause = pause.as_secs(),
                "no ticket-granting ticket; the KDC is asked again after the pause (in seconds), or \
                 as soon as the keytab has another key of the client"
            );
        } else {
            warn!(%client, %error, "no ticket-granting ticket");
        }
    })
}

/// Finds out what is wrong with an account that the KDC refuses.
fn precisely(shared: &Shared, error: InitiateError) -> InitiateError {
    let InitiateError::ClientRevoked {
        client,
        account: Account::Refused,
        text,
    } = error
    else {
        return error;
    };
    let keytab = sys::file_name(&shared.keytab);
    let words = keytab.map(|keytab| sys::refusal(&client, &keytab));
    let account = match words {
        Some(Ok(Some(words))) => Account::read(&words.text, &words.data),
        Some(Ok(None) | Err(_)) | None => Account::Refused,
    };
    InitiateError::ClientRevoked {
        client,
        account,
        text,
    }
}

/// Asks the KDC for a ticket-granting ticket.
fn ask(shared: &Shared, client: &Principal) -> Result<Tgt, InitiateError> {
    let explain = |failure: Failure| InitiateError::classify(&failure, client, client);
    let keytab = sys::file_name(&shared.keytab).ok_or_else(|| explain(Failure::none()))?;
    let ccache = Arc::new(MemoryCcache::new());
    let store = [
        (c"client_keytab", keytab.as_c_str()),
        (c"ccache", ccache.name()),
    ];
    let cred = sys::initiate_cred(Some(client), Mechanisms::Krb5, &store).map_err(explain)?;
    let life = cred
        .lifetime()
        .map_err(|error| explain(Failure::from_error(error)))?;
    let (renew, ends) = times(life);
    Ok(Tgt {
        client: ccache.client().map_err(explain)?.into(),
        ccache,
        renew,
        ends,
    })
}

/// Gets a service ticket into a cache of its own. With the krb5 mechanism first, whose error codes
/// mean something; then a credential of its own, so that no other exchange holds its lock.
///
/// Both credentials are whatever client the cache is of: the KDC may know it by another name than the
/// configuration (`canonicalize` in `krb5.conf`, and an alias of Active Directory).
fn service(key: &Key, tgt: &Tgt) -> Result<Ready, InitiateError> {
    let explain = |failure: Failure| InitiateError::classify(&failure, &key.client, &key.spn);
    let raw = |error| explain(Failure::from_error(error));
    let ccache = tgt.ccache.copy().map_err(explain)?;
    let store = [(c"ccache", ccache.name())];
    let cred = sys::initiate_cred(None, Mechanisms::Krb5, &store).map_err(explain)?;
    let spn = key.spn.to_string();
    let name = Name::new(spn.as_bytes(), Some(GSS_NT_KRB5_PRINCIPAL)).map_err(raw)?;
    // without mutual authentication the context is complete, and tells its end, after one step
    let mut context = ClientCtx::new(Some(cred), name, CtxFlags::empty(), Some(GSS_MECH_KRB5));
    context.step(None, None).map_err(raw)?;
    let (renew, ends) = times(context.lifetime().map_err(raw)?);
    let cred = sys::initiate_cred(None, Mechanisms::Both, &store).map_err(explain)?;
    Ok(Ready {
        key: key.clone(),
        cred,
        _ccache: ccache,
        renew,
        ends,
    })
}

/// When to renew, at 80 %, and when to stop using a ticket of this rest of life.
fn times(life: Duration) -> (Instant, Instant) {
    let now = Instant::now();
    let ends = now + life.saturating_sub(MARGIN.min(life / 10));
    (now + life * 4 / 5, ends)
}
