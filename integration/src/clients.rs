//! Clients of the servers and of the gateway: single requests, load, SQL drivers.

pub(crate) mod client;
pub(crate) mod fetch;
pub(crate) mod load;
pub(crate) mod sql;
pub(crate) mod statement;
pub(crate) mod turns;
