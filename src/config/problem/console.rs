//! What can be wrong with a `[[console]]`, alone and beside the others.

use std::net::SocketAddr;

use crate::tls::StoreError;

/// What is wrong with a console.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleFault {
    /// A name with other characters than `[a-z0-9-]`.
    #[error("`{name}` is no console name")]
    Name {
        /// As written.
        name: String,
    },
    /// Two consoles of one name.
    #[error("`{name}` is also the name of console[{other}]")]
    NameTwice {
        /// The name.
        name: String,
        /// Index of the other.
        other: usize,
    },
    /// Not a host name.
    #[error("`{text}` is no host name")]
    Host {
        /// As written.
        text: String,
    },
    /// Not a path prefix.
    #[error("`{text}` is no path prefix")]
    Path {
        /// As written.
        text: String,
    },
    /// `/.spnegate` belongs to the gateway.
    #[error("/.spnegate is the gateway's own")]
    PathReserved,
    /// Not a backend URL.
    #[error("`{text}` is no backend URL")]
    Url {
        /// As written.
        text: String,
    },
    /// One backend twice in a console.
    #[error("{url} stands here twice")]
    BackendTwice {
        /// The URL.
        url: String,
    },
    /// A backend that is the gateway itself.
    #[error("{url} is the gateway's own listener {listener}: requests would run in a circle")]
    BackendIsSelf {
        /// The URL.
        url: String,
        /// The listener.
        listener: SocketAddr,
    },
    /// Whether the backend obeys `doAs` cannot be proven.
    #[error("the gateway cannot prove that a {kind} backend obeys doAs")]
    DoAsUnproven {
        /// The kind.
        kind: &'static str,
    },
    /// Without Kerberos the server cannot be told the user.
    #[error("a {kind} server cannot be told the user: {reason}")]
    SimpleUnsupported {
        /// The kind.
        kind: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// A coordinator has to be told a user.
    #[error("a {kind} coordinator has to be told a user")]
    WantsUser {
        /// The kind.
        kind: &'static str,
    },
    /// `allow` where nobody logs in.
    #[error("`allow` where nobody logs in: everybody would be refused")]
    AllowWithoutLogin,
    /// `become` for a kind that is not told the user by a header.
    #[error("`become` is for kinds that clients tell a user by a header: presto, trino")]
    BecomeUnsupported,
    /// Not the name of a cookie.
    #[error("`{name}` is not a valid cookie name")]
    CookieName {
        /// As written.
        name: String,
    },
    /// A cookie that is a login by its name, in `pass_cookies`.
    #[error("`{name}` is a login: whoever holds it is the gateway")]
    LoginCookie {
        /// As written.
        name: String,
    },
    /// The backend wants a login and there is no principal to log in as.
    #[error("nobody to log in to {url} as")]
    NoPrincipal {
        /// The backend.
        url: String,
    },
    /// Neither users nor groups.
    #[error("nobody is allowed")]
    AllowsNobody,
    /// Not a node pattern.
    #[error("`{text}` is no node pattern")]
    NodePattern {
        /// As written.
        text: String,
    },
    /// `redirect_from` without TLS.
    #[error("a redirect leads from a plain port to TLS, and this console has no `tls`")]
    RedirectWithoutTls,
    /// Two consoles of one listener with different `tls`.
    #[error("{listener} is shared with console `{other}`, whose `tls` differs")]
    TlsDiffers {
        /// The address.
        listener: SocketAddr,
        /// The other console.
        other: String,
    },
    /// Two consoles of one listener with different `accept_proxy` or `trusted_proxies`.
    #[error("{listener} is shared with console `{other}`, whose `{key}` differs")]
    ProxyDiffers {
        /// Which of the two.
        key: &'static str,
        /// The address.
        listener: SocketAddr,
        /// The other console.
        other: String,
    },
    /// Two consoles that answer to the same address, host and path.
    #[error("console `{other}` answers {listener} for {host} too, with the same path")]
    Overlap {
        /// The address.
        listener: SocketAddr,
        /// A host of both.
        host: String,
        /// The other console.
        other: String,
    },
    /// A wildcard address and another one on the same port.
    #[error("{listener} and {with} of {owner} cannot both be opened")]
    AddressTaken {
        /// The address.
        listener: SocketAddr,
        /// The other address.
        with: SocketAddr,
        /// Who has it: a console or `admin`.
        owner: String,
    },
    /// A file of keys or certificates that cannot be used.
    #[error(transparent)]
    Tls(#[from] StoreError),
    /// Backends by TLS, and nobody to believe.
    #[error("this machine has no CA certificates, so no backend's certificate can be believed")]
    NoSystemRoots,
    /// `tls` of a backend that is spoken to in plain HTTP.
    #[error("{url} is spoken to in plain HTTP")]
    TlsOfPlain {
        /// The backend.
        url: String,
    },
    /// A certificate is given in two ways, or half of it.
    #[error("{0}")]
    TlsForm(&'static str),
}

impl ConsoleFault {
    /// What to do about it.
    pub fn cure(&self) -> String {
        match self {
            Self::Name { .. } => "Use lower-case letters, digits and `-`, such as \"rm-2\"".into(),
            Self::NameTwice { .. } => "Give each console its own name".into(),
            Self::Host { .. } => {
                "Write a host name as clients type it, without scheme and port".into()
            }
            Self::Path { .. } => {
                "Write an absolute path without final slash, escapes or dots, such as \"/oozie\""
                    .into()
            }
            Self::PathReserved => "Choose another path".into(),
            Self::Url { .. } => "Write http://host:port, nothing behind it, such as \
                 \"http://nn1.example.com:50070\""
                .into(),
            Self::BackendTwice { .. } => "Remove one".into(),
            Self::BackendIsSelf { .. } => {
                "Name the server behind the gateway, or listen on another address".into()
            }
            Self::DoAsUnproven { .. } => {
                "Use identity = \"service\", or the kind that this server is".into()
            }
            Self::SimpleUnsupported { .. } => {
                "Use identity = \"doas\" with a server that has Kerberos, or \"none\" (the client's own \
                 word)"
                    .into()
            }
            Self::WantsUser { .. } => {
                "Use identity = \"doas\" (a coordinator with Kerberos), \"simple\" (one without) or \
                 \"none\" (the client's own word)"
                    .into()
            }
            Self::AllowWithoutLogin => "Remove `allow`, or let users log in".into(),
            Self::BecomeUnsupported | Self::LoginCookie { .. } => "Remove it".into(),
            Self::CookieName { .. } => {
                "Write the name as the server sets it, such as \"JSESSIONID\"".into()
            }
            Self::NoPrincipal { .. } => {
                "Set kerberos.principal to a principal of the keytab, or `principal` of this \
                 backend"
                    .into()
            }
            Self::AllowsNobody => {
                "Write allow = { users = [\"alice\"] }, or leave `allow` out to admit every \
                 mapped user"
                    .into()
            }
            Self::NodePattern { .. } => {
                "Write an exact host name or \"*.example.com\"; nodes get the gateway's requests, \
                 so name no more than the cluster"
                    .into()
            }
            Self::RedirectWithoutTls => "Add `tls`, or remove `redirect_from`".into(),
            Self::TlsDiffers { .. } => {
                "Write the same `tls` in both, or use another address".into()
            }
            Self::ProxyDiffers { key, .. } => {
                format!("Write the same `{key}` in both, or use another address")
            }
            Self::Overlap { .. } => {
                "Give one of them another `listen`, other `hosts` or a `path`".into()
            }
            Self::AddressTaken { .. } => "Change one of the two addresses".into(),
            Self::Tls(error) => error.fault.cure().into(),
            Self::NoSystemRoots => {
                "Write truststore = \"/etc/spnegate/ca.pem\" in `backend_tls`, or install the package \
                 ca-certificates"
                    .into()
            }
            Self::TlsOfPlain { .. } => "Write https:// in its URL, or remove `tls`".into(),
            Self::TlsForm(_) => {
                "Write either `cert` and `key`, or `keystore` with `password_file`; several \
                 certificates as certificates = [{ … }, { … }]"
                    .into()
            }
        }
    }
}
