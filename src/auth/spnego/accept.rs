//! The interface between the layer and GSSAPI. Tests implement it with a scripted acceptor.

use std::{error::Error, net::IpAddr};

use crate::{
    gss::{AcceptError, Accepting, Acceptor, LoginStep, Pending},
    refusal::Refusal,
};

/// Verifies a client's token. [`Acceptor`] does it with GSSAPI.
pub trait Accept {
    /// The state of a login between two tokens.
    type Pending: Send + 'static;
    /// Why a token is not accepted.
    type Error: Error + 'static;
    /// The future of [`accept`](Self::accept).
    type Future: Future<Output = Result<LoginStep<Self::Pending>, Self::Error>>;

    /// Verifies one token. `pending` is the login that it continues, `client` the address that it was
    /// received from, if known.
    fn accept(
        &self,
        token: Vec<u8>,
        pending: Option<Self::Pending>,
        client: Option<IpAddr>,
    ) -> Self::Future;

    /// The refusal that the client gets for an error.
    fn refusal(error: &Self::Error) -> Refusal;
}

impl Accept for Acceptor {
    type Pending = Pending;
    type Error = AcceptError;
    type Future = Accepting;

    fn accept(
        &self,
        token: Vec<u8>,
        pending: Option<Pending>,
        client: Option<IpAddr>,
    ) -> Accepting {
        self.accept(token, pending, client)
    }

    fn refusal(error: &AcceptError) -> Refusal {
        error.into()
    }
}

impl From<&AcceptError> for Refusal {
    fn from(error: &AcceptError) -> Self {
        // No `_` arm: each new error has to be given its reason, which clients, logs and metrics show.
        match error {
            AcceptError::Busy => Self::LoginBusy,
            AcceptError::Flood => Self::LoginFlood,
            AcceptError::Timeout => Self::LoginTimeout,
            AcceptError::Stopped => Self::Draining,
            AcceptError::Empty | AcceptError::NoTicket | AcceptError::Malformed { .. } => {
                Self::TokenMalformed
            }
            AcceptError::KrbError(_) => Self::TokenKrbError,
            AcceptError::ApRep => Self::TokenApRep,
            AcceptError::Ntlm => Self::Ntlm,
            AcceptError::Interrupted => Self::LoginInterrupted,
            AcceptError::Replay => Self::TokenReplayed,
            AcceptError::ReplayCache { .. } => Self::ReplayCache,
            AcceptError::TicketExpired => Self::TicketExpired,
            AcceptError::ClockSkew { .. } => Self::ClockSkew,
            AcceptError::KeytabOutOfDate { .. } => Self::KeytabOutOfDate,
            AcceptError::TicketOutOfDate { .. } => Self::TicketOutOfDate,
            AcceptError::NoKey { .. } => Self::NoKeyForService,
            AcceptError::NoEnctype { .. } => Self::NoKeyOfEnctype,
            AcceptError::WrongKey { .. } | AcceptError::OtherService { .. } => Self::WrongKey,
            AcceptError::NoKerberos
            | AcceptError::Unnamed
            | AcceptError::Name(_)
            | AcceptError::Rejected { .. } => Self::TokenRejected,
        }
    }
}
