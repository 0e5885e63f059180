//! Chooses the check of a request's body, and how much of the body is read before a backend is chosen.
//!
//! On the request path: between the console's checks and the attempts.

use std::sync::Arc;

use http::{HeaderValue, header, request::Parts};
use tokio::time::timeout;

use crate::{
    auth::session::Session,
    gateway::console::Console,
    identity::{
        IdentityMode,
        body_check::BodyCheck,
        form::{self, FormScanner},
        thrift::{ActingAs, CallReader, ThriftError},
    },
    refusal::Refusal,
    upstream::upload::{Upload, UploadError},
};

/// The check for the body of this request, and how many bytes pass through it before a backend gets the
/// head. A fault in those bytes is refused before the backend has seen the request: forms that fit into
/// the replay buffer, and the part of a Thrift call that is held back.
pub(crate) fn of(
    console: &Console,
    parts: &Parts,
    session: &Session,
) -> Result<Option<(BodyCheck, usize)>, Refusal> {
    let kind = console.kind;
    if kind.speaks_thrift() {
        let acting_as = match console.identity {
            IdentityMode::DoAs | IdentityMode::Simple => ActingAs::User,
            IdentityMode::Service => ActingAs::Gateway,
            // Clients log in to the server themselves, so the calls are theirs.
            IdentityMode::None => return Ok(None),
        };
        let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
        let mut encodings = parts.headers.get_all(header::CONTENT_ENCODING).iter();
        if !encodings.all(plain) {
            return Err(ThriftError::Encoded.into());
        }
        let call = CallReader::new(Arc::from(session.user()), acting_as);
        return Ok(Some((BodyCheck::Thrift(call), 0)));
    }
    // Not only for POST: Jetty reads the form of a PUT too.
    if kind.reads_forms() && form::is_form(&parts.headers)? {
        let scan = FormScanner::new(kind.identity_parameters());
        return Ok(Some((BodyCheck::Form(scan), console.retry_buffer)));
    }
    Ok(None)
}

/// Attaches the check to the body and reads the first `ahead` bytes through it.
pub(crate) async fn read(
    console: &Console,
    upload: Upload,
    (check, ahead): (BodyCheck, usize),
) -> Result<Upload, Refusal> {
    let upload = upload.screened(check);
    // A client that stops sending is given the same time as in the middle of any other body.
    match timeout(console.timeouts.body_idle, upload.read_ahead(ahead)).await {
        Ok(Ok(())) => Ok(upload),
        Ok(Err(UploadError::Refused(refusal))) => Err(refusal),
        Ok(Err(UploadError::Client(_) | UploadError::Superseded)) => Err(Refusal::BadRequest),
        Err(_elapsed) => Err(Refusal::BodyTimeout),
    }
}
