//! A proxy together with a session on it.

use std::net::SocketAddrV4;

use anyhow::{Context, Result};

use super::{client::Client, peer::Peer, stage::Stage, who::Who};

/// A proxy, and the cookie of a session if it has sessions.
#[derive(Debug)]
pub struct Contender<'a> {
    /// The running peer.
    pub peer: &'a Peer,
    /// `name=value`
    pub cookie: Option<String>,
}

impl<'a> Contender<'a> {
    /// Logs in by SPNEGO if the proxy authenticates.
    pub fn log_in(stage: &Stage, peer: &'a Peer, path: &str) -> Result<Contender<'a>> {
        let name = match peer.who {
            Who::Gateway | Who::GatewayLogged => Some(Peer::GATEWAY_COOKIE),
            Who::Httpd => Some(Peer::HTTPD_COOKIE),
            Who::Direct
            | Who::DirectDoAs
            | Who::Haproxy
            | Who::HaproxyDoAs
            | Who::Nginx
            | Who::BareLoop => None,
        };
        let cookie = name.map(|name| session(stage, peer, path, name));
        Ok(Contender {
            peer,
            cookie: cookie.transpose()?,
        })
    }

    /// A GET with the session's cookie.
    pub fn get(&self, path: &str) -> Vec<u8> {
        let cookie = self.cookie.as_ref();
        let cookie = cookie.map_or_else(String::new, |cookie| format!("Cookie: {cookie}\r\n"));
        request("GET", path, self.peer.address, &cookie)
    }
}

/// Logs in, asserts that it worked, and returns the session's cookie.
fn session(stage: &Stage, peer: &Peer, path: &str, name: &str) -> Result<String> {
    let token = stage.tokens(1)?;
    let mut client = Client::connect(peer.target())?;
    let answer = client.exchange(&login(path, peer.address, &token[0], false))?;
    answer
        .must_have(200)
        .with_context(|| format!("login at {} failed; {}", peer.who, peer.last_words()))?;
    let cookie = answer.cookie(name);
    cookie.with_context(|| format!("{} gave no cookie {name}", peer.who))
}

/// A GET with a token; `last`: the connection ends with it.
pub fn login(path: &str, address: SocketAddrV4, token: &str, last: bool) -> Vec<u8> {
    let close = if last { "Connection: close\r\n" } else { "" };
    let headers = format!("Authorization: Negotiate {token}\r\n{close}");
    request("GET", path, address, &headers)
}

/// A request without a body; `headers` are whole lines.
pub fn request(method: &str, path: &str, address: SocketAddrV4, headers: &str) -> Vec<u8> {
    let (host, port) = (super::stage::PROXY, address.port());
    format!("{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: */*\r\n{headers}\r\n")
        .into_bytes()
}
