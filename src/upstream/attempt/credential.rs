//! The gateway's own login in a try: what is sent, and what the answer says of it.

use std::sync::Arc;

use http::HeaderMap;

use super::Upstream;
use crate::{
    refusal::Refusal,
    telemetry::metrics::{self, Side},
    upstream::{
        backend::Backend,
        login::{self, Credential, LoginError},
        next::AttemptOutcome,
    },
};

impl Upstream {
    /// What the answer says of the gateway's login, and whose refusal it is where it reads like one of
    /// the login.
    ///
    /// An application behind the server's own filter may answer 401 too (below the
    /// `ResourceManager`'s `/proxy/`, `HttpFS` about a `SecurityException`), and may copy every header of
    /// the filter's refusal. To log in again and repeat the request would then carry a `POST` out twice.
    /// So the login itself is asked for: a cookie that still opens the page that logins ask for was not
    /// refused, nor was a token that the response proves to have been read.
    pub(super) async fn conclude(
        &self,
        outcome: AttemptOutcome,
        backend: &Arc<Backend>,
        headers: &HeaderMap,
        credential: Credential,
    ) -> Result<AttemptOutcome, Refusal> {
        match (credential, outcome) {
            (Credential::Cookie(cookie), AttemptOutcome::LoginFailed) => {
                let backend = Arc::clone(backend);
                let good = self
                    .control
                    .spawn(async move { login::is_good(&backend, &cookie).await })
                    .await
                    .unwrap_or(false);
                Ok(if good {
                    AttemptOutcome::Response
                } else {
                    outcome
                })
            }
            (Credential::Token(_, mut context), AttemptOutcome::LoginFailed) => {
                let proven =
                    login::mutual(headers).is_some_and(|reply| context.verify(&reply).is_ok());
                let (word, outcome) = if proven {
                    ("ok", AttemptOutcome::Response)
                } else {
                    // the backend's key may have changed: the next token has a new ticket then
                    if let Some(initiator) = &self.initiator {
                        initiator.refused(&context);
                    }
                    (Refusal::BackendLogin.reason(), outcome)
                };
                metrics::login(Side::Backend, word);
                Ok(outcome)
            }
            (Credential::Token(_, context), AttemptOutcome::Response) => {
                login::verify(headers, *context).map_err(|error| {
                    let refusal = Refusal::from(&error);
                    metrics::login(Side::Backend, refusal.reason());
                    refusal
                })?;
                metrics::login(Side::Backend, "ok");
                Ok(outcome)
            }
            (Credential::None | Credential::Cookie(_) | Credential::Token(..), _) => Ok(outcome),
        }
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
