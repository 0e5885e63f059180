//! What is checked of a request before a console has it: host, path, rate, request id.
//!
//! All of it is pure or nearly so, and runs before any login: these are the parts that a client
//! without a ticket can reach.

pub(crate) mod host;
pub(crate) mod id;
pub(crate) mod path;
pub(crate) mod rates;
