//! # spnegate: a SPNEGO-terminating reverse proxy for Hadoop
//!
//! Clients log in to the gateway with SPNEGO (RFC 4559). The gateway logs in to `NameNode`,
//! `ResourceManager`, `JobHistoryServer`, Oozie, `WebHDFS`, `HttpFS`, `HiveServer2`, Presto, Trino
//! and Impala with the backend's own SPN, finds the active server of an HA pair, and keeps the
//! user's identity.
//!
//! The public part of the library is small: [`parse`] reads a configuration file, [`runtime`] starts
//! the gateway that it describes, and [`auth::spnego`] is the login as a [`tower`] layer, for use
//! before a service of your own, with the GSSAPI parts that it needs in [`gss`].
//!
//! ## The modules
//!
//! From top to bottom. A request travels downwards through this list, and no module imports one that
//! stands above it; `tests/layers.rs` compares the list with the imports.
//!
//! | module | contents |
//! |---|---|
//! | [`cli`] | the commands, one file each |
//! | [`runtime`] | builds the running gateway from a checked configuration |
//! | `config` | the TOML file: a tree with positions, then all problems at once or plain values |
//! | `admin` | health, metrics and the status page |
//! | `gateway` | the path of a request: routing, then the stack of its console |
//! | `upstream` | requests to backends: health, login, probes, balancing, pool, retries |
//! | `stream` | TCP and UDP relays, the KDC relay, MS-KKDCP |
//! | `kinds` | one small file per kind of console: data and pure functions |
//! | `rewrite` | addresses and cookies in responses: `Location`, `Set-Cookie`, pages, node links |
//! | `identity` | how the user is named to a backend, and what a client may not send |
//! | [`auth`] | the SPNEGO layer, sessions, cookies, `auth_to_local`, access rules |
//! | `server` | workers, listeners, TLS connections, timeouts, drain |
//! | [`gss`] | GSSAPI behind a safe interface: acceptor, initiator, keytabs |
//! | `tls` | keys, certificates and truststores: PEM, PKCS#12, JKS, reloaded on change |
//! | `refusal` | every reason to refuse a request: status, reason word, page |
//! | `balance` | load-balancing algorithms: pure functions, shared by consoles and streams |
//! | `telemetry` | metrics, access log, structured log |
//! | `net` | listening, the PROXY protocol, client addresses and limits per source |
//! | `der` | reads and writes the DER encoding of Kerberos messages |

pub mod auth;
pub mod cli;
pub mod gss;
pub mod runtime;
#[doc(hidden)]
pub mod testing;

pub use config::{Config, Problems, Warning, parse};
pub use refusal::Refusal;

mod admin;
mod balance;
mod config;
mod der;
mod gateway;
mod identity;
mod kinds;
mod net;
mod refusal;
mod rewrite;
mod server;
mod stream;
mod telemetry;
mod tls;
mod upstream;
