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
//! | [`config`] | the TOML file → a tree with positions → all problems, or plain values |
//! | [`runtime`] | [`config::Config`] → live objects |
//! | [`server`] | workers, listeners, TLS, connections, timers, drain |
//! | [`gateway`] | **the** way of a request: route → console stack |
//! | [`auth`] | who is this? the SPNEGO layer, sessions, cookies, names, access rules |
//! | [`gss`] | the safe face of GSSAPI: acceptor and initiator threads, keytabs |
//! | [`identity`] | how a backend is told who the user is; what a client may not say |
//! | [`upstream`] | attempts at backends: state, login, probe, balance, pool |
//! | [`balance`] | which of several servers: pure, shared by consoles and streams |
//! | [`kinds`] | one small file per kind of console: data and pure functions |
//! | [`rewrite`] | `Location`, `Set-Cookie`, node links |
//! | [`stream`] | TCP and UDP relays, the KDC relay, MS-KKDCP |
//! | [`tls`] | keys, certificates and truststores: PEM, PKCS#12, JKS, watched |
//! | [`telemetry`] | metrics, access log, structured log |
//! | [`admin`] | health, metrics, status |
//! | [`der`] | reads and writes the DER of Kerberos |
//! | `source` | whose a request is, as far as fairness goes |
//! | [`refusal`] | every reason to refuse: status, reason word, page |

pub mod admin;
pub mod auth;
pub mod balance;
pub mod body;
pub mod cli;
pub mod config;
pub mod der;
pub mod gateway;
pub mod gss;
pub mod identity;
pub mod kinds;
pub mod refusal;
pub mod rewrite;
pub mod runtime;
pub mod server;
mod source;
pub mod stream;
pub mod telemetry;
pub mod tls;
pub mod upstream;
