//! Authentication and access control: from `Authorization` and `Cookie` to a named, allowed user.
//!
//! These modules run before everything that talks to a backend. The layer of [`spnego`] looks for a
//! session cookie ([`session`]), then for a token, which it passes to an acceptor of [`crate::gss`],
//! and maps the client's principal to a short name ([`names`]). The layer of [`acl`] checks the
//! request's origin, then the user and its groups. [`secret`] is the key material that signs cookies.
//!
//! To put a login before a service of your own, begin with the example in [`spnego`].

pub mod acl;
pub(crate) mod cookie;
pub mod names;
pub(crate) mod negotiate;
pub(crate) mod origin;
pub mod secret;
pub mod session;
pub mod spnego;

/// How the client reached the gateway. A session of one scheme is not accepted on the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `http`
    Plain,
    /// `https`
    Tls,
}

impl Scheme {
    /// The scheme as in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "http",
            Self::Tls => "https",
        }
    }
}
