//! The gateway's own login in a try: what is sent, and what the answer says of it.

use std::sync::Arc;

use http::HeaderMap;

use super::Upstream;
use crate::{
    gss::ClientToken,
    refusal::Refusal,
    telemetry::metrics::{self, Side},
    upstream::{
        backend::Backend,
        login::{self, Credential, LoginError},
        next::Outcome,
    },
};

impl Upstream {
    /// A token of its own was sent: the answer says whether that was a login.
    pub(super) fn conclude(
        outcome: Outcome,
        headers: &HeaderMap,
        context: ClientToken,
    ) -> Result<(), Refusal> {
        if outcome == Outcome::LoginFailed {
            metrics::login(Side::Backend, Refusal::BackendLogin.reason());
        } else if outcome == Outcome::Answer {
            login::verify(headers, context).map_err(|error| {
                let refusal = Refusal::from(&error);
                metrics::login(Side::Backend, refusal.reason());
                refusal
            })?;
            metrics::login(Side::Backend, "ok");
        }
        Ok(())
    }

    /// What the request carries for the gateway. The shared cookie is at hand; anything else is
    /// fetched on the control runtime, so that a client which hangs up ends no login.
    pub(super) async fn credential(
        &self,
        backend: &Arc<Backend>,
        stale: Option<u64>,
    ) -> Result<Credential, Refusal> {
        if self.initiator.is_none() {
            return Ok(Credential::None);
        }
        if !backend.login.every_request(backend)
            && let Some(cookie) = backend.login.current()
            && Some(cookie.serial) != stale
        {
            return Ok(Credential::Cookie(cookie));
        }
        let (backend, initiator) = (Arc::clone(backend), self.initiator.clone());
        self.control
            .spawn(async move { login::credential(&backend, initiator.as_ref(), stale).await })
            .await
            .map_err(|_| Refusal::Draining)?
            .map_err(|error: LoginError| Refusal::from(&error))
    }
}
