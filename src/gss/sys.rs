//! The only unsafe code: what libgssapi does not wrap, behind a safe face.
//!
//! libgssapi has no `gss_acquire_cred_from` (credentials of a named keytab, ccache and replay cache
//! without touching the process environment), no restriction of SPNEGO's mechanisms and no krb5
//! `krb5_kt_*`, and its `ServerCtx` needs a second round of calls for the client's name.
#![allow(unsafe_code)]

mod ccache;
mod context;
mod gssapi;
mod initial;
mod krb5;

pub(crate) use ccache::MemoryCcache;
pub(crate) use context::{AcceptContext, Leg};
pub use gssapi::Failure;
pub(crate) use gssapi::{AcceptCred, Mechanisms, initiate_cred};
pub(crate) use initial::refusal;
pub(crate) use krb5::{MemoryKeytab, clockskew, file_name};
