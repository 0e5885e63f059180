//! Not part of the API: what the tests in `tests/`, the fuzz targets and the benchmark reach into.
//!
//! The modules themselves are private, so that rustc reports code that nothing uses. Modules are
//! named here item by item for the same reason.

pub use crate::{
    auth::session::unix_now,
    balance::{Algorithm, BalanceState, Candidate, choose, stable_hash},
    cli::keytab::{ListArguments, MergeArguments, VerifyArguments, list, merge, verify},
    der::{element, integer},
    gss::{
        ap_req::ApReq,
        keytab::{Enctype, Entry},
        peek::{Peek, peek},
        spnego_wrapper::SpnegoWrapper,
    },
    kinds::IMPERSONATION_PROBE_USER,
    net::{BindError, Drained, SourcePolicy},
    refusal::{Refusal, page::instead::name_for},
    rewrite::{Rewriter, addresses::Addresses, node::Nodes, pages::Pages, url::Link},
    server::{
        ConnInfo, Listener, Redirect, RequestBody, Role, Server, ServerOptions, ServerTimeouts,
        ServerTls, Tls, WorkerIndex, start,
    },
    stream::Reason,
    telemetry::{
        access::{AccessLog, AccessLogTarget},
        log::LogFormat,
    },
    tls::{KeySource, MinVersion, store::certificates},
};

pub mod negotiate {
    pub use crate::auth::negotiate::token;
}
pub mod schema {
    pub use crate::config::schema::SECTIONS;
}
pub mod cookies {
    pub use crate::identity::cookies::request;
}
pub mod credentials {
    pub use crate::identity::credentials::asks_for_one;
}
pub mod form {
    pub use crate::identity::form::{FormScanner, is_form};
}
pub mod headers {
    pub use crate::identity::headers::strip;
}
pub mod own_page {
    pub use crate::rewrite::own_page::OwnPage;
}
pub mod query {
    pub use crate::identity::query::{compose, scrub};
}
pub mod thrift {
    pub use crate::identity::thrift::{ActingAs, CallReader, ThriftError};
}
pub mod host {
    pub use crate::gateway::request::host::find;
}
pub mod path {
    pub use crate::gateway::request::path::{AllowedEscapes, check};
}
pub mod link {
    pub use crate::rewrite::link::{LinkKey, Signer};
}
pub mod json {
    pub use crate::rewrite::json::rewrite_location;
}
pub mod location {
    pub use crate::rewrite::location::{LinkRewrite, apply, rewrite};
}
pub mod node {
    pub use crate::rewrite::node::{NodePolicy, PREFIX, link, open};
}
pub mod own_link {
    pub use crate::rewrite::own_link::{PREFIX, open};
}
pub mod set_cookie {
    pub use crate::rewrite::set_cookie::{CookieRewrite, rewrite};
}
pub mod framing {
    pub use crate::server::framing::check;
}
pub mod forwarded_for {
    pub use crate::server::forwarded_for::{NAME, client};
}
pub mod proxy_protocol {
    pub use crate::net::proxy_protocol::{Progress, Version, header, read};
}
pub mod message {
    pub use crate::stream::kdc::{
        MAX_MESSAGE,
        message::{KdcRequest, KrbErrorCode, classify, error, is_error},
    };
}
pub mod kkdcp {
    pub use crate::stream::kdc::kkdcp::{read, write};
}
pub mod http1 {
    pub use crate::upstream::http1::{Heads, Http1Error};
}

/// The configuration's rules, for tests of the documented ones.
pub fn auth_to_local(config: &crate::Config) -> &crate::auth::names::AuthToLocal {
    &config.kerberos.auth_to_local
}
