//! What speaks to the servers and to the gateway: one request, a load of them, SQL drivers.

pub(crate) mod client;
pub(crate) mod fetch;
pub(crate) mod load;
pub(crate) mod sql;
pub(crate) mod statement;
pub(crate) mod turns;
