//! What the gateway tells its operators: metrics, the access log, the structured log.

pub(crate) mod access;
pub(crate) mod log;
pub(crate) mod metrics;
