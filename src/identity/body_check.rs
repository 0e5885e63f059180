//! Checks a request body while it is sent to a backend.
//!
//! On the request path: [`crate::upstream::upload::Upload`] passes every piece of the body through it and
//! sends what it returns. If a later piece is refused, the head of the request has been sent already, but
//! neither that piece nor the end of the body: the backend never receives a complete request, so it does
//! not execute it.

use bytes::Bytes;

use super::{form::FormScanner, thrift::CallReader};
use crate::refusal::Refusal;

/// The check of one body.
#[derive(Debug)]
pub(crate) enum BodyCheck {
    /// A form.
    Form(FormScanner),
    /// A call of `HiveServer2`'s protocol.
    Thrift(CallReader),
}

impl BodyCheck {
    /// Takes the bytes that arrived and returns those that may be sent; may be empty.
    pub(crate) fn feed(&mut self, data: Bytes) -> Result<Bytes, Refusal> {
        match self {
            Self::Form(scan) => scan.feed(&data).map_err(refused),
            Self::Thrift(call) => call.feed(data).map_err(refused),
        }
    }

    /// Called at the end of the body; returns the rest of it.
    pub(crate) fn finish(&mut self) -> Result<Bytes, Refusal> {
        match self {
            Self::Form(scan) => scan.finish().map_err(refused),
            Self::Thrift(call) => call.finish().map_err(refused),
        }
    }
}

// The debug level, because any client can cause it; the refusal itself is in the access log.
fn refused(error: impl std::error::Error + Into<Refusal>) -> Refusal {
    tracing::debug!("refused: {error}");
    error.into()
}
