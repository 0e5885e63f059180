//! What can be wrong with a `[[stream]]` or `[[kdc_proxy]]`.

use std::net::SocketAddr;

/// What is wrong with a stream.
#[derive(Debug, thiserror::Error)]
pub enum StreamFault {
    /// A name with other characters than `[a-z0-9-]`.
    #[error("`{name}` is no stream name")]
    Name {
        /// As written.
        name: String,
    },
    /// Two streams of one name.
    #[error("`{name}` is also the name of stream[{other}]")]
    NameTwice {
        /// The name.
        name: String,
        /// Index of the other.
        other: usize,
    },
    /// Not a `host:port`.
    #[error("`{text}` is no server of a stream")]
    Backend {
        /// As written.
        text: String,
    },
    /// One server twice.
    #[error("{address} stands here twice")]
    BackendTwice {
        /// The server.
        address: String,
    },
    /// A server that is the gateway itself.
    #[error(
        "{address} is the gateway's own listener {listener}: connections would run in a circle"
    )]
    BackendIsSelf {
        /// The server.
        address: String,
        /// The listener.
        listener: SocketAddr,
    },
    /// A key that means nothing for UDP alone, or for a KDC.
    #[error("{key} works for relayed TCP connections only")]
    TcpOnly {
        /// The key.
        key: &'static str,
    },
    /// A key about UDP of a stream that has none.
    #[error("this stream has no udp in its `protocols`")]
    NoUdp,
    /// Every server has weight 0.
    #[error("every backend has weight 0: nobody would be served")]
    NoWeight,
    /// Not a realm.
    #[error("`{text}` is no Kerberos realm")]
    Realm {
        /// As written.
        text: String,
    },
    /// A realm twice on one listener.
    #[error("the realm {realm} has its KDCs in kdc_proxy[{other}] already, on {listener} too")]
    RealmTwice {
        /// The realm.
        realm: String,
        /// Index of the other.
        other: usize,
        /// The listener of both.
        listener: SocketAddr,
    },
    /// TLS of its own, different from the console's on the same listener.
    #[error("{listener} is shared with {owner}, whose `tls` differs")]
    TlsDiffers {
        /// The address.
        listener: SocketAddr,
        /// The other one.
        owner: String,
    },
}

impl StreamFault {
    /// What to do about it.
    pub fn cure(&self) -> String {
        match self {
            Self::Name { .. } => {
                "Use lower-case letters, digits and `-`, such as \"presto\"".into()
            }
            Self::NameTwice { .. } => "Give each stream its own name".into(),
            Self::Backend { .. } => {
                "Write host:port, such as \"presto.example.com:9090\" or \"[2001:db8::1]:88\""
                    .into()
            }
            Self::BackendTwice { .. } => "Remove one".into(),
            Self::BackendIsSelf { .. } => {
                "Name the server behind the gateway, or listen on another address".into()
            }
            Self::TcpOnly { .. } => {
                "Remove it, or write a stream of its own with protocols = [\"tcp\"]".into()
            }
            Self::NoUdp => "Remove the key, or add \"udp\" to `protocols`".into(),
            Self::NoWeight => "Give one of them a weight of 1 or more".into(),
            Self::Realm { .. } => "Write it as the KDC does, such as \"EXAMPLE.COM\"".into(),
            Self::RealmTwice { .. } => "Write all KDCs of a realm into one table".into(),
            Self::TlsDiffers { .. } => "Leave `tls` out here, or write the same as there".into(),
        }
    }
}
