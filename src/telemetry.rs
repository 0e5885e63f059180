//! What the gateway tells its operators: metrics, the access log, the structured log.

pub mod access;
pub mod log;
pub mod metrics;
