//! GSSAPI behind a safe, asynchronous interface.
//!
//! Two parts are on the request path: [`Acceptor`] verifies a client's token and gives its name (called
//! by [`crate::auth`]), [`Initiator`] makes the gateway's own token for a backend (called by
//! `upstream`). Both run GSSAPI on threads of their own, because its calls block: a KDC that does not
//! respond delays neither the workers nor, since the groups of threads are separate, any login.
//!
//! This module knows no HTTP: its errors are turned into refusals by the modules that call it. Keytabs
//! are read and written without a Kerberos library ([`Keytab`]). Start with [`Acceptor::start`] and
//! [`Initiator::start`], or with the Tower layer in [`crate::auth::spnego`], which needs only an
//! acceptor.

pub(crate) mod acceptor;
pub(crate) mod ap_req;
pub(crate) mod blocking;
pub(crate) mod initiator;
pub(crate) mod keytab;
mod krb5_code;
pub(crate) mod peek;
mod principal;
pub(crate) mod spnego_wrapper;
mod sys;

pub use acceptor::{
    AcceptError, Accepted, Accepting, Acceptor, AcceptorOptions, GssStartError, KeyDetails,
    KeytabStatus, LoginStep, Pending, ReplayCache,
};
pub use initiator::{
    AccountStatus, ClientStatus, ClientToken, InitiateError, Initiating, Initiator,
    InitiatorOptions,
};
pub use keytab::{Enctype, Entry, FormatError, Keytab, KeytabError};
pub use peek::Ticket;
pub use principal::{Principal, PrincipalError};
pub use sys::Failure;
