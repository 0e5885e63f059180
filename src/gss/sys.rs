//! The only unsafe code: the calls that libgssapi does not wrap, behind a safe interface.
//!
//! libgssapi has no `gss_acquire_cred_from` (credentials of a named keytab, ccache and replay cache
//! without touching the process environment), no restriction of SPNEGO's mechanisms and no krb5
//! `krb5_kt_*`, and its `ServerCtx` needs a second round of calls for the client's name.
#![allow(unsafe_code)]

mod ccache;
mod context;
mod gssapi;
mod init_creds;
mod krb5;

pub(crate) use ccache::MemoryCcache;
pub(crate) use context::{AcceptContext, ContextStep};
pub use gssapi::Failure;
pub(crate) use gssapi::{AcceptCred, Mechanisms, initiate_cred};
pub(crate) use init_creds::kdc_error_details;
pub(crate) use krb5::{MemoryKeytab, clockskew, file_name};
