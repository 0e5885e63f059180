//! A server's refusal to let the gateway act for a user, and what its administrator can do.

/// A refusal to let the gateway act for a user, as a kind reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImpersonationDenial {
    /// The gateway's short name, as the server says it; `None`: it does not.
    pub gateway: Option<String>,
    /// What is missing.
    pub lacks: MissingRule,
    /// The server's own words.
    pub message: String,
    /// Simple and full class name of Hadoop's exception, which its clients read from the answer.
    pub exception: Option<(String, String)>,
    /// Headers of the answer that clients read: the error code's, which is kept, and the message's.
    pub headers: Option<(&'static str, &'static str)>,
}

/// What a rule does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MissingRule {
    /// To act for this user.
    User,
    /// To act from the gateway's address or host, which is this one.
    Host(String),
}

/// What makes a server allow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remedy {
    /// Where its rules stand: "core-site.xml of the `NameNode`s".
    pub file: &'static str,
    /// What has to stand there, a sentence each.
    pub rules: Vec<String>,
    /// The command or act that makes the server read it.
    pub apply: &'static str,
}

impl Remedy {
    /// Properties `<prefix><gateway>.groups`, `.hosts` and, where `users` says so, `.users`.
    pub(super) fn properties(
        prefix: &str,
        users: bool,
        file: &'static str,
        apply: &'static str,
        (denial, gateway, user): (&ImpersonationDenial, &str, &str),
    ) -> Self {
        let rules = match &denial.lacks {
            MissingRule::User => {
                let groups = format!("{prefix}{gateway}.groups must name a group of {user}");
                let who = if users {
                    format!("{groups}, or {prefix}{gateway}.users must name {user}")
                } else {
                    groups
                };
                let host = format!("{prefix}{gateway}.hosts must name the gateway's host");
                vec![who, host]
            }
            MissingRule::Host(host) => vec![format!("{prefix}{gateway}.hosts must name {host}")],
        };
        Self { file, rules, apply }
    }
}

/// A name that can be shown and written into a property: the first component of a principal.
pub(super) fn short(name: &str) -> Option<String> {
    let name = name.split(['/', '@']).next().unwrap_or_default();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (!name.is_empty() && name.len() <= 64 && name.bytes().all(plain)).then(|| name.to_owned())
}

/// An address or host name that can be shown; `""` for anything else.
pub(super) fn host(text: &str) -> String {
    let text = text.trim().trim_start_matches('/');
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-:%".contains(&b);
    if text.len() <= 255 && text.bytes().all(plain) {
        text.to_owned()
    } else {
        String::new()
    }
}
