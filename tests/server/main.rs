//! The server by raw bytes: what hyper and we refuse, timers, parking, drain, TLS, limits.
#![expect(clippy::unwrap_used, reason = "tests")]

mod connections;
mod drain;
mod framing;
mod harness;
mod http2;
mod sources;
mod timers;
mod tls;
