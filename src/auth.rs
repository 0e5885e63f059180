//! Who is this? From `Authorization` and `Cookie` to a named, allowed user.
//!
//! In a request's way these modules stand before everything that talks to a backend:
//! [`spnego`] asks [`session`] (through `cookie`) and then GSSAPI (through `negotiate`), gets a
//! short name from [`names`], and [`acl`] checks `origin`, users and groups. [`secret`] signs.

pub mod acl;
pub(crate) mod cookie;
pub mod names;
pub(crate) mod negotiate;
pub(crate) mod origin;
pub mod secret;
pub mod session;
pub mod spnego;

/// How the client reached the gateway; sessions of one are worth nothing on the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `http`
    Plain,
    /// `https`
    Tls,
}

impl Scheme {
    /// As in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "http",
            Self::Tls => "https",
        }
    }
}
