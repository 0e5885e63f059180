//! The gateway's own login at a backend: one request with a token earns an authentication
//! cookie (Hadoop's `AuthenticationFilter`), which all workers then share.
//!
//! Logins run on the control runtime, one at a time for each backend: a client that hangs up does not
//! cancel the login that others wait for, and a thousand waiting requests cause one login.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use tokio::sync::Mutex;

use super::{
    backend::{Backend, now_ms},
    client::{self, ExchangeError},
};
use crate::{
    gss::Initiator,
    kinds::Login,
    refusal::Refusal,
    telemetry::metrics::{self, LoginSide},
};

mod cookie;
mod error;

pub(crate) use cookie::LoginCookie;
pub(crate) use error::LoginError;

/// A failed login is not repeated for this long: many requests may wait for it.
const NEGATIVE: Duration = Duration::from_secs(1);
/// The timeout of a login's HTTP exchange.
const EXCHANGE: Duration = Duration::from_secs(5);

/// The gateway's login at one backend.
#[derive(Debug, Default)]
pub(crate) struct LoginState {
    cookie: ArcSwapOption<LoginCookie>,
    tokens: AtomicBool,
    gate: Mutex<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    serial: u64,
    failed: Option<(Instant, LoginError)>,
}

impl LoginState {
    /// Whether every request needs a token of its own.
    pub(crate) fn every_request(&self, backend: &Backend) -> bool {
        match backend.kind.login() {
            Login::EveryRequest => true,
            Login::Cookie { .. } => self.tokens.load(Ordering::Acquire),
        }
    }

    fn set_every_request(&self) {
        self.tokens.store(true, Ordering::Release);
    }

    /// The cookie, unless it has expired.
    pub(crate) fn current(&self) -> Option<Arc<LoginCookie>> {
        self.cookie
            .load_full()
            .filter(|cookie| !cookie.has_expired(now_ms()))
    }

    /// Whether to renew the cookie now, while it is still valid.
    pub(crate) fn wants_renewal(&self) -> bool {
        self.cookie
            .load()
            .as_ref()
            .is_none_or(|cookie| cookie.is_renewal_due(now_ms()))
    }

    /// The cookie; logs in if there is none, or if its serial is `stale`.
    pub(crate) async fn ensure(
        &self,
        backend: &Backend,
        initiator: &Initiator,
        stale: Option<u64>,
    ) -> Result<Arc<LoginCookie>, LoginError> {
        let fresh = |cookie: &Arc<LoginCookie>| Some(cookie.serial) != stale;
        if let Some(cookie) = self.current().filter(fresh) {
            return Ok(cookie);
        }
        let mut gate = self.gate.lock().await;
        // another request may have logged in while this one waited for the lock
        if let Some(cookie) = self.current().filter(fresh) {
            return Ok(cookie);
        }
        if let Some((at, error)) = &gate.failed
            && at.elapsed() < NEGATIVE
        {
            return Err(error.clone());
        }
        let result = log_in(backend, initiator, gate.serial + 1).await;
        self.record(&mut gate, backend, result)
    }

    /// Renews the cookie; requests use the old one meanwhile.
    pub(crate) async fn renew(
        &self,
        backend: &Backend,
        initiator: &Initiator,
    ) -> Result<Arc<LoginCookie>, LoginError> {
        let mut gate = self.gate.lock().await;
        let result = log_in(backend, initiator, gate.serial + 1).await;
        self.record(&mut gate, backend, result)
    }

    fn record(
        &self,
        gate: &mut Gate,
        backend: &Backend,
        result: Result<LoginCookie, LoginError>,
    ) -> Result<Arc<LoginCookie>, LoginError> {
        match result {
            Ok(cookie) => {
                metrics::login(LoginSide::Backend, "ok");
                gate.serial = cookie.serial;
                gate.failed = None;
                let cookie = Arc::new(cookie);
                self.cookie.store(Some(Arc::clone(&cookie)));
                tracing::debug!(backend = %backend.key.authority, "logged in");
                Ok(cookie)
            }
            // The login succeeded, but there is no session: each request will carry a token.
            Err(LoginError::NoCookie) => {
                metrics::login(LoginSide::Backend, "ok");
                tracing::info!(
                    backend = %backend.key.authority,
                    "the backend sets no authentication cookie: the gateway logs in with each request"
                );
                gate.failed = Some((Instant::now(), LoginError::NoCookie));
                Err(LoginError::NoCookie)
            }
            Err(error) => {
                let reason = Refusal::from(&error).reason();
                metrics::login(LoginSide::Backend, reason);
                tracing::warn!(
                    backend = %backend.key.authority,
                    reason,
                    "cannot log in to the backend: {error}"
                );
                gate.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }
}

/// What the gateway logs in with.
#[derive(Debug)]
pub(crate) enum Credential {
    /// Nothing: the gateway does not log in to the console's backends.
    None,
    /// The shared cookie.
    Cookie(Arc<LoginCookie>),
    /// A token for this request (`Authorization`), and the context that verifies the response to it.
    Token(HeaderValue, Box<crate::gss::ClientToken>),
}

/// What [`super::attempt::Attempt::authenticate`] adds to a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LoginHeader<'c> {
    None,
    Cookie(&'c HeaderValue),
    Authorization(&'c HeaderValue),
}

impl Credential {
    /// The header that carries it.
    pub(crate) fn header(&self) -> LoginHeader<'_> {
        match self {
            Self::None => LoginHeader::None,
            Self::Cookie(cookie) => LoginHeader::Cookie(&cookie.value),
            Self::Token(value, _) => LoginHeader::Authorization(value),
        }
    }

    /// The serial of the cookie, by which it is replaced if it is refused.
    pub(crate) fn serial(&self) -> Option<u64> {
        match self {
            Self::Cookie(cookie) => Some(cookie.serial),
            Self::None | Self::Token(..) => None,
        }
    }
}

/// The credential for the next request to a backend; logs in if necessary.
pub(crate) async fn credential(
    backend: &Backend,
    initiator: Option<&Initiator>,
    stale: Option<u64>,
) -> Result<Credential, LoginError> {
    let Some(initiator) = initiator else {
        return Ok(Credential::None);
    };
    if !backend.login.every_request(backend) {
        match backend.login.ensure(backend, initiator, stale).await {
            Ok(cookie) => return Ok(Credential::Cookie(cookie)),
            // It accepts the token and sets no cookie: from now on each request carries one.
            Err(LoginError::NoCookie) => backend.login.set_every_request(),
            Err(error) => return Err(error),
        }
    }
    let (value, context) = token(backend, initiator).await?;
    Ok(Credential::Token(value, Box::new(context)))
}

/// A new token as an `Authorization` value, and the context that verifies the response to it.
pub(crate) async fn token(
    backend: &Backend,
    initiator: &Initiator,
) -> Result<(HeaderValue, crate::gss::ClientToken), LoginError> {
    let (Some(principal), Some(spn)) = (&backend.key.principal, &backend.key.spn) else {
        return Err(LoginError::Nobody);
    };
    let token = initiator
        .token(principal, spn)
        .await
        .map_err(|error| LoginError::Token(Arc::new(error)))?;
    let mut text = String::from("Negotiate ");
    STANDARD.encode_string(&token.token, &mut text);
    let mut value = HeaderValue::try_from(text).map_err(|_| LoginError::NoCookie)?;
    value.set_sensitive(true);
    Ok((value, token))
}

async fn log_in(
    backend: &Backend,
    initiator: &Initiator,
    serial: u64,
) -> Result<LoginCookie, LoginError> {
    let path = match backend.kind.login() {
        Login::Cookie { path } => path,
        Login::EveryRequest => return Err(LoginError::NoCookie),
    };
    let (mut reply, mut context) = present(backend, initiator, path).await?;
    if reply.login_failed && initiator.refused(&context) {
        tracing::info!(
            backend = %backend.key.authority,
            "the backend refused a cached service ticket: its key may have changed; trying a new ticket"
        );
        // If there is no new ticket either, the backend's response is the reason to report. The
        // initiator replaces a ticket at most every 10 s.
        if let Ok(again) = present(backend, initiator, path).await {
            (reply, context) = again;
        }
    }
    if reply.login_failed {
        return Err(LoginError::Refused {
            status: reply.status.as_u16(),
            reason: printable(&reply.reason),
        });
    }
    verify(&reply.headers, context)?;
    LoginCookie::of(&reply, serial)
}

/// Sends one login; returns the response, and the context that verifies the mutual token in it.
async fn present(
    backend: &Backend,
    initiator: &Initiator,
    path: &str,
) -> Result<(client::ControlResponse, crate::gss::ClientToken), LoginError> {
    let (authorization, context) = token(backend, initiator).await?;
    let addresses = backend
        .resolve()
        .await
        .map_err(|error| LoginError::Unreachable(Arc::new(ExchangeError::Connect(error.into()))))?;
    let login = LoginHeader::Authorization(&authorization);
    let reply = client::get(
        backend,
        &addresses,
        path,
        login,
        &HeaderMap::new(),
        EXCHANGE,
    )
    .await
    .map_err(|error| LoginError::Unreachable(Arc::new(error)))?;
    Ok((reply, context))
}

/// Whether a cookie is still valid: the page used for logins accepts it. No response counts as a
/// refusal.
pub(crate) async fn is_good(backend: &Backend, cookie: &LoginCookie) -> bool {
    let Login::Cookie { path } = backend.kind.login() else {
        return false;
    };
    let Ok(addresses) = backend.resolve().await else {
        return false;
    };
    let login = LoginHeader::Cookie(&cookie.value);
    match client::get(
        backend,
        &addresses,
        path,
        login,
        &HeaderMap::new(),
        EXCHANGE,
    )
    .await
    {
        Ok(reply) => !reply.login_failed,
        Err(_) => false,
    }
}

/// Verifies the mutual token, if the backend sends one (the HTTP transport of HiveServer2 does not).
pub(crate) fn verify(
    headers: &HeaderMap,
    mut context: crate::gss::ClientToken,
) -> Result<(), LoginError> {
    match mutual(headers) {
        None => Ok(()),
        Some(reply) => context
            .verify(&reply)
            .map_err(|error| LoginError::Mutual(Arc::new(error))),
    }
}

/// The mutual token of a response (RFC 4559 section 5).
pub(crate) fn mutual(headers: &HeaderMap) -> Option<Vec<u8>> {
    headers
        .get_all(header::WWW_AUTHENTICATE)
        .iter()
        .find_map(|value| {
            let (scheme, token) = value.as_bytes().split_at_checked(10)?;
            scheme
                .eq_ignore_ascii_case(b"negotiate ")
                // An invalid token becomes an empty one, which fails the verification.
                .then(|| STANDARD.decode(token.trim_ascii()).unwrap_or_default())
        })
}

fn printable(reason: &Bytes) -> String {
    String::from_utf8_lossy(reason)
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect()
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    use crate::upstream::backend::BackendKey;

    #[test]
    fn a_login_without_a_cookie_counts_as_successful() {
        let key = BackendKey {
            authority: "nn1.example.com:50070".into(),
            kind: "generic",
            checks_impersonation: false,
            principal: None,
            spn: None,
            tls: None,
            send_proxy: None,
        };
        let kind = crate::kinds::ALL[0];
        let backend = Backend::new(key, "nn1.example.com".into(), 50070, kind);
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let result = ::metrics::with_local_recorder(&recorder, || {
            backend
                .login
                .record(&mut Gate::default(), &backend, Err(LoginError::NoCookie))
        });
        assert!(matches!(result, Err(LoginError::NoCookie)));
        let text = handle.render();
        assert!(
            text.contains("spnegate_logins_total{side=\"backend\",result=\"ok\"} 1"),
            "{text}"
        );
        assert!(!text.contains("backend_login"), "{text}");
    }
}
