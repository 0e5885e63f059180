//! The safe face of GSSAPI: who a token belongs to, and tokens of our own.

mod principal;

pub use principal::{Principal, PrincipalError};
