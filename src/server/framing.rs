//! What of a request's framing the gateway refuses beyond what hyper does.
//!
//! hyper 1.12 refuses by itself: differing or comma-separated `Content-Length`, folded headers, odd
//! chunk sizes, bare CR, `Transfer-Encoding` on HTTP/1.0 or not ending in `chunked`, NUL in values.
//! It tolerates bare LF, equal `Content-Length` copies and a missing `Host`, and of a request with
//! both framings it drops `Content-Length`: [`check`] sees that one by the connection's own scan of
//! the bytes. `tests/server.rs` pins each of these by raw bytes.

use std::sync::Arc;

use http::{HeaderMap, Request, header};
use http_body::Body;

use self::scan::Verdict;
use crate::{refusal::Refusal, server::ConnInfo};

pub(super) mod scan;

/// The largest length of a body, as Java's servers read it: one byte more is an error of theirs, or a
/// negative number.
const MAX_LENGTH: u64 = i64::MAX.unsigned_abs();

/// Whether the request's framing is unambiguous; to be asked before anything else.
///
/// A request that this refuses is the last on its connection: the server adds
/// `Connection: close` to whatever answers it.
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

/// Judges a request once, when it leaves hyper, from its bytes and its headers.
pub(super) fn is_ambiguous(verdict: Verdict, headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => verdict == Verdict::Both,
        // RFC 9112 section 6.1; other codings would pass through to the backend undecoded. Where
        // the bytes before were malformed, a chunked body cannot be told from two framings
        (Some(only), None) => {
            verdict != Verdict::Clean
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

    fn judge(verdict: Verdict, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        is_ambiguous(verdict, request.body(()).unwrap().headers())
    }

    #[test]
    fn one_plain_framing_passes() {
        for headers in [
            &[][..],
            &[("transfer-encoding", "Chunked")],
            &[("content-length", "3")],
        ] {
            assert!(!judge(Verdict::Clean, headers), "{headers:?}");
        }
        assert!(!judge(Verdict::Unknown, &[("content-length", "3")]));
    }

    #[test]
    fn other_codings_and_two_framings_are_refused() {
        for headers in [
            &[("transfer-encoding", "gzip, chunked")][..],
            &[
                ("transfer-encoding", "gzip"),
                ("transfer-encoding", "chunked"),
            ],
            &[("transfer-encoding", "chunked"), ("content-length", "3")],
        ] {
            assert!(judge(Verdict::Clean, headers), "{headers:?}");
        }
        let chunked = [("transfer-encoding", "chunked")];
        assert!(judge(Verdict::Both, &chunked));
        assert!(judge(Verdict::Unknown, &chunked));
    }

    #[test]
    fn what_the_server_saw_is_refused() {
        let any = SocketAddr::from(([127, 0, 0, 1], 1));
        let info = Arc::new(ConnInfo::new(any, any, ListenerId(0), false));
        let mut request = Request::new(http_body_util::Empty::<bytes::Bytes>::new());
        request.extensions_mut().insert(Arc::clone(&info));
        assert_eq!(check(&request), Ok(()));
        info.set_ambiguous(true);
        assert_eq!(check(&request), Err(Refusal::BadRequest));
    }
}
