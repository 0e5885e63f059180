//! Why the gateway could not log in to a backend.

use std::sync::Arc;

use crate::{gss::InitiateError, refusal::Refusal, upstream::client::ExchangeError};

/// Why the gateway could not log in.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LoginError {
    /// There is no token: see the source.
    #[error("{0}")]
    Token(#[source] Arc<InitiateError>),
    /// The backend does not respond.
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
    /// The configuration names no principal for the login.
    #[error("no principal for the login: set kerberos.principal")]
    Nobody,
    /// Its mutual token does not verify (RFC 4559 section 5).
    #[error("the backend's mutual authentication failed: {0}")]
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
