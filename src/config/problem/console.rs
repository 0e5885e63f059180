//! Problems of a `[[console]]`, alone and in combination with others.

use std::net::SocketAddr;

use crate::tls::StoreError;

#[derive(Debug, thiserror::Error)]
pub(in crate::config) enum ConsoleProblem {
    #[error("invalid console name `{name}`")]
    Name { name: String },
    /// `other` is the index of the earlier console.
    #[error("duplicate console name `{name}`: console[{other}] has it already")]
    NameTwice { name: String, other: usize },
    #[error("invalid host name `{text}`")]
    Host { text: String },
    #[error("invalid path prefix `{text}`")]
    Path { text: String },
    #[error("the path /.spnegate is reserved for the gateway's own pages")]
    PathReserved,
    #[error("invalid backend URL `{text}`")]
    Url { text: String },
    #[error("duplicate backend {url}")]
    BackendTwice { url: String },
    #[error(
        "the backend {url} is the gateway's own listener {listener}, which would be an endless loop"
    )]
    BackendIsSelf { url: String, listener: SocketAddr },
    /// Nothing shows whether such a backend honours `doAs`.
    #[error(
        "identity \"doas\" is not supported for kind \"{kind}\": the gateway cannot verify that such \
         a backend honours doAs"
    )]
    DoAsUnverifiable { kind: &'static str },
    #[error("identity \"simple\" is not supported for kind \"{kind}\": {reason}")]
    SimpleUnsupported {
        kind: &'static str,
        reason: &'static str,
    },
    #[error("identity \"service\" is not supported for kind \"{kind}\": it needs a user name")]
    ServiceUnsupported { kind: &'static str },
    /// `allow` with `identity = "none"`.
    #[error(
        "`allow` has no effect with identity \"none\", which has no login: every request would be refused"
    )]
    AllowWithoutLogin,
    #[error(
        "`become` is only supported for kinds whose clients name the user in a header: presto, trino"
    )]
    BecomeUnsupported,
    #[error("invalid cookie name `{name}`")]
    CookieName { name: String },
    #[error(
        "`{name}` is a login cookie: passed on, it would let clients act as the gateway's principal"
    )]
    LoginCookie { name: String },
    #[error("no Kerberos principal is configured for the login to {url}")]
    NoPrincipal { url: String },
    #[error("`allow` lists no users and no groups")]
    AllowEmpty,
    #[error("invalid node pattern `{text}`")]
    NodePattern { text: String },
    #[error("`redirect_from` redirects to TLS, but this console has no `tls`")]
    RedirectWithoutTls,
    /// Two consoles on one listener.
    #[error("console `{other}` shares the listener {listener} but has different `tls`")]
    TlsDiffers { listener: SocketAddr, other: String },
    /// Two consoles on one listener; `key` is `accept_proxy` or `trusted_proxies`.
    #[error("console `{other}` shares the listener {listener} but has different `{key}`")]
    ProxyDiffers {
        key: &'static str,
        listener: SocketAddr,
        other: String,
    },
    #[error("console `{other}` already serves {host} on {listener} with the same path")]
    Overlap {
        listener: SocketAddr,
        host: String,
        other: String,
    },
    /// The same address twice, or a wildcard address and another one with the same port.
    #[error("cannot listen on {listener}: it conflicts with {with} of {owner}")]
    AddressTaken {
        listener: SocketAddr,
        with: SocketAddr,
        owner: String,
    },
    #[error(transparent)]
    Tls(#[from] StoreError),
    #[error(
        "this machine has no CA certificates, so the certificate of this https:// backend cannot be \
         verified"
    )]
    NoSystemRoots,
    #[error("`tls` is set, but the URL {url} is plain HTTP")]
    TlsForPlainUrl { url: String },
    /// A certificate that is given in two ways, or half of one.
    #[error("{0}")]
    TlsForm(&'static str),
}

impl ConsoleProblem {
    pub(super) fn cure(&self) -> String {
        match self {
            Self::Name { .. } => "Use lower-case letters, digits and `-`, such as \"rm-2\"".into(),
            Self::NameTwice { .. } => "Give each console a name of its own".into(),
            Self::Host { .. } => {
                "Write the host name that clients use, without scheme and port".into()
            }
            Self::Path { .. } => "Write an absolute path without a trailing slash, percent escapes or \
                 dot segments, such as \"/oozie\""
                .into(),
            Self::PathReserved => "Choose another path".into(),
            Self::Url { .. } => "Write http://host:port or https://host:port without a path, such as \
                 \"http://nn1.example.com:50070\""
                .into(),
            Self::BackendTwice { .. } => "Remove one of them".into(),
            Self::BackendIsSelf { .. } => {
                "Write the address of the server behind the gateway, or change `listen`".into()
            }
            Self::DoAsUnverifiable { .. } => {
                "Use identity = \"service\", or the kind that matches this server".into()
            }
            Self::SimpleUnsupported { .. } => {
                "Use identity = \"doas\" if the server uses Kerberos, or \"none\" to pass on the user \
                 name that the client sends, without a login"
                    .into()
            }
            Self::ServiceUnsupported { .. } => {
                "Use identity = \"doas\" (the coordinator uses Kerberos), \"simple\" (it does not), or \
                 \"none\" to pass on the user name that the client sends, without a login"
                    .into()
            }
            Self::AllowWithoutLogin => "Remove `allow`, or choose an identity with a login".into(),
            Self::BecomeUnsupported | Self::LoginCookie { .. } => "Remove it".into(),
            Self::CookieName { .. } => {
                "Write the name as in the server's Set-Cookie header, such as \"JSESSIONID\"".into()
            }
            Self::NoPrincipal { .. } => "Set kerberos.principal to a principal of the keytab, or set \
                 `principal` of this backend"
                .into(),
            Self::AllowEmpty => {
                "Write allow = { users = [\"alice\"] }, or remove `allow` to admit every user that \
                 auth_to_local maps"
                    .into()
            }
            Self::NodePattern { .. } => {
                "Write an exact host name or \"*.example.com\". The gateway sends requests to every \
                 matching host, so do not match more than the cluster"
                    .into()
            }
            Self::RedirectWithoutTls => "Add `tls`, or remove `redirect_from`".into(),
            Self::TlsDiffers { .. } => {
                "Use the same `tls` in both consoles, or listen on another address".into()
            }
            Self::ProxyDiffers { key, .. } => {
                format!("Use the same `{key}` in both consoles, or listen on another address")
            }
            Self::Overlap { .. } => {
                "Change `listen`, `hosts` or `path` of one of the two consoles".into()
            }
            Self::AddressTaken { .. } => "Change one of the two addresses".into(),
            Self::Tls(error) => error.fault.cure().into(),
            Self::NoSystemRoots => {
                "Set truststore = \"/etc/spnegate/ca.pem\" in `backend_tls`, or install the package \
                 ca-certificates"
                    .into()
            }
            Self::TlsForPlainUrl { .. } => "Change the URL to https://, or remove `tls`".into(),
            Self::TlsForm(_) => {
                "Write either `cert` and `key`, or `keystore` with `password_file`; for several \
                 certificates write certificates = [{ … }, { … }]"
                    .into()
            }
        }
    }
}
