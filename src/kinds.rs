//! What a console publishes: one small file per kind of server.
//!
//! A [`Kind`] is data and pure functions over heads plus at most [`PREFIX`] bytes of a body. It does no
//! I/O and keeps no state: the attempt loop, the probes and the rewriting ask it, and do the work. So a
//! kind can be tested with three lines, and a wrong one cannot hang or leak a connection.
//!
//! # How to add a kind
//!
//! A new kind of console is one new file in `kinds/`, its line in the list below, and nothing else:
//! nothing outside this folder names a kind. If the trait is not enough, extend the trait, with a
//! default that leaves the other kinds alone.
//!
//! 1. Read the server's source for the questions below, and record its responses with `curl -i`. A kind is
//!    a record of what a server does; each entry names the class that it comes from.
//! 2. Write `kinds/<name>.rs` with a type that implements [`Kind`]. Answer what differs from the
//!    defaults, at least:
//!    - [`services`](Kind::services): which services may a client's ticket name?
//!    - [`login`](Kind::login), [`login_failed`](Kind::login_failed): how does the gateway log in, and
//!      which response says that the *login* failed, not the user?
//!    - [`user_field`](Kind::user_field), [`identity_parameters`](Kind::identity_parameters),
//!      [`identity_headers`](Kind::identity_headers), [`reads_forms`](Kind::reads_forms): how is the user named,
//!      and by what could a client name another one?
//!    - [`impersonation_probe`](Kind::impersonation_probe),
//!      [`check_impersonation`](Kind::check_impersonation): what shows that the server honours the user?
//!      Without an answer the console cannot use `identity = "doas"`.
//!    - [`probe`](Kind::probe), [`health`](Kind::health): is the server alive, is it the active one?
//!    - [`verdict`](Kind::verdict): which response says "nothing was done, ask another server"?
//!    - [`body_names_addresses`](Kind::body_names_addresses),
//!      [`pages_name_servers`](Kind::pages_name_servers), [`redirects_to_nodes`](Kind::redirects_to_nodes):
//!      which links leave the server?
//! 3. Add the module and its entry in [`ALL`] below, in alphabetical order. The configuration, its
//!    error messages and the status page take the name from there.
//! 4. Test it in the same file with recorded responses (`kinds/tests.rs` builds them).
//! 5. Add a page to `docs/` and a server to the lab in `integration/`, with a test that logs in, acts for
//!    a user and is refused for another.

use std::sync::LazyLock;

use http::{HeaderMap, Method, StatusCode, Uri, request::Parts};

mod coordinator;
mod generic;
mod hadoop;
mod hiveserver2;
mod httpfs;
mod impala;
mod impersonation;
mod jobhistory;
mod kind;
mod namenode;
mod oozie;
mod presto;
mod resourcemanager;
mod thrift;
mod trino;

#[cfg(test)]
mod tests;

pub use impersonation::IMPERSONATION_PROBE_USER;
pub(crate) use impersonation::{
    ImpersonationCheck, ImpersonationDenial, ImpersonationProbe, Remedy,
};
pub(crate) use kind::Kind;

/// All kinds.
pub(crate) static ALL: &[&dyn Kind] = &[
    &generic::Generic,
    &hiveserver2::HIVESERVER2,
    &httpfs::HttpFs,
    &impala::IMPALA,
    &jobhistory::JobHistory,
    &namenode::NameNode,
    &oozie::Oozie,
    &presto::PRESTO,
    &resourcemanager::ResourceManager,
    &trino::TRINO,
];

/// The most bytes of a backend's body that a kind is shown.
pub(crate) const PREFIX: usize = 8 * 1024;

/// What a kind is shown of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestInfo<'a> {
    pub method: &'a Method,
    /// Path as forwarded.
    pub path: &'a str,
    /// Query as the client sent it, without `?`.
    pub query: &'a str,
}

impl<'a> RequestInfo<'a> {
    /// `query` is an argument, because the query of a request that goes to a backend can begin with
    /// the gateway's own `doAs`, which kinds must not take for the client's.
    pub(crate) fn new(method: &'a Method, uri: &'a Uri, query: &'a str) -> Self {
        Self {
            method,
            path: uri.path(),
            query,
        }
    }

    /// Of a request as the client sent it.
    pub(crate) fn of(parts: &'a Parts) -> Self {
        Self::new(&parts.method, &parts.uri, parts.uri.query().unwrap_or(""))
    }
}

/// What a kind is shown of a response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseInfo<'a> {
    pub status: StatusCode,
    /// The reason phrase as sent; Hadoop puts the Java exception into it.
    pub reason: &'a [u8],
    pub headers: &'a HeaderMap,
}

/// What a response means for the attempt loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The response is for the client.
    Final,
    /// The gateway's own login failed: log in again.
    LoginFailed,
    /// The server is not the active one and did nothing: ask another (`StandbyException`, 307 to a
    /// sibling).
    Standby,
    /// The server does not own what the request is about and did nothing: another may.
    NotOwner,
}

/// Who sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Clients, and the pages of the server.
    Clients,
    /// Clients that log in to the server with a form. The form names a user, so it is forwarded only if
    /// `identity = "none"`.
    LoginForm,
    /// Other servers of the cluster, and its administrators. Never forwarded.
    Internal,
}

/// What the response to a health probe says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// The server serves, and is the active one if the kind has standbys.
    Active,
    /// Alive, not active.
    Standby,
    /// Does not serve.
    Down,
    /// Alive, but has no such page: ask [`Kind::probe_fallback`]. The same as `Down` if there is none,
    /// or if the fallback has no such page either.
    NoSuchProbe,
}

/// How the gateway logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// One request to this path earns an authentication cookie, which is kept.
    Cookie {
        /// A cheap protected page, with its query. Its status does not matter (a standby may respond
        /// with 405), only the cookie does.
        path: &'static str,
    },
    /// A new token with every request (Presto, Trino).
    EveryRequest,
}

/// The field of a request that names the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserField {
    /// A query parameter in exactly this spelling.
    Query(&'static str),
    /// A request header, lower case (`x-presto-user`).
    Header(&'static str),
}

/// All headers by which a client could name a user to a server of any kind.
///
/// They are removed on every console, whatever its kind: a `generic` console, or one with the wrong
/// kind, may publish any of these servers.
pub(crate) fn identity_headers() -> &'static [&'static str] {
    static HEADERS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
        let all = ALL.iter().flat_map(|kind| kind.identity_headers());
        let mut headers: Vec<_> = all.copied().collect();
        headers.sort_unstable();
        headers.dedup();
        headers
    });
    &HEADERS
}

#[cfg(test)]
pub(crate) fn named(name: &str) -> Option<&'static dyn Kind> {
    ALL.iter().copied().find(|kind| kind.name() == name)
}
