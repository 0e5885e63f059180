//! stub
use std::{net::SocketAddr, time::Duration};
/// x
#[derive(Clone, Debug)]
pub struct AccessLog;
/// x
#[allow(missing_docs)]
#[derive(Debug)]
pub struct Entry<'a> { pub peer: Option<SocketAddr>, pub user: Option<&'a str>, pub method: &'a str, pub uri: &'a http::Uri, pub status: u16, pub bytes: u64, pub duration: Duration, pub console: &'a str, pub backend: Option<&'a str>, pub reason: Option<&'static str>, pub request_id: Option<&'a http::HeaderValue>, pub referer: Option<&'a http::HeaderValue>, pub user_agent: Option<&'a http::HeaderValue> }
impl AccessLog { 
/// x
pub fn is_on(&self) -> bool { false }
/// x
pub fn write(&self, _: &Entry<'_>) {} }
