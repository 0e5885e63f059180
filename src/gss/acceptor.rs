//! Stand-in.
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::SystemTime,
};

use super::Principal;
use crate::refusal::Refusal;

/// Stand-in.
#[derive(Clone, Debug)]
pub struct Acceptor;
/// Stand-in.
#[derive(Debug)]
pub struct Pending;
/// Stand-in.
#[derive(Debug)]
pub struct Accepting;
/// Stand-in.
#[derive(Debug, thiserror::Error)]
#[error("stand-in")]
pub struct AcceptError;
/// Stand-in.
#[derive(Debug)]
pub enum Step {
    /// Stand-in.
    Done(Accepted),
    /// Stand-in.
    Continue {
        /// Stand-in.
        token: Vec<u8>,
        /// Stand-in.
        pending: Pending,
    },
}
/// A finished login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The client.
    pub client: Principal,
    /// The service that its ticket is for.
    pub service: Principal,
    /// The end of its ticket.
    pub expires: SystemTime,
    /// The mutual authentication token.
    pub reply: Option<Vec<u8>>,
}
impl From<&AcceptError> for Refusal {
    fn from(_: &AcceptError) -> Self {
        Self::TokenRejected
    }
}
impl Acceptor {
    /// Stand-in.
    pub fn accept(&self, _: Vec<u8>, _: Option<Pending>) -> Accepting {
        Accepting
    }
}
impl Future for Accepting {
    type Output = Result<Step, AcceptError>;
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Err(AcceptError))
    }
}
