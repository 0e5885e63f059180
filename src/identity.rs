//! How the user is named to a backend, and what a client may not send.
//!
//! On the request path: after the login and before the attempts. **Strip first,
//! then set**: [`headers::strip`], [`query::scrub`] and [`body_check::BodyCheck`] take away what a client
//! could say; [`query::compose`] and [`cookies::request`] put in what the gateway says. The
//! gateway's principal may impersonate anybody, so a client that gets a `doAs` past this module
//! owns the cluster.

pub(crate) mod become_rules;
pub(crate) mod body_check;
pub(crate) mod cookies;
pub(crate) mod credentials;
pub(crate) mod form;
pub(crate) mod forwarded;
pub(crate) mod headers;
pub(crate) mod query;

pub(crate) mod thrift;

/// `console.identity`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdentityMode {
    /// The backend sees the gateway's own principal.
    Service,
    /// The backend sees the user, named as the kind reads it (`doAs`, a header).
    DoAs,
    /// The user is named to a server without Kerberos (`user.name`); the gateway does not log in there.
    Simple,
    /// Neither clients nor the gateway log in; what a client says about itself passes.
    None,
}

impl IdentityMode {
    /// As in the configuration file.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::DoAs => "doas",
            Self::Simple => "simple",
            Self::None => "none",
        }
    }
}
