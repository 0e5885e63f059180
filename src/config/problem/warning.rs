//! What works, but may not be meant.

use std::{net::SocketAddr, path::PathBuf};

use crate::auth::names::Remark;

/// A warning: what, why it matters, what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Concern {
    /// No secret for the cookies.
    #[error(
        "sessions end at restart and are not shared by replicas, because the secret is random; \
         set session.secret_file to keep them"
    )]
    RandomSecret,
    /// Others may read a secret.
    #[error("{} can be read by every user of this machine; `chmod 640 {}`", file.display(), file.display())]
    WorldReadable {
        /// The file.
        file: PathBuf,
    },
    /// No replay cache.
    #[error(
        "without a replay cache, a login that was overheard on a plain connection can be used \
         again within the clock skew"
    )]
    NoReplayCache,
    /// Metrics are open to the network.
    #[error("{listen} is no loopback address: metrics and status are served without login")]
    AdminExposed {
        /// Address.
        listen: SocketAddr,
    },
    /// A certificate that is past its time or before it.
    #[error("the certificate in {} is not valid {when} {date}", file.display())]
    CertificateTime {
        /// The file.
        file: PathBuf,
        /// `after` or `before`.
        when: &'static str,
        /// The date.
        date: String,
    },
    /// The certificate does not name a host of the console.
    #[error(
        "the certificate in {} does not name {host}: browsers will warn",
        listed(files)
    )]
    CertificateHost {
        /// The file, or all of them.
        files: Vec<PathBuf>,
        /// The host.
        host: String,
    },
    /// Only the leaf of a chain.
    #[error(
        "{} holds the server's own certificate only, which {issuer} signed: unless clients know that \
         CA itself, add its certificate behind it",
        file.display()
    )]
    ChainMissing {
        /// The file.
        file: PathBuf,
        /// Who signed it.
        issuer: String,
    },
    /// A chain in which a certificate is not followed by the one that signed it.
    #[error("the chain in {} breaks off at {subject}: {issuer} should follow", file.display())]
    ChainBroken {
        /// The file.
        file: PathBuf,
        /// The last that is in its place.
        subject: String,
        /// Who signed that.
        issuer: String,
    },
    /// A backend given by address, whose SPN will hardly exist.
    #[error("the ticket will be for HTTP/{host}; set `spn` if the server's principal has a name")]
    BackendByAddress {
        /// The address.
        host: String,
    },
    /// A backend that may be the gateway itself.
    #[error(
        "clients reach the gateway itself as {url}; if that name leads back here from this host \
         too, requests run in a circle: then name the server behind the gateway"
    )]
    BackendMayBeSelf {
        /// The URL.
        url: String,
    },
    /// `doas` under a name that all consoles share.
    #[error(
        "on the cluster {principal} is the short name HTTP, as every other console is: \
         hadoop.proxyuser.HTTP lets each of them act as any user; better give the gateway a \
         principal of its own"
    )]
    SharedProxyUser {
        /// The principal.
        principal: String,
    },
    /// A console with pages of any user's applications, in one origin with another.
    #[error(
        "console `{console}` shares {listen} with console `{other}`: below /proxy/ it shows pages of \
         any user's applications, whose scripts may then use `{other}` as the user who looks at them; \
         give console `{console}` an address of its own"
    )]
    StrangersShareOrigin {
        /// The console that shows them.
        console: String,
        /// Another one.
        other: String,
        /// Where both are served.
        listen: SocketAddr,
    },
    /// A rule of `auth_to_local` that may not do what was meant.
    #[error("rule {number} `{rule}` {remark}")]
    Rule {
        /// Which of all rules, from 1.
        number: usize,
        /// The rule.
        rule: Box<str>,
        /// What may be wrong with it.
        remark: Remark,
    },
    /// A name in `allow` or `become` that nobody has.
    #[error(
        "`{name}` is never a user's name here: write the short name that auth_to_local makes, without \
         realm, host and blanks"
    )]
    NobodysName {
        /// The name.
        name: String,
    },
    /// A group in `allow` that the operating system does not know.
    #[error(
        "this machine knows no group `{group}`, so it admits nobody; `getent group {group}` has to \
         show it"
    )]
    NoSuchGroup {
        /// The group.
        group: String,
    },
    /// A NameNode without `nodes`.
    #[error(
        "without `nodes`, files are neither read nor written through the gateway: clients are sent \
         to DataNodes, which they have to reach themselves; write nodes = {{ hosts = \
         [\"*.example.com\"], ports = [50075, 9864] }}"
    )]
    NoNodes,
    /// `service` as a principal that may act for users.
    #[error(
        "everybody who may use this console is {principal} there, which may act for any user at \
         console `{console}` (hadoop.proxyuser): give this console's servers a `principal` of their \
         own that has no such rights"
    )]
    SharedPower {
        /// The principal.
        principal: String,
        /// A console with `doas`.
        console: String,
    },
    /// A KDC whose large answers cannot pass.
    #[error("a KDC by UDP alone fails for large answers (many groups): add \"tcp\"")]
    KdcWithoutTcp,
    /// Kerberos over HTTP without TLS.
    #[error(
        "{listen} is served without TLS: clients ask for https://…/KdcProxy, so let something in \
         front of the gateway end TLS, or write `tls`"
    )]
    KdcProxyPlain {
        /// The address.
        listen: SocketAddr,
    },
    /// Nodes of a kind whose links carry no credential.
    #[error(
        "links of a {kind} carry no credential for a node, so none leads there; what other servers its \
         pages lead to are reached where they are consoles of their own (kind = \"jobhistory\")"
    )]
    NodesUnused {
        /// The kind.
        kind: &'static str,
    },
    /// A random port.
    #[error("port 0: the system chooses another port at every start")]
    RandomPort,
}

fn listed(files: &[PathBuf]) -> String {
    let names: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    names.join(" or ")
}
