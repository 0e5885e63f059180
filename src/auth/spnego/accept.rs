//! The seam between the layer and GSSAPI.

use std::{
    error::Error,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
};

use crate::{
    gss::{AcceptError, Accepted, Accepting, Acceptor, Pending, Step},
    refusal::Refusal,
};

/// Says whose token it is; [`Acceptor`] asks GSSAPI.
pub trait Accept {
    /// A login between two of its legs.
    type Pending: Send + 'static;
    /// Why a token is refused.
    type Error: Error + 'static;
    /// One leg under way.
    type Future: Future<Output = Result<Leg<Self::Pending>, Self::Error>>;

    /// Takes one token; `pending` is the login that it goes on with, `client` the address that it
    /// comes from, where it is known.
    fn accept(
        &self,
        token: Vec<u8>,
        pending: Option<Self::Pending>,
        client: Option<IpAddr>,
    ) -> Self::Future;

    /// What the client is told of an error.
    fn refusal(error: &Self::Error) -> Refusal;
}

/// What one token has led to.
#[derive(Debug)]
pub enum Leg<P> {
    /// The client is known.
    Done(Accepted),
    /// The client has to answer `token` on the same connection.
    Continue {
        /// For `WWW-Authenticate: Negotiate`.
        token: Vec<u8>,
        /// To be handed in with the answer.
        pending: P,
    },
}

/// [`Acceptor`]'s future, as a [`Leg`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Stepping(Accepting);

impl Future for Stepping {
    type Output = Result<Leg<Pending>, AcceptError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_ok(|step| match step {
            Step::Done(accepted) => Leg::Done(accepted),
            Step::Continue { token, pending } => Leg::Continue { token, pending },
        })
    }
}

impl Accept for Acceptor {
    type Pending = Pending;
    type Error = AcceptError;
    type Future = Stepping;

    fn accept(&self, token: Vec<u8>, pending: Option<Pending>, client: Option<IpAddr>) -> Stepping {
        Stepping(self.accept(token, pending, client))
    }

    fn refusal(error: &AcceptError) -> Refusal {
        error.into()
    }
}

impl From<&AcceptError> for Refusal {
    fn from(error: &AcceptError) -> Self {
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
