//! The safe face of GSSAPI: who a token belongs to, and tokens of our own.

mod acceptor;
mod principal;

pub use acceptor::{AcceptError, Accepted, Accepting, Acceptor, Pending, Step};
pub use principal::{Principal, PrincipalError};
