//! Health checks of one backend, on the control runtime: whether it is alive and the active one,
//! whether it honors the user that the gateway names, and renewing the gateway's login there.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue};

use super::{
    backend::{Backend, BackendHealth, ImpersonationStatus},
    client::{self, ControlResponse, ExchangeError},
    group::BackendGroup,
    login::{self, Credential, LoginError},
};
use crate::{
    balance::AdminState,
    gss::Initiator,
    kinds::{Health, IMPERSONATION_PROBE_USER, ImpersonationCheck, UserField},
    refusal::Refusal,
};

/// `console.probe`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProbeConfig {
    /// Between two probes; 500 ms.
    pub interval: Duration,
    /// A probe without a response for this long has failed; 1 s.
    pub timeout: Duration,
    /// Successful probes in a row after which a server that was down is used again; 1.
    pub rise: u32,
    /// Failed probes in a row after which a server that accepts connections is down; 2. One that
    /// refuses connections is down immediately.
    pub fall: u32,
}

/// The health check of one backend of one console.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub group: Arc<BackendGroup>,
    /// The backend's index in `group`.
    pub index: usize,
    /// Creates the tokens for logins; `None` if the gateway does not log in.
    pub initiator: Option<Initiator>,
    pub config: ProbeConfig,
}

/// Why a probe failed.
#[derive(Debug, thiserror::Error)]
enum ProbeError {
    #[error(transparent)]
    Login(#[from] LoginError),
    #[error(transparent)]
    Ask(#[from] ExchangeError),
    #[error("cannot resolve the host name: {0}")]
    Resolve(#[source] std::io::Error),
}

impl ProbeError {
    /// Whether TLS is what failed.
    fn is_tls(&self) -> bool {
        match self {
            Self::Ask(error) => error.is_tls(),
            Self::Login(LoginError::Unreachable(error)) => error.is_tls(),
            Self::Login(_) | Self::Resolve(_) => false,
        }
    }
}

impl Probe {
    /// Probes until its task is dropped.
    pub(crate) async fn run(self) {
        loop {
            let backend = self.backend();
            if backend.admin_state() != AdminState::Maintenance {
                self.probe().await;
            }
            tokio::select! {
                () = tokio::time::sleep(self.config.interval) => {}
                () = backend.wake_probe.notified() => {
                    // One failing server wakes the probes once for each of its requests. The
                    // pause collects them, so that one probe serves all.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    fn backend(&self) -> &Arc<Backend> {
        &self.group.backends[self.index]
    }

    async fn probe(&self) {
        let backend = self.backend();
        // taken before the first byte is sent: see `ProbeEpoch`
        let number = backend.probe_epoch.begin();
        let result = self.check_health().await;
        let state = match &result {
            Ok(Health::Active) => BackendHealth::Active,
            Ok(Health::Standby) => BackendHealth::Standby,
            Ok(Health::Down | Health::NoSuchProbe) => BackendHealth::Down,
            Err(error) if error.is_tls() => BackendHealth::TlsFailed,
            Err(ProbeError::Login(LoginError::Unreachable(_)) | ProbeError::Resolve(_)) => {
                BackendHealth::Down
            }
            Err(ProbeError::Login(error)) => BackendHealth::LoginFailed(Refusal::from(error)),
            Err(ProbeError::Ask(ExchangeError::TimedOut | ExchangeError::Broken(_)))
                // One late response may be a long garbage collection; the state stays as it is.
                if backend.record_failure() < self.config.fall =>
            {
                return;
            }
            Err(ProbeError::Ask(_)) => BackendHealth::Down,
        };
        let risen = result.is_err() || backend.record_success() >= self.config.rise;
        let error = result.err().map(|error| error.to_string());
        if backend.set_last_error(error.as_deref())
            && let Some(text) = error
        {
            tracing::warn!(
                console = %self.group.console,
                backend = %backend.key.authority,
                "probe: {text}"
            );
        }
        if matches!(state, BackendHealth::Active | BackendHealth::Standby)
            && backend.key.checks_impersonation
            && backend.impersonation() != ImpersonationStatus::Honored
        {
            self.check_impersonation().await;
        }
        if state == BackendHealth::Down {
            // it may come back with another filter
            backend.set_impersonation(ImpersonationStatus::Unverified);
        }
        // `rise`: a server that was down has to pass several probes
        if risen || backend.health() != BackendHealth::Down {
            self.group.learn(self.index, state);
        }
        backend.probe_epoch.conclude(number);
    }

    async fn check_health(&self) -> Result<Health, ProbeError> {
        let backend = self.backend();
        backend.resolve().await.map_err(ProbeError::Resolve)?;
        if let Some(initiator) = &self.initiator
            && backend.login.current().is_some()
            && backend.login.wants_renewal()
        {
            // Failing is fine: the cookie works for longer, and the KDC may be down.
            let _ = backend.login.renew(backend, initiator).await;
        }
        let reply = self.get(backend.kind.probe()).await?;
        match (
            backend.kind.health(&reply.info(), &reply.body),
            backend.kind.probe_fallback(),
        ) {
            (Health::NoSuchProbe, Some(fallback)) => {
                let reply = self.get(fallback).await?;
                Ok(backend.kind.health(&reply.info(), &reply.body))
            }
            (health, _) => Ok(health),
        }
    }

    /// Sends a GET as the gateway, and once more with a new login if that is refused.
    async fn get(&self, target: &str) -> Result<ControlResponse, ProbeError> {
        let backend = self.backend();
        let (mut stale, mut again) = (None, true);
        loop {
            let credential = login::credential(backend, self.initiator.as_ref(), stale).await?;
            let addresses = backend.addresses();
            let (login, headers) = (credential.header(), HeaderMap::new());
            let reply = client::get(
                backend,
                &addresses,
                target,
                login,
                &headers,
                self.config.timeout,
            )
            .await?;
            if self.initiator.is_none() || !reply.login_failed {
                return Ok(reply);
            }
            let curable = match (&credential, &self.initiator) {
                (Credential::Cookie(cookie), _) => {
                    // The cookie's signature is no longer valid, so the server was restarted, perhaps
                    // with another filter.
                    backend.set_impersonation(ImpersonationStatus::Unverified);
                    stale = Some(cookie.serial);
                    true
                }
                (Credential::Token(_, context), Some(initiator)) => initiator.refused(context),
                (Credential::Token(..), None) | (Credential::None, _) => false,
            };
            if !curable || !std::mem::take(&mut again) {
                return Err(ProbeError::Login(LoginError::Refused {
                    status: reply.status.as_u16(),
                    reason: String::from_utf8_lossy(&reply.reason).into_owned(),
                }));
            }
        }
    }

    /// Checks that the backend acts as the user that the gateway names: it must refuse a user whom no
    /// proxy-user rule can allow. Where the rules allow everybody (`hadoop.proxyuser.*.users = *`), an
    /// empty name is still an error to a server that reads it.
    async fn check_impersonation(&self) {
        let backend = self.backend();
        for user in [IMPERSONATION_PROBE_USER, ""] {
            let reply = match self.get_as(user).await {
                Ok(reply) => reply,
                Err(error) => {
                    tracing::debug!(backend = %backend.key.authority, "impersonation check: {error}");
                    return;
                }
            };
            if reply.login_failed {
                return;
            }
            match backend
                .kind
                .check_impersonation(&reply.info(), &reply.body, user)
            {
                ImpersonationCheck::Honoured => {
                    tracing::info!(
                        console = %self.group.console,
                        backend = %backend.key.authority,
                        "the backend acts as the user that the gateway names"
                    );
                    backend.set_impersonation(ImpersonationStatus::Honored);
                    self.group.changed.notify_waiters();
                    return;
                }
                ImpersonationCheck::Inconclusive => return,
                ImpersonationCheck::Ignored => break,
                ImpersonationCheck::RetryEmpty => {}
            }
        }
        if backend.impersonation() != ImpersonationStatus::Ignored {
            backend.set_impersonation(ImpersonationStatus::Ignored);
            tracing::error!(
                console = %self.group.console,
                backend = %backend.key.authority,
                reason = Refusal::IdentityIgnored.reason(),
                "the backend ignores doAs, so every user would act as the gateway: the console stays \
                 closed. For NodeManager, JobHistoryServer and DataNode pages set \
                 hadoop.http.filter.initializers to ProxyUserAuthenticationFilterInitializer in \
                 core-site.xml, or use identity = \"service\""
            );
            self.group.changed.notify_waiters();
        }
    }

    async fn get_as(&self, user: &str) -> Result<ControlResponse, ProbeError> {
        let backend = self.backend();
        let Some(proof) = backend.kind.impersonation_probe() else {
            return Err(ProbeError::Login(LoginError::NoCookie));
        };
        let credential = login::credential(backend, self.initiator.as_ref(), None).await?;
        let mut headers = HeaderMap::new();
        let mut target = String::from(proof.path);
        let mut separator = '?';
        let mut add = |piece: &str| {
            if !piece.is_empty() {
                target.push(separator);
                target.push_str(piece);
                separator = '&';
            }
        };
        match backend.kind.user_field() {
            UserField::Query(name) => add(&format!("{name}={user}")),
            UserField::Header(name) => {
                if let Ok(value) = HeaderValue::from_str(user) {
                    headers.insert(name, value);
                }
            }
        }
        add(proof.query);
        let addresses = backend.addresses();
        let login = credential.header();
        let timeout = self.config.timeout;
        Ok(client::get(backend, &addresses, &target, login, &headers, timeout).await?)
    }
}
