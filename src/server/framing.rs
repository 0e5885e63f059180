//! What of a request's framing the gateway refuses beyond what hyper does.
//!
//! hyper 1.12 refuses by itself: differing or comma-separated `Content-Length`, folded headers, odd
//! chunk sizes, bare CR, `Transfer-Encoding` on HTTP/1.0 or not ending in `chunked`, NUL in values.
//! It tolerates bare LF, equal `Content-Length` copies and a missing `Host`, and of a request with
//! both framings it drops `Content-Length`: [`check`] sees that one by the connection's own scan of
//! the bytes. `tests/server.rs` pins each of these by raw bytes.

use std::sync::Arc;

use http::{HeaderMap, Request, Version, header};

use crate::{refusal::Refusal, server::ConnInfo};

pub(super) mod scan;

/// Whether the request's framing is unambiguous; to be asked before anything else.
///
/// A request that this refuses is the last on its connection: the server adds
/// `Connection: close` to whatever answers it.
///
/// # Errors
/// [`Refusal::BadRequest`]: both `Content-Length` and `Transfer-Encoding`, a transfer coding other
/// than `chunked`, or an HTTP version other than 1.0 and 1.1.
pub fn check<B>(request: &Request<B>) -> Result<(), Refusal> {
    let ambiguous = request
        .extensions()
        .get::<Arc<ConnInfo>>()
        .is_some_and(|info| info.is_ambiguous());
    let version = matches!(request.version(), Version::HTTP_10 | Version::HTTP_11);
    if ambiguous || !version || !chunked_or_none(request.headers()) {
        return Err(Refusal::BadRequest);
    }
    Ok(())
}

/// RFC 9112 section 6.1: nothing but one plain `chunked`; other codings would pass through to the
/// backend undecoded.
fn chunked_or_none(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (values.next(), values.next()) {
        (None, None) => true,
        (Some(only), None) => {
            only.as_bytes().eq_ignore_ascii_case(b"chunked")
                && !headers.contains_key(header::CONTENT_LENGTH)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn one_plain_chunked_coding_passes() {
        assert_eq!(check(&request(&[])), Ok(()));
        assert_eq!(check(&request(&[("transfer-encoding", "Chunked")])), Ok(()));
        assert_eq!(check(&request(&[("content-length", "3")])), Ok(()));
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
            assert_eq!(check(&request(headers)), Err(Refusal::BadRequest));
        }
    }
}
