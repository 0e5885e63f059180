//! The near threads: tokens from service ticket that are in a cache; no KDC, no waiting.

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

use super::{Answer, ClientToken, InitiateError, Shared, state::Ready};
use crate::gss::Failure;

/// A token to be made.
pub(super) struct Job {
    pub(super) ready: Arc<Ready>,
    /// Whether the service ticket was there before the token was asked for.
    pub(super) cached: bool,
    pub(super) reply: oneshot::Sender<Answer>,
}

pub(super) fn run(shared: &Shared, jobs: &async_channel::Receiver<Job>) {
    while let Ok(Job {
        ready,
        cached,
        reply,
    }) = jobs.recv_blocking()
    {
        if reply.is_closed() {
            continue;
        }
        let answer = token(&ready, cached);
        if answer.is_err() {
            shared.state().spoilt(&ready);
        }
        // the caller may have gone away
        let _ = reply.send(answer);
    }
}

fn token(ready: &Arc<Ready>, cached: bool) -> Answer {
    let key = &ready.key;
    let explain =
        |error| InitiateError::classify(&Failure::from_error(error), &key.client, &key.spn);
    let mut context = context(ready).map_err(explain)?;
    let token = context.step(None, None).map_err(explain)?;
    let rest = ready.ends.saturating_duration_since(Instant::now());
    Ok(ClientToken {
        token: token.map_or(Vec::new(), |token| token.to_vec()),
        expires: SystemTime::now() + rest,
        context,
        ticket: Arc::downgrade(ready),
        cached,
    })
}

fn context(ready: &Ready) -> Result<ClientCtx, Error> {
    let spn = ready.key.spn.to_string();
    let name = Name::new(spn.as_bytes(), Some(GSS_NT_KRB5_PRINCIPAL))?;
    let cred = Some(ready.cred.clone());
    let flags = CtxFlags::GSS_C_MUTUAL_FLAG;
    Ok(ClientCtx::new(cred, name, flags, Some(GSS_MECH_SPNEGO)))
}
