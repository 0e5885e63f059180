//! The whole gateway in this process, in front of raw TCP backends in a throwaway realm: every
//! refusal, and every rule of an authenticating proxy checked by the bytes that a backend received.
//!
//! A test builds its own servers: `backend().responds(…)`, `gateway().console("namenode")
//! .identity("doas").backend(&b).run()`, `gateway.ask("GET /x").by("alice").response()`. The
//! gateways share a secret with the tests, which therefore create session cookies without a login.
#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    clippy::similar_names,
    clippy::format_push_string,
    clippy::large_stack_arrays,
    clippy::wrong_self_convention,
    clippy::assigning_clones,
    clippy::single_char_pattern,
    clippy::too_many_lines,
    unreachable_pub,
    missing_docs,
    reason = "tests and their helpers"
)]

#[path = "../support/realm.rs"]
mod realm;

mod backend;
mod client;
mod front;
mod proxy;
mod world;

mod addresses;
mod backend_login;
mod backend_tls;
mod balance;
mod certificates;
mod claims;
mod cookies;
mod coordinators;
mod endings;
mod failover;
mod faults;
mod forms;
mod framing;
mod headers;
mod hold;
mod http2;
mod impersonation;
mod keys;
mod legs;
mod link_logins;
mod links;
mod logs;
mod mixups;
mod mutual;
mod nodes;
mod paths;
mod refusals;
mod responses;
mod sessions;
mod sources;
mod thrift;
mod tickets;
mod upgrades;
mod uploads;
