//! The cached threads: tokens from service tickets that are held. They need no KDC and never wait.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use libgssapi::{
    context::{ClientCtx, CtxFlags},
    error::Error,
    name::Name,
    oid::{GSS_MECH_SPNEGO, GSS_NT_KRB5_PRINCIPAL},
};
use tokio::sync::oneshot;

use super::{ClientToken, InitiateError, InitiatorCore, TokenResult, tickets::ServiceTicket};
use crate::gss::Failure;

/// A token to be made.
pub(super) struct TokenJob {
    pub(super) ticket: Arc<ServiceTicket>,
    /// Whether the service ticket was held before the token was requested.
    pub(super) cached: bool,
    pub(super) reply: oneshot::Sender<TokenResult>,
}

pub(super) fn run(core: &InitiatorCore) {
    while let Some(TokenJob {
        ticket,
        cached,
        reply,
    }) = core.cached.pop()
    {
        if reply.is_closed() {
            continue;
        }
        let result = token(&ticket, cached);
        if result.is_err() {
            core.tickets().discard(&ticket);
        }
        // The caller may have gone away; ignore the closed channel.
        let _ = reply.send(result);
    }
}

fn token(ticket: &Arc<ServiceTicket>, cached: bool) -> TokenResult {
    let key = &ticket.key;
    let explain =
        |error| InitiateError::classify(&Failure::from_error(error), &key.client, &key.spn);
    let mut context = context(ticket).map_err(explain)?;
    let token = context.step(None, None).map_err(explain)?;
    let life = ticket.ends.saturating_duration_since(Instant::now());
    Ok(ClientToken {
        token: token.map_or(Vec::new(), |token| token.to_vec()),
        expires: SystemTime::now() + life,
        context,
        ticket: Arc::downgrade(ticket),
        cached,
    })
}

fn context(ticket: &ServiceTicket) -> Result<ClientCtx, Error> {
    let spn = ticket.key.spn.to_string();
    // A krb5 principal name, not a host-based service name: the latter is canonicalised through DNS.
    let name = Name::new(spn.as_bytes(), Some(GSS_NT_KRB5_PRINCIPAL))?;
    let cred = Some(ticket.cred.clone());
    let flags = CtxFlags::GSS_C_MUTUAL_FLAG;
    Ok(ClientCtx::new(cred, name, flags, Some(GSS_MECH_SPNEGO)))
}
