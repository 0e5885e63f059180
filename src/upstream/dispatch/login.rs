//! The gateway's own login in an attempt: the credential to send, and whether it was accepted.

use std::sync::Arc;

use http::HeaderMap;

use super::Upstream;
use crate::{
    refusal::Refusal,
    telemetry::metrics::{self, LoginSide},
    upstream::{
        backend::Backend,
        login::{self, Credential, LoginError},
        next::AttemptOutcome,
    },
};

impl Upstream {
    /// Whether a response that reads like a refusal of the gateway's login is one.
    ///
    /// An application behind the server's own filter may respond with 401 too (below the
    /// `ResourceManager`'s `/proxy/`, `HttpFS` for a `SecurityException`), and may copy every header
    /// of the filter's refusal. To log in again and repeat the request would then execute a `POST`
    /// twice. So the login itself is checked: a cookie that still opens the page used for logins has
    /// not been refused, nor has a token that the response proves to have been read.
    pub(super) async fn check_login(
        &self,
        outcome: AttemptOutcome,
        backend: &Arc<Backend>,
        headers: &HeaderMap,
        credential: Credential,
    ) -> Result<AttemptOutcome, Refusal> {
        match (credential, outcome) {
            // Before this check, an application's own 401 made the gateway log in again and repeat a
            // POST.
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
                    // The backend's key may have changed. The cached service ticket would be refused
                    // for 80 % of its lifetime, so the next token gets a new one.
                    if let Some(initiator) = &self.initiator {
                        initiator.refused(&context);
                    }
                    (Refusal::BackendLogin.reason(), outcome)
                };
                metrics::login(LoginSide::Backend, word);
                Ok(outcome)
            }
            (Credential::Token(_, context), AttemptOutcome::Response) => {
                login::verify(headers, *context).map_err(|error| {
                    let refusal = Refusal::from(&error);
                    metrics::login(LoginSide::Backend, refusal.reason());
                    refusal
                })?;
                metrics::login(LoginSide::Backend, "ok");
                Ok(outcome)
            }
            (Credential::None | Credential::Cookie(_) | Credential::Token(..), _) => Ok(outcome),
        }
    }

    /// Step 1 of an attempt. The shared cookie is read here; anything else is fetched on the control
    /// runtime, so that a client that hangs up does not interrupt a login that others wait for.
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
