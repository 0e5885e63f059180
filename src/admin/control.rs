//! `POST /backends/<console>/<host:port>/<duty>`: takes a backend out of service, or back in.
//!
//! The admin listener has no login, so what changes something is for this machine alone: the client
//! must be on a loopback address, send a header that no other site's page can send without asking
//! first (CORS), and name this machine by an address, which a page that turned its own name into
//! `127.0.0.1` does not.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::balance::AdminState;

/// The header that says that this is no browser.
pub(crate) const HEADER: &str = "x-spnegate-admin";

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// The name of a console or stream.
    pub console: String,
    /// `host:port` of its backend.
    pub backend: String,
    /// What it is to do.
    pub duty: AdminState,
}

/// Carries out what is asked for.
pub(crate) type Assign = Arc<dyn Fn(&Assignment) -> Result<(), ControlError> + Send + Sync>;

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ControlError {
    /// It comes from elsewhere.
    #[error(
        "only from this machine, with the header X-Spnegate-Admin: use `spnegate backend` on the \
         gateway's host"
    )]
    Foreign,
    /// Not such a path.
    #[error("POST /backends/CONSOLE/HOST:PORT/drain, …/maintenance or …/ready")]
    Path,
    /// No such console.
    #[error("there is no console or stream `{0}`; the status page has their names")]
    Console(String),
    /// No such backend.
    #[error("`{console}` has no backend `{backend}`; it has {known}")]
    Backend {
        /// The console.
        console: String,
        /// What was asked for.
        backend: String,
        /// What there is.
        known: String,
    },
}

impl ControlError {
    /// As an answer.
    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::Foreign => StatusCode::FORBIDDEN,
            Self::Path | Self::Console(_) | Self::Backend { .. } => StatusCode::NOT_FOUND,
        }
    }
}

/// Reads a request to change something.
///
/// # Errors
/// [`ControlError`]
pub(crate) fn read(
    peer: IpAddr,
    headers: &HeaderMap,
    path: &str,
) -> Result<Assignment, ControlError> {
    let by_address = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .is_some_and(names_this_machine);
    let said = headers.get(HEADER).map(HeaderValue::as_bytes) == Some(b"yes");
    if !(peer.to_canonical().is_loopback() && by_address && said) {
        return Err(ControlError::Foreign);
    }
    let mut pieces = path.strip_prefix("/backends/").unwrap_or("").split('/');
    let (Some(console), Some(backend), Some(word), None) =
        (pieces.next(), pieces.next(), pieces.next(), pieces.next())
    else {
        return Err(ControlError::Path);
    };
    let duty = AdminState::ALL
        .into_iter()
        .find(|duty| duty.as_str() == word);
    Ok(Assignment {
        console: console.to_owned(),
        backend: backend.to_owned(),
        duty: duty.ok_or(ControlError::Path)?,
    })
}

fn names_this_machine(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
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

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn headers(host: &str, said: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        if said {
            headers.insert(HEADER, HeaderValue::from_static("yes"));
        }
        headers
    }

    #[test]
    fn a_path_names_console_backend_and_duty() {
        let path = "/backends/nn/nn1.example.com:50070/drain";
        let read = read(HERE, &headers("127.0.0.1:9095", true), path);
        let wanted = Assignment {
            console: "nn".to_owned(),
            backend: "nn1.example.com:50070".to_owned(),
            duty: AdminState::Drain,
        };
        assert_eq!(read, Ok(wanted));
    }

    #[test]
    fn other_machines_and_pages_of_browsers_change_nothing() {
        let path = "/backends/nn/nn1:1/ready";
        let far: IpAddr = "192.0.2.1".parse().unwrap();
        for (peer, host, said) in [
            (far, "127.0.0.1:9095", true),
            (HERE, "127.0.0.1:9095", false),
            (HERE, "rebound.example.org:9095", true),
        ] {
            let read = read(peer, &headers(host, said), path);
            assert_eq!(read, Err(ControlError::Foreign), "{peer} {host} {said}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_read_or_refused(path in ".*", tail in "[a-z0-9:./-]*") {
            let headers = headers("[::1]:9095", true);
            for path in [path, format!("/backends/{tail}")] {
                let _ = read(HERE, &headers, &path);
            }
        }
    }
}
