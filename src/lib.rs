//! # spnegate: a Kerberos front door for Hadoop
//!
//! Clients log in to the gateway with SPNEGO (RFC 4559); the gateway logs in to `NameNode`,
//! `ResourceManager`, `JobHistoryServer`, Oozie, `WebHDFS` and `HttpFS` with the backend's own SPN,
//! finds the active server of an HA pair and keeps the user's identity.
//!
//! ## The map
//!
//! A request travels downwards through this list; nothing imports upwards.
//!
//! | module | noun |
//! |---|---|
//! | [`cli`] | one file per command |
//! | `config` | the TOML file → a tree with positions → all problems, or plain values |
//! | [`runtime`] | [`config::Config`] → live objects |
//! | `server` | workers, listeners, TLS, connections, timers, drain |
//! | `gateway` | **the** way of a request: route → console stack |
//! | [`auth`] | who is this? the SPNEGO layer, sessions, cookies, names, access rules |
//! | [`gss`] | the safe face of GSSAPI: acceptor and initiator threads, keytabs |
//! | `identity` | how a backend is told who the user is; what a client may not say |
//! | `upstream` | attempts at backends: state, login, probe, balance, pool |
//! | `balance` | which of several servers: pure, shared by consoles and streams |
//! | `kinds` | one small file per kind of console: data and pure functions |
//! | `rewrite` | `Location`, `Set-Cookie`, node links |
//! | `stream` | TCP and UDP relays, the KDC relay, MS-KKDCP |
//! | `tls` | keys, certificates and truststores: PEM, PKCS#12, JKS, watched |
//! | `telemetry` | metrics, access log, structured log |
//! | `admin` | health, metrics, status |
//! | `der` | reads and writes the DER of Kerberos |
//! | `source` | whose a request is, as far as fairness goes |
//! | `refusal` | every reason to refuse: status, reason word, page |

pub mod auth;
pub mod cli;
pub mod gss;
pub mod runtime;
#[doc(hidden)]
pub mod testing;

pub use config::{Config, Problems, Warning, parse};

mod admin;
mod balance;
mod body;
mod config;
mod der;
mod gateway;
mod identity;
mod kinds;
mod refusal;
mod rewrite;
mod server;
mod source;
mod stream;
mod telemetry;
mod tls;
mod upstream;
