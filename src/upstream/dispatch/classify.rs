//! What a response means for the loop of attempts.

use http::header;

use super::{Outgoing, Upstream};
use crate::{
    kinds::Verdict,
    refusal::Refusal,
    upstream::{attempt::Received, backend::Backend, next::AttemptOutcome},
};

impl Upstream {
    /// Reads what the response means. An error ends the request, whatever could be tried again.
    pub(super) fn classify(
        &self,
        backend: &Backend,
        out: &Outgoing,
        received: &Received,
    ) -> Result<AttemptOutcome, Refusal> {
        let upgrade = out.headers.contains_key(header::UPGRADE);
        let verdict = received.classify(upgrade, |info, body| {
            let backends = &self.group.authorities;
            backend
                .kind
                .verdict(&out.request_info(), info, body, backends)
        })?;
        match verdict {
            Verdict::Final => Ok(AttemptOutcome::Response),
            Verdict::Standby => Ok(AttemptOutcome::Standby),
            Verdict::NotOwner => Ok(AttemptOutcome::NotOwner),
            Verdict::LoginFailed => {
                tracing::debug!(
                    backend = %backend.key.authority,
                    "a response that reads like a refusal of the gateway's login: {} {}",
                    received.parts.status.as_u16(),
                    String::from_utf8_lossy(&received.reason)
                );
                // The client cannot answer this 401: the console is configured without a login, and
                // the client's own credentials do not reach the backend.
                if self.initiator.is_none() {
                    return Err(Refusal::BackendLogin);
                }
                Ok(AttemptOutcome::LoginFailed)
            }
        }
    }
}
