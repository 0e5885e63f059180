//! Looking after one backend, off the workers: is it alive, is it the active one, does it obey,
//! is our login there fresh?

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
    /// A look without an answer for so long is a miss; 1 s.
    pub timeout: Duration,
    /// Good looks in a row after which a server that was down is used again; 1.
    pub rise: u32,
    /// Misses in a row after which a server that accepts connections is down; 2. One that refuses
    /// connections is down at once.
    pub fall: u32,
}

/// What a probe needs.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    /// The console's servers.
    pub group: Arc<BackendGroup>,
    /// Which of them.
    pub index: usize,
    /// Tokens for the login; `None` where the gateway does not log in.
    pub initiator: Option<Initiator>,
    /// How often, how patiently, how soon believed.
    pub config: ProbeConfig,
}

/// Why a look failed.
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
    /// Whether it is TLS that fails.
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
                self.look().await;
            }
            tokio::select! {
                () = tokio::time::sleep(self.config.interval) => {}
                () = backend.wake_probe.notified() => {
                    // kicks come in crowds: one look serves them all
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    fn backend(&self) -> &Arc<Backend> {
        &self.group.backends[self.index]
    }

    async fn look(&self) {
        let backend = self.backend();
        let number = backend.probe_epoch.begin();
        let result = self.examine().await;
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
            self.prove().await;
        }
        if state == BackendHealth::Down {
            // it may come back with another filter, or repaired
            backend.set_impersonation(ImpersonationStatus::Unverified);
        }
        // one that was down has to be well for a while
        if risen || backend.health() != BackendHealth::Down {
            self.group.learn(self.index, state);
        }
        backend.probe_epoch.conclude(number);
    }

    async fn examine(&self) -> Result<Health, ProbeError> {
        let backend = self.backend();
        backend.resolve().await.map_err(ProbeError::Resolve)?;
        if let Some(initiator) = &self.initiator
            && backend.login.current().is_some()
            && backend.login.wants_renewal()
        {
            // a dead KDC must not end a login that still works
            let _ = backend.login.renew(backend, initiator).await;
        }
        let reply = self.ask(backend.kind.probe()).await?;
        match (
            backend.kind.health(&reply.info(), &reply.body),
            backend.kind.probe_fallback(),
        ) {
            (Health::NoSuchProbe, Some(fallback)) => {
                let reply = self.ask(fallback).await?;
                Ok(backend.kind.health(&reply.info(), &reply.body))
            }
            (health, _) => Ok(health),
        }
    }

    /// Asks under the gateway's own identity, logging in again once.
    async fn ask(&self, target: &str) -> Result<ControlResponse, ProbeError> {
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
                    // a new secret: it was restarted, perhaps with another filter
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

    /// Proves that the backend obeys: a user that no rule can allow must be refused. Where rules
    /// allow everybody, an empty name still is an error to who reads it and nothing to who does
    /// not.
    async fn prove(&self) {
        let backend = self.backend();
        for user in [IMPERSONATION_PROBE_USER, ""] {
            let reply = match self.ask_as(user).await {
                Ok(reply) => reply,
                Err(error) => {
                    tracing::debug!(backend = %backend.key.authority, "proof: {error}");
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
                        "the backend obeys the user's identity"
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

    async fn ask_as(&self, user: &str) -> Result<ControlResponse, ProbeError> {
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
