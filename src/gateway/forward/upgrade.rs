//! WebSocket and other upgrades: after the login, and only once the backend has agreed, the
//! connection becomes a tunnel (RFC 9110 section 7.8).
//!
//! On the request path: beside ordinary requests. Pages of other sites are refused by the access rules
//! ([`crate::auth::origin`]); the tunnel itself belongs to the server.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version, header, request::Parts};

use crate::{
    auth::session::{Session, unix_now},
    gateway::{body::Body, console::Console},
    identity::headers,
    refusal::Refusal,
    server::{Tunnel, TunnelBackend},
    upstream::dispatch::{BackendResponse, Outgoing},
};

/// The protocol that a request asks to change to, if that is allowed: a single one, in a GET without a
/// body on HTTP/1.1. Any other `Upgrade` is ignored (RFC 9110 section 7.8 allows that).
pub(crate) fn requested(parts: &Parts, has_body: bool) -> Option<HeaderValue> {
    let mut protocols = parts.headers.get_all(header::UPGRADE).iter();
    let (Some(protocol), None) = (protocols.next(), protocols.next()) else {
        return None;
    };
    let fits = parts.method == Method::GET
        && parts.version == Version::HTTP_11
        && !has_body
        && asks_for_upgrade(&parts.headers)
        && is_foreign(protocol.as_bytes());
    fits.then(|| protocol.clone())
}

fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    let tokens = |value: &'_ HeaderValue| {
        let mut tokens = value.as_bytes().split(|byte| *byte == b',');
        tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    };
    headers.get_all(header::CONNECTION).iter().any(tokens)
}

/// Whether this is one protocol, and not HTTP itself.
fn is_foreign(protocol: &[u8]) -> bool {
    // `h2c` would be a tunnel through which a client sends requests that no rule of the gateway sees.
    let name = protocol
        .split(|byte| *byte == b'/')
        .next()
        .unwrap_or_default();
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._/".contains(byte);
    let ours = ["h2c", "h2", "h3", "http", "tls"];
    !name.is_empty()
        && protocol.iter().all(token)
        && !ours
            .iter()
            .any(|own| name.eq_ignore_ascii_case(own.as_bytes()))
}

/// Asks a backend for the upgrade. Called after hop-by-hop headers have been stripped.
pub(crate) fn set(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, protocol);
}

pub(crate) fn is_accepted(received: &BackendResponse) -> bool {
    received.parts.status == StatusCode::SWITCHING_PROTOCOLS
}

/// The 101 for the client, with the tunnel that the server keeps open until the session ends.
pub(crate) fn response(
    received: BackendResponse,
    out: &Outgoing,
    session: &Arc<Session>,
    console: &Console,
    tls: bool,
) -> Result<Response<Body>, Refusal> {
    let BackendResponse {
        mut parts,
        mut lease,
        by_token,
        ..
    } = received;
    // The backend may choose only what was offered (RFC 9110 section 7.8), and that was one protocol.
    let same = |chosen: &&HeaderValue| {
        let offered = out.headers.get(header::UPGRADE);
        offered.is_some_and(|offered| offered.as_bytes().eq_ignore_ascii_case(chosen.as_bytes()))
    };
    let chosen = parts.headers.get(header::UPGRADE).filter(same);
    let protocol = chosen.cloned().ok_or(Refusal::BackendBroken)?;
    // The tunnel counts as a request of the backend until it ends, for its limits and for balancing.
    let held = lease.in_flight.take();
    let (wire, said) = lease.connection.into_parts();
    let left = session.expires().saturating_sub(unix_now());
    let tunnel = Tunnel {
        backend: TunnelBackend::new(wire, said),
        left: Duration::from_secs(left),
        revoked: Arc::new({
            let (sessions, session) = (console.sessions.clone(), Arc::clone(session));
            move || sessions.is_revoked(&session)
        }),
        held: Arc::new(held),
    };
    headers::strip_response(&mut parts.headers);
    console.give_cookies(&mut parts.headers, by_token, tls);
    set(&mut parts.headers, protocol);
    parts.extensions.insert(tunnel);
    Ok(Response::from_parts(parts, Body::Empty))
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    fn asks(method: &str, lines: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().method(method);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        requested(&parts, false).is_some()
    }

    #[test]
    fn one_foreign_protocol_may_be_asked_for() {
        let connection = ("connection", "keep-alive, Upgrade");
        assert!(asks("GET", &[connection, ("upgrade", "websocket")]));
        assert!(asks("GET", &[connection, ("upgrade", "SPDY/3.1")]));
        assert!(!asks("POST", &[connection, ("upgrade", "websocket")]));
        assert!(!asks("GET", &[("upgrade", "websocket")]));
        assert!(!asks("GET", &[connection]));
        let twice = [connection, ("upgrade", "websocket"), ("upgrade", "foo")];
        assert!(!asks("GET", &twice));
        for protocol in [
            "h2c",
            "H2C",
            "HTTP/2.0",
            "TLS/1.0",
            "websocket, h2c",
            "",
            "a b",
        ] {
            assert!(
                !asks("GET", &[connection, ("upgrade", protocol)]),
                "{protocol}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_spelling_of_h2c_is_foreign(protocol in prop::collection::vec(any::<u8>(), 0..20)) {
            if is_foreign(&protocol) {
                prop_assert!(!protocol.to_ascii_lowercase().starts_with(b"h2c"));
                prop_assert!(!protocol.contains(&b','));
            }
        }
    }
}
