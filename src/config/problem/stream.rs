//! Problems of a `[[stream]]` or `[[kdc_proxy]]`.

use std::net::SocketAddr;

#[derive(Debug, thiserror::Error)]
pub(in crate::config) enum StreamProblem {
    #[error("invalid stream name `{name}`")]
    Name { name: String },
    /// `other` is the index of the earlier stream.
    #[error("duplicate stream name `{name}`: stream[{other}] has it already")]
    NameTwice { name: String, other: usize },
    #[error("invalid server address `{text}`")]
    Backend { text: String },
    #[error("duplicate server {address}")]
    BackendTwice { address: String },
    #[error(
        "the server {address} is the gateway's own listener {listener}, which would be an endless loop"
    )]
    BackendIsSelf {
        address: String,
        listener: SocketAddr,
    },
    /// PROXY protocol headers with UDP or a KDC.
    #[error("`{key}` is only supported for TCP streams of kind \"relay\"")]
    TcpOnly { key: &'static str },
    #[error("this key needs \"udp\" in `protocols`")]
    NoUdp,
    #[error("every backend has weight 0, so no connection could be served")]
    AllWeightsZero,
    #[error("invalid Kerberos realm `{text}`")]
    Realm { text: String },
    /// `other` is the index of the earlier table.
    #[error("duplicate realm {realm} on {listener}: kdc_proxy[{other}] has it already")]
    RealmTwice {
        realm: String,
        other: usize,
        listener: SocketAddr,
    },
    #[error("{owner} shares the listener {listener} but has different `tls`")]
    TlsDiffers { listener: SocketAddr, owner: String },
}

impl StreamProblem {
    pub(super) fn cure(&self) -> String {
        let cure = match self {
            Self::Name { .. } => "Use lower-case letters, digits and `-`, such as \"presto\"",
            Self::NameTwice { .. } => "Give each stream a name of its own",
            Self::Backend { .. } => {
                "Write host:port, such as \"presto.example.com:9090\" or \"[2001:db8::1]:88\""
            }
            Self::BackendTwice { .. } => "Remove one of them",
            Self::BackendIsSelf { .. } => {
                "Write the address of the server behind the gateway, or change `listen`"
            }
            Self::TcpOnly { .. } => {
                "Remove it, or write a separate stream with protocols = [\"tcp\"]"
            }
            Self::NoUdp => "Remove the key, or add \"udp\" to `protocols`",
            Self::AllWeightsZero => "Give at least one of them a weight of 1 or more",
            Self::Realm { .. } => "Write the realm as the KDC does, such as \"EXAMPLE.COM\"",
            Self::RealmTwice { .. } => "List all KDCs of a realm in one table",
            Self::TlsDiffers { .. } => "Remove `tls` here, or use the same one in both places",
        };
        cure.to_owned()
    }
}
