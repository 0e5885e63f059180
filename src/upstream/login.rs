//! The gateway's own login at a backend: one request with a fresh token earns an authentication
//! cookie, which all workers then share (Hadoop's `AuthenticationFilter`).
//!
//! Logins run on the control runtime, one at a time per backend: a client that hangs up ends none,
//! and a thousand waiting requests cause one.

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
    gss::{InitiateError, Initiator},
    kinds::Login,
    refusal::Refusal,
    telemetry::metrics::{self, Side},
};

mod cookie;

pub(crate) use cookie::LoginCookie;

/// A failed login is not tried again for so long.
const NEGATIVE: Duration = Duration::from_secs(1);
/// A login's HTTP exchange may take so long.
const EXCHANGE: Duration = Duration::from_secs(5);

/// The login of one backend.
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

/// Why the gateway is not logged in.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LoginError {
    /// No token could be had.
    #[error("{0}")]
    Token(#[source] Arc<InitiateError>),
    /// The backend does not answer.
    #[error("{0}")]
    Unreachable(#[source] Arc<ExchangeError>),
    /// The backend refuses the token.
    #[error("the backend refused the login: {status} {reason}")]
    Refused {
        /// Its status.
        status: u16,
        /// Its reason phrase: Hadoop's exception.
        reason: String,
    },
    /// The backend accepted the token but gave no cookie to keep.
    #[error("the backend gave no authentication cookie")]
    NoCookie,
    /// The configuration names no principal to log in as.
    #[error("no principal to log in as: set kerberos.principal")]
    Nobody,
    /// Its mutual token does not verify (RFC 4559 section 5).
    #[error("the backend did not prove who it is: {0}")]
    Mutual(#[source] Arc<InitiateError>),
}

impl From<&LoginError> for Refusal {
    fn from(error: &LoginError) -> Self {
        match error {
            LoginError::Token(error) => Self::from(&**error),
            LoginError::Refused { .. } | LoginError::NoCookie | LoginError::Nobody => {
                Self::BackendLogin
            }
            LoginError::Unreachable(error) if error.is_tls() => Self::BackendTls,
            LoginError::Unreachable(_) => Self::BackendDown,
            LoginError::Mutual(_) => Self::BackendMutual,
        }
    }
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

    /// The cookie, if there is one that has not ended.
    pub(crate) fn current(&self) -> Option<Arc<LoginCookie>> {
        self.cookie
            .load_full()
            .filter(|cookie| !cookie.has_ended(now_ms()))
    }

    /// Whether the cookie is better renewed now, while it still works.
    pub(crate) fn wants_renewal(&self) -> bool {
        self.cookie
            .load()
            .as_ref()
            .is_none_or(|cookie| cookie.is_due(now_ms()))
    }

    /// The cookie, logging in if there is none, or only that of serial `stale`.
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
        if let Some(cookie) = self.current().filter(fresh) {
            return Ok(cookie);
        }
        if let Some((at, error)) = &gate.failed
            && at.elapsed() < NEGATIVE
        {
            return Err(error.clone());
        }
        let result = log_in(backend, initiator, gate.serial + 1).await;
        self.book(&mut gate, backend, result)
    }

    /// Renews the cookie while the old one goes on serving.
    pub(crate) async fn renew(
        &self,
        backend: &Backend,
        initiator: &Initiator,
    ) -> Result<Arc<LoginCookie>, LoginError> {
        let mut gate = self.gate.lock().await;
        let result = log_in(backend, initiator, gate.serial + 1).await;
        self.book(&mut gate, backend, result)
    }

    fn book(
        &self,
        gate: &mut Gate,
        backend: &Backend,
        result: Result<LoginCookie, LoginError>,
    ) -> Result<Arc<LoginCookie>, LoginError> {
        match result {
            Ok(cookie) => {
                metrics::login(Side::Backend, "ok");
                gate.serial = cookie.serial;
                gate.failed = None;
                let cookie = Arc::new(cookie);
                self.cookie.store(Some(Arc::clone(&cookie)));
                tracing::debug!(backend = %backend.key.authority, "logged in");
                Ok(cookie)
            }
            // the login has worked: each request will bring a token of its own
            Err(LoginError::NoCookie) => {
                metrics::login(Side::Backend, "ok");
                tracing::info!(
                    backend = %backend.key.authority,
                    "the backend gives no authentication cookie: the gateway logs in with each request"
                );
                gate.failed = Some((Instant::now(), LoginError::NoCookie));
                Err(LoginError::NoCookie)
            }
            Err(error) => {
                let reason = Refusal::from(&error).reason();
                metrics::login(Side::Backend, reason);
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

/// What a request to a backend carries for the gateway.
#[derive(Debug)]
pub(crate) enum Credential {
    /// Nothing: the console has no login.
    None,
    /// The shared cookie.
    Cookie(Arc<LoginCookie>),
    /// A token of its own, and what verifies the reply to it.
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

    /// The serial of the cookie, to name it when it is refused.
    pub(crate) fn serial(&self) -> Option<u64> {
        match self {
            Self::Cookie(cookie) => Some(cookie.serial),
            Self::None | Self::Token(..) => None,
        }
    }
}

/// What the next request to a backend is to carry; logs in if need be.
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
            // it took the token and keeps no session: from now on a token each
            Err(LoginError::NoCookie) => backend.login.set_every_request(),
            Err(error) => return Err(error),
        }
    }
    let (value, context) = token(backend, initiator).await?;
    Ok(Credential::Token(value, Box::new(context)))
}

/// A fresh token as an `Authorization` value, with what verifies the reply to it.
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
            "the backend refused a service ticket of before: its key may have changed; trying a new one"
        );
        // without a new ticket, what the backend said is the reason to report
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

/// Sends one login, and gives the answer with what verifies the mutual token in it.
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

/// Whether a cookie still is a login: the page that logins ask for does not refuse it. No answer
/// counts as a refusal.
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

/// Verifies the mutual token where the backend sends one (HiveServer2's transport sends none).
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

/// The mutual token of an answer.
pub(crate) fn mutual(headers: &HeaderMap) -> Option<Vec<u8>> {
    headers
        .get_all(header::WWW_AUTHENTICATE)
        .iter()
        .find_map(|value| {
            let (scheme, token) = value.as_bytes().split_at_checked(10)?;
            scheme
                .eq_ignore_ascii_case(b"negotiate ")
                // what is no token does not verify either
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

impl From<&InitiateError> for Refusal {
    fn from(error: &InitiateError) -> Self {
        match error {
            InitiateError::Busy | InitiateError::Timeout | InitiateError::KdcUnreachable { .. } => {
                Self::KdcUnavailable
            }
            InitiateError::Stopped => Self::Draining,
            InitiateError::Mutual { .. } => Self::BackendMutual,
            InitiateError::UnknownSpn { .. }
            | InitiateError::ClientUnknown { .. }
            | InitiateError::ClientRevoked { .. }
            | InitiateError::PasswordExpired { .. }
            | InitiateError::ServiceRevoked { .. }
            | InitiateError::NoEnctype { .. }
            | InitiateError::KeyWrong { .. }
            | InitiateError::NoKey { .. }
            | InitiateError::ClockSkew { .. }
            | InitiateError::Other { .. } => Self::BackendLogin,
        }
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    use crate::upstream::backend::BackendKey;

    #[test]
    fn a_login_that_works_without_a_cookie_counts_as_one_that_works() {
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
                .book(&mut Gate::default(), &backend, Err(LoginError::NoCookie))
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
