//! What a console is: one small file per kind, data and pure functions over heads plus at most
//! [`PREFIX`] bytes of body; no I/O.
//!
//! A new kind is one new file here and its line in [`ALL`]. Every question has a default answer.

use std::fmt::Debug;

use http::{HeaderMap, Method, StatusCode};

mod generic;

/// The most bytes of a backend's body that a kind is shown.
pub const PREFIX: usize = 8 * 1024;

/// The head of a backend's answer.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Status code.
    pub status: StatusCode,
    /// The reason phrase as sent; Hadoop puts the Java exception there.
    pub reason: &'a [u8],
    /// Headers.
    pub headers: &'a HeaderMap,
}

/// What a kind needs to know of the request.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Method.
    pub method: &'a Method,
    /// Path as forwarded.
    pub path: &'a str,
    /// Query as the client sent it, without `?`.
    pub query: &'a str,
}

/// What a kind reads from a backend's answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// An answer for the client.
    Answer,
    /// The gateway's own login failed; log in again.
    LoginFailed,
    /// Not this one: nothing was done, ask the active one (`StandbyException`, 307 to a sibling).
    Standby,
}

/// What a probe's answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Serves, and is the active one (or the kind knows no such difference).
    Active,
    /// Alive, not active.
    Standby,
    /// Does not serve.
    Down,
}

/// How the gateway logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// One request to this path earns an authentication cookie, which is then kept.
    Cookie {
        /// A cheap protected path.
        path: &'static str,
    },
    /// A fresh token with every request (Presto, Trino).
    EveryRequest,
}

/// How a kind is told the user (`identity = "doas"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserField {
    /// A query parameter in exactly this spelling.
    Query(&'static str),
    /// A request header, lower case (`x-presto-user`).
    Header(&'static str),
    /// The kind cannot be told.
    Unsupported,
}

/// Where the gateway proves that `doAs` is obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Path that is answered under an identity.
    pub path: &'static str,
    /// Its query, without the identity parameter; may be empty.
    pub query: &'static str,
}

/// What the answer to a proof request says of the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obeys {
    /// It read the identity.
    Yes,
    /// It answered as if there were none.
    No,
    /// This answer says nothing (standby, error): ask again later.
    Unknown,
}

/// A kind of console.
pub trait Kind: Debug + Send + Sync + 'static {
    /// The word of the configuration file.
    fn name(&self) -> &'static str;

    /// Services that a client's ticket may name.
    fn services(&self) -> &'static [&'static str] {
        &["HTTP"]
    }

    /// How the gateway logs in.
    fn login(&self) -> Login {
        Login::Cookie { path: "/" }
    }

    /// Whether this answer says that the gateway's *login* failed (not that the user was refused).
    ///
    /// Default: a 401, or Hadoop's 403 whose reason phrase is a GSS or signer exception
    /// (`AuthenticationFilter`).
    fn login_failed(&self, head: &Head<'_>) -> bool {
        head.status == StatusCode::UNAUTHORIZED || hadoop_token_refused(head)
    }

    /// How the user is told.
    fn user_field(&self) -> UserField {
        UserField::Query("doAs")
    }

    /// Lower-case names of query parameters by which a client could say who it is; all are cut.
    fn identity_parameters(&self) -> &'static [&'static str] {
        &["doas", "user.name", "delegation", "namenoderpcaddress"]
    }

    /// Lower-case names of headers by which a client could say who it is, beyond the common list.
    fn identity_headers(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether the backend reads identity parameters from form bodies too.
    fn reads_forms(&self) -> bool {
        true
    }

    /// Where to prove that the identity is obeyed; `None`: cannot be proven, `doas` is refused.
    fn proof(&self) -> Option<Proof> {
        None
    }

    /// Reads the answer to a proof request made with a user that no rule allows; `empty` is set
    /// when the identity sent was the empty string.
    fn obeys(&self, head: &Head<'_>, body: &[u8], empty: bool) -> Obeys {
        let _ = (head, body, empty);
        Obeys::Unknown
    }

    /// Path and query of the health probe.
    fn probe(&self) -> &'static str {
        "/"
    }

    /// Reads the probe's answer.
    fn health(&self, head: &Head<'_>, body: &[u8]) -> Health {
        let _ = body;
        if head.status.is_server_error() {
            Health::Down
        } else {
            Health::Active
        }
    }

    /// Whether [`Kind::verdict`] needs the start of the body to judge this answer.
    fn needs_body(&self, head: &Head<'_>) -> bool {
        let _ = head;
        false
    }

    /// Judges an answer; `body` is empty unless [`Kind::needs_body`] said so. `siblings` are the
    /// `host:port` of the console's other backends.
    fn verdict(
        &self,
        asked: &Asked<'_>,
        head: &Head<'_>,
        body: &[u8],
        siblings: &[&str],
    ) -> Verdict {
        let _ = (asked, body, siblings);
        if self.login_failed(head) {
            Verdict::LoginFailed
        } else {
            Verdict::Answer
        }
    }

    /// Whether a `Location` (or the JSON of a `noredirect=true`) of this answer may lead to a node
    /// with a bearer secret in it, and is to be signed.
    fn hands_out_nodes(&self, asked: &Asked<'_>) -> bool {
        let _ = asked;
        false
    }

    /// Cookies of the backend that its scripts read by name and that keep theirs.
    fn script_cookies(&self) -> &'static [&'static str] {
        &[]
    }
}

/// The kinds of this version.
pub static ALL: &[&dyn Kind] = &[&generic::Generic];

/// Whether this is the 403 by which Hadoop's `AuthenticationFilter` refuses a *token*: the Java
/// exception stands in the reason phrase and there is no body about a user.
pub fn hadoop_token_refused(head: &Head<'_>) -> bool {
    let reason = head.reason;
    head.status == StatusCode::FORBIDDEN
        && (reason.starts_with(b"GSSException") || reason.starts_with(b"java."))
}
