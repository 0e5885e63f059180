//! What works, but is probably not intended.

use std::{net::SocketAddr, path::PathBuf};

use crate::auth::names::RuleWarning;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::config) enum WarningKind {
    #[error(
        "the session secret is random: sessions end when the gateway restarts, and replicas do not \
         share them"
    )]
    RandomSecret,
    /// A secret, key or keytab.
    #[error("{} is readable by every user of this machine", file.display())]
    WorldReadable { file: PathBuf },
    #[error(
        "without a replay cache, a login that was intercepted on a plain connection can be used again \
         within the clock skew"
    )]
    NoReplayCache,
    #[error("{listen} is not a loopback address: metrics and status are served without login")]
    AdminExposed { listen: SocketAddr },
    /// Expired, or not valid yet.
    #[error("the certificate in {} is not valid {when} {date}", file.display())]
    CertificateTime {
        file: PathBuf,
        /// `after` or `before`.
        when: &'static str,
        date: String,
    },
    #[error(
        "the certificate in {} does not name {host}, so browsers will show a warning",
        listed(files)
    )]
    CertificateHost { files: Vec<PathBuf>, host: String },
    /// A chain of one certificate that is not self-signed.
    #[error(
        "{} contains only the server's own certificate, which {issuer} signed",
        file.display()
    )]
    ChainMissing { file: PathBuf, issuer: String },
    /// A certificate that is not followed by the one that signed it.
    #[error(
        "the certificate chain in {} is incomplete: {subject} should be followed by {issuer}",
        file.display()
    )]
    ChainBroken {
        file: PathBuf,
        subject: String,
        issuer: String,
    },
    /// A backend that is given by address: a KDC rarely has an SPN with an IP address.
    #[error("the gateway will ask for a ticket for HTTP/{host}, which rarely exists")]
    BackendByAddress { host: String },
    /// A backend whose name is one of the gateway's own; it may resolve differently on this host.
    #[error(
        "clients use {url} for the gateway itself; if that name resolves to the gateway on this host \
         too, requests loop"
    )]
    BackendMayBeSelf { url: String },
    /// `doas` by a principal whose short name every console with an `HTTP/…` principal has.
    #[error(
        "on the cluster, {principal} has the short name HTTP like every other web service, so \
         hadoop.proxyuser.HTTP lets each of them act as any user"
    )]
    SharedProxyUser { principal: String },
    /// A console that shows applications of other users, in one origin with another console.
    #[error(
        "console `{console}` shares {listen} with console `{other}`: pages below /proxy/ come from any \
         user's application, and their scripts can use `{other}` as the user who views them"
    )]
    UserPagesShareOrigin {
        console: String,
        other: String,
        listen: SocketAddr,
    },
    #[error("rule {number} `{rule}` {remark}")]
    Rule {
        /// Number among all rules, from 1.
        number: usize,
        rule: Box<str>,
        remark: RuleWarning,
    },
    /// In `allow` or `become`.
    #[error("no user can have the name `{name}`")]
    ImpossibleName { name: String },
    #[error("this machine has no group `{group}`, so the entry admits no user")]
    NoSuchGroup { group: String },
    #[error(
        "without `nodes`, files are neither read nor written through the gateway: clients are \
         redirected to DataNodes, which they have to reach themselves"
    )]
    NoNodes,
    /// `identity = "service"` with a principal that may impersonate users at another console.
    #[error(
        "every user of this console acts as {principal}, which may impersonate any user at console \
         `{console}` (hadoop.proxyuser)"
    )]
    ServiceAsProxyUser { principal: String, console: String },
    /// RFC 4120 section 7.2.1: a response that is too large for a datagram is requested again by TCP.
    #[error("a KDC reached by UDP only fails for large responses (users with many groups)")]
    KdcWithoutTcp,
    #[error("{listen} is served without TLS, but MS-KKDCP clients ask for https://…/KdcProxy")]
    KdcProxyPlain { listen: SocketAddr },
    #[error(
        "`nodes` has no effect: links of a {kind} carry no credential for a node, so the gateway does \
         not rewrite them"
    )]
    NodesUnused { kind: &'static str },
    #[error("port 0: the system chooses another port at every start")]
    RandomPort,
}

impl WarningKind {
    pub(super) fn cure(&self) -> Option<String> {
        let cure = match self {
            Self::RandomSecret => "Set session.secret_file to a file that all replicas share",
            Self::WorldReadable { file } => {
                return Some(format!("Run `chmod 640 {}`", file.display()));
            }
            Self::ChainMissing { .. } => {
                "Append the certificate of that CA, unless all clients have it already"
            }
            Self::ChainBroken { .. } => "Append the missing certificate",
            Self::BackendByAddress { .. } => "Set `spn` if the server's principal has a host name",
            Self::BackendMayBeSelf { .. } => "Write the address of the server behind the gateway",
            Self::SharedProxyUser { .. } => "Give the gateway a principal of its own",
            Self::UserPagesShareOrigin { console, .. } => {
                return Some(format!("Give console `{console}` an address of its own"));
            }
            Self::ImpossibleName { .. } => {
                "Write the short name that auth_to_local returns, without realm, host and spaces"
            }
            Self::NoSuchGroup { group } => {
                return Some(format!(
                    "Correct the name, or create the group: `getent group {group}` has to show it"
                ));
            }
            Self::NoNodes => "Write nodes = { hosts = [\"*.example.com\"], ports = [50075, 9864] }",
            Self::ServiceAsProxyUser { .. } => {
                "Set `principal` of these backends to one without proxy-user rights"
            }
            Self::KdcWithoutTcp => "Add \"tcp\" to `protocols`",
            Self::KdcProxyPlain { .. } => "Write `tls`, or terminate TLS in front of the gateway",
            Self::NodesUnused { .. } => {
                "Remove `nodes`; publish other servers that pages link to as consoles of their own \
                 (kind = \"jobhistory\")"
            }
            Self::NoReplayCache
            | Self::AdminExposed { .. }
            | Self::CertificateTime { .. }
            | Self::CertificateHost { .. }
            | Self::Rule { .. }
            | Self::RandomPort => return None,
        };
        Some(cure.to_owned())
    }
}

fn listed(files: &[PathBuf]) -> String {
    let names: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    names.join(" or ")
}
