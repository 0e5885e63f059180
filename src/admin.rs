//! stub
use std::net::SocketAddr;
/// x
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct AdminError;
/// x
#[derive(Debug)]
pub struct Admin;
impl Admin {
/// x
pub fn start<S>(_: SocketAddr, _: &tokio::runtime::Handle, _: metrics_exporter_prometheus::PrometheusHandle, _: S) -> Result<Self, AdminError> { Err(AdminError) }
/// x
pub fn address(&self) -> SocketAddr { ([0,0,0,0],0).into() }
}
