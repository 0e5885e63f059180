//! The safe face of GSSAPI: who a token belongs to, and tokens of our own.
//!
//! On a request's way twice: [`Acceptor`] says whose token the client brought (called by
//! [`crate::auth`]), [`Initiator`] makes the gateway's token for a backend (called by `upstream`).
//! Both have threads of their own, since GSSAPI blocks: a KDC that hangs never stops a login.

pub(crate) mod acceptor;
pub(crate) mod ap_req;
pub(crate) mod initiator;
pub(crate) mod keytab;
pub(crate) mod peek;
mod principal;
mod reply;
pub(crate) mod shell;
mod sys;
mod threads;

pub use acceptor::{
    AcceptError, Accepted, Accepting, Acceptor, AcceptorOptions, GssStartError, KeyFacts,
    KeytabStatus, Pending, ReplayCache, Step,
};
pub use initiator::{
    Account, ClientStatus, ClientToken, InitiateError, Initiating, Initiator, InitiatorOptions,
};
pub use keytab::{Keytab, KeytabError};
pub use principal::{Principal, PrincipalError};
pub use sys::Failure;
