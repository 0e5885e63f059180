//! The kdc threads: everything that needs a KDC. A KDC that does not respond blocks them and nothing
//! else.

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
    AccountStatus, InitiateError, InitiatorCore,
    backoff::Keys,
    cached::TokenJob,
    refusal,
    tickets::{ServiceTicket, Tgt, TgtLookup, TicketKey},
};
use crate::gss::{
    Failure, Keytab, Principal,
    sys::{self, Mechanisms, MemoryCcache},
};

/// A request to a KDC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KdcJob {
    /// A ticket-granting ticket, with a key of the keytab.
    Tgt(Principal),
    ServiceTicket(TicketKey),
}

/// Tickets are not used in their last seconds: a backend's clock may be ahead of ours.
const MARGIN: Duration = Duration::from_secs(30);

pub(super) fn run(core: &InitiatorCore) {
    while let Some(job) = core.kdc.pop() {
        match job {
            KdcJob::Tgt(client) => {
                for key in get_tgt(core, &client) {
                    queue(core, KdcJob::ServiceTicket(key));
                }
            }
            KdcJob::ServiceTicket(key) => get_service_ticket(core, &key),
        }
    }
}

/// Gets a service ticket, or queues the request for the ticket-granting ticket that it needs.
fn get_service_ticket(core: &InitiatorCore, key: &TicketKey) {
    // A statement of its own: a guard in the scrutinee of `match` would be held through its arms,
    // which lock again.
    let lookup = core.tickets().tgt_for(key, Instant::now());
    let tgt = match lookup {
        TgtLookup::Pending => return,
        TgtLookup::Fetch(job) => return queue(core, job),
        TgtLookup::Failed(error) => return fail(core, key, &error),
        TgtLookup::Held(tgt) => tgt,
    };
    match service(key, &tgt) {
        Ok(ticket) => {
            let jobs = core.tickets().service_ticket_received(ticket);
            for job in jobs {
                make_token(core, job);
            }
        }
        Err(error) => {
            warn!(client = %key.client, spn = %key.spn, %error, "no ticket for a backend");
            fail(core, key, &error);
        }
    }
}

fn queue(core: &InitiatorCore, job: KdcJob) {
    // The queue has no bound; it is closed only when the initiator is dropped.
    let _ = core.kdc.push(job, None);
}

fn make_token(core: &InitiatorCore, job: TokenJob) {
    if let Err(refused) = core.cached.push(job, None) {
        let (job, error) = refusal(refused);
        // The caller may have gone away; ignore the closed channel.
        let _ = job.reply.send(Err(error));
    }
}

/// Passes an error, which has been logged, to the waiting callers.
fn fail(core: &InitiatorCore, key: &TicketKey, error: &InitiateError) {
    let (jobs, waiters) = core
        .tickets()
        .service_ticket_failed(key, error.clone(), Instant::now());
    for job in jobs {
        make_token(core, job);
    }
    for waiter in waiters {
        // The caller may have gone away; ignore the closed channel.
        let _ = waiter.send(Err(error.clone()));
    }
}

/// Gets a ticket-granting ticket and returns the service tickets that can be requested now.
fn get_tgt(core: &InitiatorCore, client: &Principal) -> Vec<TicketKey> {
    let error = match tgt(core, client) {
        Ok(tgt) => {
            if *tgt.client == *client.to_string() {
                debug!(%client, "ticket-granting ticket");
            } else {
                info!(%client, known_as = %tgt.client, "the KDC knows the client by another name");
            }
            return core.tickets().tgt_received(client, tgt);
        }
        Err(error) => error,
    };
    let now = Instant::now();
    let (parked, has_older) = core.tickets().tgt_failed(client, error.clone(), now);
    if has_older {
        return parked;
    }
    for key in &parked {
        fail(core, key, &error);
    }
    Vec::new()
}

fn tgt(core: &InitiatorCore, client: &Principal) -> Result<Tgt, InitiateError> {
    let no_key = |text| InitiateError::NoKey {
        client: client.clone(),
        text,
    };
    // Checked here because GSSAPI reports a missing key as a missing credentials cache.
    let keytab = Keytab::load(&core.keytab).map_err(|error| no_key(error.to_string()))?;
    if keytab.newest(client).is_none() {
        return Err(no_key(format!("{} has none", core.keytab.display())));
    }
    let keys = Keys::of(&keytab, client);
    core.tickets().may_ask(client, &keys, Instant::now())?;
    let result = request_tgt(core, client).map_err(|error| with_account_status(core, error));
    result.inspect_err(|error| {
        let pause = core
            .tickets()
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

/// Asks the KDC again for the details of a refused account: GSSAPI passes on the error code alone,
/// which is the same for a locked, a disabled and an expired account.
fn with_account_status(core: &InitiatorCore, error: InitiateError) -> InitiateError {
    let InitiateError::ClientRevoked {
        client,
        account: AccountStatus::Refused,
        text,
    } = error
    else {
        return error;
    };
    let keytab = sys::file_name(&core.keytab);
    let details = keytab.map(|keytab| sys::kdc_error_details(&client, &keytab));
    let account = match details {
        Some(Ok(Some(details))) => AccountStatus::read(&details.text, &details.data),
        Some(Ok(None) | Err(_)) | None => AccountStatus::Refused,
    };
    InitiateError::ClientRevoked {
        client,
        account,
        text,
    }
}

/// Requests a ticket-granting ticket.
fn request_tgt(core: &InitiatorCore, client: &Principal) -> Result<Tgt, InitiateError> {
    let explain = |failure: Failure| InitiateError::classify(&failure, client, client);
    let keytab = sys::file_name(&core.keytab).ok_or_else(|| explain(Failure::none()))?;
    let ccache = Arc::new(MemoryCcache::new());
    let store = [
        (c"client_keytab", keytab.as_c_str()),
        (c"ccache", ccache.name()),
    ];
    let cred = sys::initiate_cred(Some(client), Mechanisms::Krb5, &store).map_err(explain)?;
    let life = cred
        .lifetime()
        .map_err(|error| explain(Failure::from_error(error)))?;
    let (renew, ends) = renewal_times(life);
    Ok(Tgt {
        client: ccache.client().map_err(explain)?.into(),
        ccache,
        renew,
        ends,
    })
}

/// Gets a service ticket into a cache of its own, and a credential of its own for it, so that no other
/// exchange holds its lock.
///
/// The ticket is requested with the krb5 mechanism, whose minor status is a krb5 error code; SPNEGO
/// maps the codes to numbers of its own. The credential for both mechanisms is acquired afterwards.
///
/// Both are acquired without a name, for the client of the cache, whatever the KDC calls it: with
/// `canonicalize` in `krb5.conf`, and for an alias of Active Directory, that is another name than the
/// configuration's.
fn service(key: &TicketKey, tgt: &Tgt) -> Result<ServiceTicket, InitiateError> {
    let explain = |failure: Failure| InitiateError::classify(&failure, &key.client, &key.spn);
    let raw = |error| explain(Failure::from_error(error));
    let ccache = tgt.ccache.copy().map_err(explain)?;
    let store = [(c"ccache", ccache.name())];
    let cred = sys::initiate_cred(None, Mechanisms::Krb5, &store).map_err(explain)?;
    let spn = key.spn.to_string();
    let name = Name::new(spn.as_bytes(), Some(GSS_NT_KRB5_PRINCIPAL)).map_err(raw)?;
    // Without mutual authentication the context is complete after one step, so that GSSAPI gives its
    // lifetime. The token is thrown away.
    let mut context = ClientCtx::new(Some(cred), name, CtxFlags::empty(), Some(GSS_MECH_KRB5));
    context.step(None, None).map_err(raw)?;
    let (renew, ends) = renewal_times(context.lifetime().map_err(raw)?);
    let cred = sys::initiate_cred(None, Mechanisms::Both, &store).map_err(explain)?;
    Ok(ServiceTicket {
        key: key.clone(),
        cred,
        _ccache: ccache,
        renew,
        ends,
    })
}

/// When to renew a ticket, at 80 % of its remaining life, and when to stop using it.
fn renewal_times(life: Duration) -> (Instant, Instant) {
    let now = Instant::now();
    let ends = now + life.saturating_sub(MARGIN.min(life / 10));
    (now + life * 4 / 5, ends)
}
