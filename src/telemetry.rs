//! Metrics, the access log and the structured log.

pub(crate) mod access;
pub(crate) mod log;
pub(crate) mod metrics;
