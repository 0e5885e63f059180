//! Refuses ambiguous request framing beyond what hyper refuses, against request smuggling.
//!
//! hyper 1.12 itself refuses: differing or comma-separated `Content-Length`, folded headers, odd
//! chunk sizes, bare CR, `Transfer-Encoding` on HTTP/1.0 or not ending in `chunked`, NUL in values.
//! It tolerates bare LF, equal `Content-Length` copies and a missing `Host`, and of a request with
//! both framings it drops `Content-Length`: only the connection's own scan of the bytes can show
//! that to [`check`]. `tests/server.rs` pins each of these by raw bytes.

use std::sync::Arc;

use http::{HeaderMap, Request, header};
use http_body::Body;

use self::scan::FramingVerdict;
use crate::{refusal::Refusal, server::ConnInfo};

pub(super) mod scan;

/// The largest length of a body that Java's servers can parse into a `long`: one byte more is an error
/// there, or a negative number.
const MAX_LENGTH: u64 = i64::MAX.unsigned_abs();

/// Checks that the request's framing is unambiguous; has to come before anything else.
///
/// A request that this refuses is the last on its connection: the server adds `Connection: close` to
/// the response.
///
/// # Errors
/// [`Refusal::BadRequest`]: both `Content-Length` and `Transfer-Encoding`, a transfer coding other
/// than one plain `chunked`, or a length beyond 2⁶³ − 1 bytes.
pub fn check<B: Body>(request: &Request<B>) -> Result<(), Refusal> {
    let info = request.extensions().get::<Arc<ConnInfo>>();
    let ambiguous = info.is_some_and(|info| info.is_ambiguous());
    if ambiguous || request.body().size_hint().lower() > MAX_LENGTH {
        return Err(Refusal::BadRequest);
    }
    Ok(())
}

/// Whether a request is ambiguously framed, from the scan of its bytes and the headers that hyper left.
pub(super) fn is_ambiguous(verdict: FramingVerdict, headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => verdict == FramingVerdict::Both,
        // RFC 9112 section 6.1. Other codings would reach the backend undecoded. Where the bytes
        // before were malformed, a chunked body cannot be distinguished from two framings.
        (Some(only), None) => {
            verdict != FramingVerdict::Clean
                || !only.as_bytes().eq_ignore_ascii_case(b"chunked")
                || headers.contains_key(header::CONTENT_LENGTH)
        }
        (Some(_), Some(_)) => true,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::server::ListenerId;

    fn judge(verdict: FramingVerdict, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        is_ambiguous(verdict, request.body(()).unwrap().headers())
    }

    #[test]
    fn a_single_framing_is_accepted() {
        for headers in [
            &[][..],
            &[("transfer-encoding", "Chunked")],
            &[("content-length", "3")],
        ] {
            assert!(!judge(FramingVerdict::Clean, headers), "{headers:?}");
        }
        assert!(!judge(FramingVerdict::Unknown, &[("content-length", "3")]));
    }

    #[test]
    fn other_codings_and_double_framing_are_refused() {
        for headers in [
            &[("transfer-encoding", "gzip, chunked")][..],
            &[
                ("transfer-encoding", "gzip"),
                ("transfer-encoding", "chunked"),
            ],
            &[("transfer-encoding", "chunked"), ("content-length", "3")],
        ] {
            assert!(judge(FramingVerdict::Clean, headers), "{headers:?}");
        }
        let chunked = [("transfer-encoding", "chunked")];
        assert!(judge(FramingVerdict::Both, &chunked));
        assert!(judge(FramingVerdict::Unknown, &chunked));
    }

    #[test]
    fn a_request_marked_ambiguous_is_refused() {
        let any = SocketAddr::from(([127, 0, 0, 1], 1));
        let info = Arc::new(ConnInfo::new(any, any, ListenerId(0), false));
        let mut request = Request::new(http_body_util::Empty::<bytes::Bytes>::new());
        request.extensions_mut().insert(Arc::clone(&info));
        assert_eq!(check(&request), Ok(()));
        info.set_ambiguous(true);
        assert_eq!(check(&request), Err(Refusal::BadRequest));
    }
}
