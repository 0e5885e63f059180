//! The accept threads.

use std::{
    collections::HashMap,
    ffi::CStr,
    sync::{Arc, mpsc},
    time::{Duration, SystemTime},
};

use super::{
    AcceptError, AcceptJob, Accepted, AcceptorCore, LoginStep, Pending,
    client_cache::ClientCache,
    error::KeyDetails,
    key_set::{KeyMatch, KeySet},
    keytab_watch::Command,
};
use crate::gss::{
    Failure, Principal,
    ap_req::{ApReq, AuthenticatorTag},
    peek::{Peek, Ticket, peek},
    spnego_wrapper::SpnegoWrapper,
    sys::{AcceptContext, AcceptCred, ContextStep},
};

/// The credentials of one thread for one set of keys.
struct Credentials {
    keys: Arc<KeySet>,
    /// Without a name: GSSAPI tries every key, and checks for replays in MIT's replay cache.
    any: Option<AcceptCred>,
    /// By principal: GSSAPI looks the key up by principal, version and type. They have no replay
    /// cache; see [`AcceptorCore::check_replay`].
    named: HashMap<Principal, AcceptCred>,
}

impl Credentials {
    fn new(keys: Arc<KeySet>) -> Self {
        Self {
            keys,
            any: None,
            named: HashMap::new(),
        }
    }

    fn named(&mut self, name: &Principal) -> Result<&AcceptCred, Failure> {
        if !self.named.contains_key(name) {
            let cred = AcceptCred::acquire(Some(name), self.keys.name(), c"none:")?;
            self.named.insert(name.clone(), cred);
        }
        self.named.get(name).ok_or_else(Failure::none)
    }

    fn any(&mut self, rcache: &CStr) -> Result<&AcceptCred, Failure> {
        match &mut self.any {
            Some(cred) => Ok(cred),
            none @ None => Ok(none.insert(AcceptCred::acquire(None, self.keys.name(), rcache)?)),
        }
    }
}

/// Checks that GSSAPI can acquire a credential for these keys.
pub(super) fn probe(keys: &KeySet, rcache: &CStr) -> Result<(), Failure> {
    AcceptCred::acquire(None, keys.name(), rcache).map(drop)
}

pub(super) fn run(core: &AcceptorCore, keytab_watch: &mpsc::Sender<Command>) {
    let mut credentials = Credentials::new(core.keys.load_full());
    while let Some(mut job) = core.jobs.pop() {
        if job.reply.is_closed() {
            continue;
        }
        let keys = core.keys.load();
        if !Arc::ptr_eq(&keys, &credentials.keys) {
            credentials = Credentials::new(Arc::clone(&keys));
        }
        drop(keys);
        let result = accept(&mut credentials, core, &mut job);
        let retry = result.as_ref().err().and_then(AcceptError::keytab_retry);
        match (result, retry) {
            (Err(error), Some(retry))
                if !job.is_last_try && core.held().take(job.source).is_ok() =>
            {
                job.is_last_try = true;
                let command = Command::Hold {
                    job,
                    error,
                    retry,
                    keys: Arc::clone(&credentials.keys),
                };
                if let Err(mpsc::SendError(command)) = keytab_watch.send(command) {
                    command.give_up(core);
                }
            }
            // The caller may have gone away; ignore the closed channel.
            (result, _) => drop(job.reply.send(result)),
        }
    }
}

fn accept(
    credentials: &mut Credentials,
    acceptor: &AcceptorCore,
    job: &mut AcceptJob,
) -> Result<LoginStep, AcceptError> {
    let mut pending = job.pending.take();
    let ticket = match peek(&job.token) {
        Peek::Ticket(ticket) => {
            // A client that begins another login has abandoned the one before.
            pending = None;
            Some(ticket)
        }
        Peek::KerberosLater | Peek::Unreadable if job.token.is_empty() => {
            return Err(AcceptError::Empty);
        }
        Peek::KerberosLater | Peek::Unreadable => None,
        Peek::LaterToken(ticket) => {
            let known = pending.as_ref().ok_or(AcceptError::Interrupted)?;
            // GSSAPI has changed the context with the first token: this one cannot be tried again.
            job.is_last_try = true;
            ticket.or_else(|| known.ticket.clone())
        }
        Peek::Ntlm => return Err(AcceptError::Ntlm),
        Peek::NoKerberos => return Err(AcceptError::NoKerberos),
        Peek::KrbError(code) => return Err(AcceptError::KrbError(code)),
        Peek::ApRep => return Err(AcceptError::ApRep),
        Peek::NoTicket => return Err(AcceptError::NoTicket),
    };
    let keys = Arc::clone(&credentials.keys);
    let found = ticket.as_ref().map(|ticket| keys.find(ticket));
    let explain = |failure| explain(failure, ticket.as_ref(), found.as_ref(), &keys);
    if let (Some(ticket), Some(found), None) = (&ticket, &found, &pending)
        && let Some(key) = found.key(ticket)
    {
        let wrapper = SpnegoWrapper::read(&job.token);
        let token = wrapper.map_or(&*job.token, |wrapper| wrapper.token);
        if let Some(request) = ApReq::read(token) {
            let cred = credentials.named(key).map_err(explain)?;
            match accept_named(cred, acceptor, token, &request, explain) {
                Ok((client, lifetime, reply)) => {
                    return Ok(LoginStep::Done(Accepted {
                        client,
                        // The key was a key of this principal: a named credential uses no other.
                        service: ticket.service.clone(),
                        expires: acceptor.ticket_end(lifetime),
                        reply: match wrapper {
                            Some(wrapper) => Some(wrapper.response(reply.as_deref())),
                            None => reply,
                        },
                    }));
                }
                // The other spelling may be a different principal of the KDC with a key of its own, so
                // all keys are tried below.
                Err(AcceptError::WrongKey { .. }) if *key != ticket.service => {}
                Err(error) => return Err(error),
            }
        }
    }
    let Pending {
        mut context,
        ticket: _,
    } = pending.unwrap_or_default();
    // Without a name, `krb5_rd_req` tries every key of a like type, so a ticket of an alias is accepted
    // too (`decrypt_try_server` in `rd_req_dec.c`).
    let cred = credentials.any(&acceptor.rcache).map_err(explain)?;
    let mut client = String::new();
    let step = context.step(cred, &job.token, Some(&mut client));
    match step.map_err(explain)? {
        ContextStep::Continue(token) => Ok(LoginStep::Continue {
            token,
            pending: Pending { context, ticket },
        }),
        ContextStep::Done { lifetime, reply } => {
            let opener = name(&context.target().map_err(explain)?)?;
            let ticket = ticket.ok_or(AcceptError::Unnamed)?;
            if !keys.is_valid_for(&opener, &ticket.service, ticket.enctype) {
                let keys = Box::new(key_details(&ticket, &keys));
                return Err(AcceptError::OtherService { keys, opener });
            }
            Ok(LoginStep::Done(Accepted {
                client: name(&client)?,
                // Not `opener`: where several entries have the same key, GSSAPI gives the first one.
                service: ticket.service,
                expires: acceptor.ticket_end(lifetime),
                reply,
            }))
        }
    }
}

/// Accepts a token that can be read in one way only, with the key that its ticket names. Returns the
/// client, the context's lifetime in seconds, and the reply.
fn accept_named(
    cred: &AcceptCred,
    core: &AcceptorCore,
    token: &[u8],
    request: &ApReq<'_>,
    explain: impl Fn(Failure) -> AcceptError,
) -> Result<(Principal, u32, Option<Vec<u8>>), AcceptError> {
    let key = ClientCache::key(request.ticket);
    let known = core.client_cache.find(&key);
    let mut text = String::new();
    let name_out = known.is_none().then_some(&mut text);
    let step = AcceptContext::new().step(cred, token, name_out);
    let ContextStep::Done { lifetime, reply } = step.map_err(explain)? else {
        // Only DCE-style contexts continue after an AP-REQ (`kg_accept_dce`); no HTTP client uses them.
        return Err(AcceptError::Interrupted);
    };
    // After GSSAPI, so that only authenticators that it has verified are recorded.
    core.check_replay(&request.tag)?;
    if let Some(client) = known {
        return Ok((client, lifetime, reply));
    }
    let client = name(&text)?;
    core.client_cache.insert(key, &client);
    Ok((client, lifetime, reply))
}

impl AcceptorCore {
    /// The end of a ticket, from the lifetime of its context in seconds. MIT adds `clockskew` to the
    /// lifetime as a grace period (`accept_sec_context.c`); a session must not be longer than its
    /// ticket.
    fn ticket_end(&self, lifetime: u32) -> SystemTime {
        let rest = lifetime.saturating_sub(self.clockskew);
        SystemTime::now() + Duration::from_secs(rest.into())
    }

    /// Records an authenticator that GSSAPI has verified; an error if it was recorded before.
    fn check_replay(&self, tag: &AuthenticatorTag) -> Result<(), AcceptError> {
        let Some(replays) = &self.replays else {
            return Ok(());
        };
        match replays.insert(tag, SystemTime::now()) {
            Ok(true) => Ok(()),
            Ok(false) => Err(AcceptError::Replay),
            Err(error) => Err(AcceptError::ReplayCache {
                path: replays.path().to_owned(),
                reason: error.to_string(),
            }),
        }
    }
}

fn name(text: &str) -> Result<Principal, AcceptError> {
    text.parse().map_err(AcceptError::Name)
}

/// Refines a failure by comparing the ticket's unencrypted fields with the keys.
fn explain(
    failure: Failure,
    ticket: Option<&Ticket>,
    found: Option<&KeyMatch>,
    keys: &KeySet,
) -> AcceptError {
    let error = AcceptError::classify(failure);
    let (AcceptError::WrongKey { failure, .. }, Some(ticket), Some(found)) =
        (&error, ticket, found)
    else {
        return error;
    };
    let keys = Box::new(key_details(ticket, keys));
    let failure = failure.clone();
    match found {
        KeyMatch::Newer => AcceptError::KeytabOutOfDate { keys, failure },
        KeyMatch::Older => AcceptError::TicketOutOfDate { keys, failure },
        KeyMatch::NoPrincipal => AcceptError::NoKey { keys, failure },
        KeyMatch::OtherEnctype => AcceptError::NoEnctype { keys, failure },
        KeyMatch::Exact | KeyMatch::OtherSpelling(_) | KeyMatch::NoVersion => {
            AcceptError::WrongKey {
                keys: Some(keys),
                failure,
            }
        }
    }
}

fn key_details(ticket: &Ticket, keys: &KeySet) -> KeyDetails {
    KeyDetails {
        ticket: ticket.clone(),
        held: keys.versions(&ticket.service),
        others: keys.principals(),
    }
}
