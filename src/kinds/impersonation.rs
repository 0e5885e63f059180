//! Acting for a user (`identity = "doas"`): how a kind shows that its server honours `doAs`, how the
//! server refuses it, and what its administrator can do then.
//!
//! Servers that do not know `doAs` ignore it and respond to the gateway's own principal, which is often a
//! superuser. So nothing is forwarded to a server before a probe has shown that it honours the user:
//! the gateway names one that no sensible rule allows ([`IMPERSONATION_PROBE_USER`]), and the kind reads
//! the response.

/// The user of an impersonation probe: a name that no user has and that no sensible rule allows.
///
/// Long and odd enough not to appear in a page by chance.
pub const IMPERSONATION_PROBE_USER: &str = "spnegate-proof-of-doas-nobody";

/// The request by which the gateway finds out whether a server honours the user it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImpersonationProbe {
    /// Path of a page that the server serves in the name of a user.
    pub path: &'static str,
    /// Query without the identity parameter; may be empty.
    pub query: &'static str,
}

/// What the response to an impersonation probe says about the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImpersonationCheck {
    /// The server read the user.
    Honoured,
    /// The server responded as if no user had been sent.
    Ignored,
    /// The server is healthy, but this response looks the same either way, because a rule allows even
    /// the user of the probe. Repeat the probe with an empty user name.
    RetryEmpty,
    /// The response says nothing (standby, error). Repeat the probe later.
    Inconclusive,
}

/// A server's refusal to let the gateway act for a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImpersonationDenial {
    /// Short name of the gateway, if the server's message has it.
    pub gateway: Option<String>,
    pub missing: MissingRule,
    /// The server's message.
    pub message: String,
    /// Simple and full class name of Hadoop's exception, which its clients read from the response.
    pub exception: Option<(String, String)>,
    /// Headers of the response that clients read: the one with the error code, which is kept, and the
    /// one with the message, which gets the explanation.
    pub headers: Option<(&'static str, &'static str)>,
}

/// What the rules of the server do not allow the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MissingRule {
    /// To act for this user.
    User,
    /// To act from the gateway's address or host name, which is this one.
    Host(String),
}

/// What makes a server allow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remedy {
    /// The file with the rules: "core-site.xml of the `NameNode`s".
    pub file: &'static str,
    /// What the file must contain, a sentence each.
    pub rules: Vec<String>,
    /// How to make the server read the file.
    pub apply: &'static str,
}

// === impl ImpersonationProbe ===

impl ImpersonationProbe {
    /// A probe without a query.
    pub(super) const fn page(path: &'static str) -> Self {
        Self { path, query: "" }
    }
}

// === impl Remedy ===

impl Remedy {
    /// Properties `<prefix><gateway>.groups`, `.hosts` and, if the server knows it, `.users`.
    pub(super) fn properties(
        prefix: &str,
        knows_users: bool,
        file: &'static str,
        apply: &'static str,
        (denial, gateway, user): (&ImpersonationDenial, &str, &str),
    ) -> Self {
        let rules = match &denial.missing {
            MissingRule::User => {
                let groups = format!("{prefix}{gateway}.groups must name a group of {user}");
                let user_rule = if knows_users {
                    format!("{groups}, or {prefix}{gateway}.users must name {user}")
                } else {
                    groups
                };
                // Hadoop checks the user before the host (`DefaultImpersonationProvider.authorize`), so
                // its message does not say whether the host is allowed.
                let host = format!("{prefix}{gateway}.hosts must name the gateway's host");
                vec![user_rule, host]
            }
            MissingRule::Host(host) => vec![format!("{prefix}{gateway}.hosts must name {host}")],
        };
        Self { file, rules, apply }
    }
}

/// The first component of a principal, if it is safe to show and to write into a property.
pub(super) fn short_name(name: &str) -> Option<String> {
    // The text comes from a server, and an administrator copies it from the page into a configuration file.
    let name = name.split(['/', '@']).next().unwrap_or_default();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (!name.is_empty() && name.len() <= 64 && name.bytes().all(plain)).then(|| name.to_owned())
}

/// An address or host name, if it is safe to show; else `""`.
pub(super) fn host(text: &str) -> String {
    // Java's `InetAddress.toString` begins with `/` if it has no name.
    let text = text.trim().trim_start_matches('/');
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-:%".contains(&b);
    if text.len() <= 255 && text.bytes().all(plain) {
        text.to_owned()
    } else {
        String::new()
    }
}
