//! What a request's body goes through on its way to a backend.
//!
//! In a request's way: [`crate::upstream::upload::Upload`] shows it every piece of the body before
//! that is sent, and sends what it gives back. The head of the request has gone out by then, but not
//! the piece that a refusal is about, nor the end: the backend never sees a whole request.

use bytes::Bytes;

use super::{form::FormScanner, thrift::CallReader};
use crate::refusal::Refusal;

/// One body under examination.
#[derive(Debug)]
pub(crate) enum BodyCheck {
    /// A form.
    Form(FormScanner),
    /// A call of `HiveServer2`'s protocol.
    Thrift(CallReader),
}

impl BodyCheck {
    /// Takes what has come; gives what may go on, which may be nothing yet.
    pub(crate) fn feed(&mut self, data: Bytes) -> Result<Bytes, Refusal> {
        match self {
            Self::Form(scan) => scan.feed(&data).map_err(refused),
            Self::Thrift(call) => call.feed(data).map_err(refused),
        }
    }

    /// The body has ended; gives what is left of it.
    pub(crate) fn finish(&mut self) -> Result<Bytes, Refusal> {
        match self {
            Self::Form(scan) => scan.finish().map_err(refused),
            Self::Thrift(call) => call.finish().map_err(refused),
        }
    }
}

fn refused(error: impl std::error::Error + Into<Refusal>) -> Refusal {
    tracing::debug!("refused: {error}");
    error.into()
}
