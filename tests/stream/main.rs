//! Streams, the KDC relay and MS-KKDCP, with the gateway in this process: raw sockets on both sides, and
//! the Kerberos clients of MIT and Java with temporary realms.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    reason = "tests and their helpers"
)]

#[path = "../support/realm.rs"]
mod realm;

mod gateway;
mod kerberos;
mod server;

mod drain;
mod kdc;
mod kkdcp;
mod limits;
mod namespace;
mod password;
mod proxy_header;
mod tcp;
mod udp;
