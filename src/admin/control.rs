//! `POST /backends/<console>/<host:port>/<state>`: takes a backend out of service, or puts it
//! back.
//!
//! The admin listener has no login, so only this machine may change something. The client needs a
//! loopback address; it has to send a header, which pages of other sites cannot do without a CORS
//! preflight; and `Host` has to name this machine, which it does not after DNS rebinding (a site that
//! resolves its own name to `127.0.0.1`).

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::balance::AdminState;

/// A request header that pages of other sites cannot send.
pub(crate) const HEADER: &str = "x-spnegate-admin";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// Name of a console or stream.
    pub console: String,
    /// `host:port` of its backend.
    pub backend: String,
    pub state: AdminState,
}

/// Changes the administrative state of a backend.
pub(crate) type Assign = Arc<dyn Fn(&Assignment) -> Result<(), ControlError> + Send + Sync>;

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ControlError {
    /// The client is not on this machine, or may be a browser.
    #[error(
        "only allowed from this machine with the header X-Spnegate-Admin; use `spnegate backend` on \
         the gateway's host"
    )]
    Foreign,
    #[error("not found; use POST /backends/CONSOLE/HOST:PORT/drain, …/maintenance or …/ready")]
    Path,
    #[error("no console or stream has the name `{0}`; the status page lists them")]
    Console(String),
    #[error("`{console}` has no backend `{backend}`; its backends are {known}")]
    Backend {
        console: String,
        backend: String,
        known: String,
    },
}

impl ControlError {
    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::Foreign => StatusCode::FORBIDDEN,
            Self::Path | Self::Console(_) | Self::Backend { .. } => StatusCode::NOT_FOUND,
        }
    }
}

/// Reads a request to change a state.
///
/// # Errors
/// [`ControlError`]
pub(crate) fn read(
    peer: IpAddr,
    headers: &HeaderMap,
    path: &str,
) -> Result<Assignment, ControlError> {
    let host_is_local = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .is_some_and(names_this_machine);
    // A page of another site cannot send this header: the browser would ask first with OPTIONS (a
    // CORS preflight), which is not allowed.
    let has_header = headers.get(HEADER).map(HeaderValue::as_bytes) == Some(b"yes");
    // A client by IPv4 appears as ::ffff:127.0.0.1 on a socket that listens on [::].
    if !(peer.to_canonical().is_loopback() && host_is_local && has_header) {
        return Err(ControlError::Foreign);
    }
    let mut segments = path.strip_prefix("/backends/").unwrap_or("").split('/');
    let (Some(console), Some(backend), Some(word), None) = (
        segments.next(),
        segments.next(),
        segments.next(),
        segments.next(),
    ) else {
        return Err(ControlError::Path);
    };
    let state = AdminState::ALL
        .into_iter()
        .find(|state| state.as_str() == word);
    Ok(Assignment {
        console: console.to_owned(),
        backend: backend.to_owned(),
        state: state.ok_or(ControlError::Path)?,
    })
}

fn names_this_machine(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        // The last colon of `[::1]` is one of the address.
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        Some(_) | None => authority,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn headers(host: &str, has_header: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        if has_header {
            headers.insert(HEADER, HeaderValue::from_static("yes"));
        }
        headers
    }

    #[test]
    fn a_path_names_console_backend_and_state() {
        let path = "/backends/nn/nn1.example.com:50070/drain";
        let read = read(LOCAL, &headers("127.0.0.1:9095", true), path);
        let wanted = Assignment {
            console: "nn".to_owned(),
            backend: "nn1.example.com:50070".to_owned(),
            state: AdminState::Drain,
        };
        assert_eq!(read, Ok(wanted));
    }

    #[test]
    fn other_machines_and_browsers_are_refused() {
        let path = "/backends/nn/nn1:1/ready";
        let remote: IpAddr = "192.0.2.1".parse().unwrap();
        for (peer, host, has_header) in [
            (remote, "127.0.0.1:9095", true),
            (LOCAL, "127.0.0.1:9095", false),
            (LOCAL, "rebound.example.org:9095", true),
        ] {
            let read = read(peer, &headers(host, has_header), path);
            assert_eq!(
                read,
                Err(ControlError::Foreign),
                "{peer} {host} {has_header}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_path_is_read_or_refused_without_panic(path in ".*", tail in "[a-z0-9:./-]*") {
            let headers = headers("[::1]:9095", true);
            for path in [path, format!("/backends/{tail}")] {
                let _ = read(LOCAL, &headers, &path);
            }
        }
    }
}
