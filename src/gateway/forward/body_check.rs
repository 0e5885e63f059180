//! What a request's body must not say: which bodies are read on their way, and how much of them before
//! a backend is chosen.
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
        thrift::{CallReader, Rights, ThriftError},
    },
    refusal::Refusal,
    upstream::upload::{Upload, UploadError},
};

/// How the body of this request is read, if it is, and how many bytes of it before a backend gets the
/// request's head, so that what stands there has a clean refusal: forms that fit into the replay buffer,
/// and what is held of a Thrift call.
pub(crate) fn of(
    console: &Console,
    parts: &Parts,
    session: &Session,
) -> Result<Option<(BodyCheck, usize)>, Refusal> {
    let kind = console.kind;
    if kind.speaks_thrift() {
        let rights = match console.identity {
            IdentityMode::DoAs | IdentityMode::Simple => Rights::User,
            IdentityMode::Service => Rights::Gateway,
            // clients say themselves who they are
            IdentityMode::None => return Ok(None),
        };
        let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
        let mut encodings = parts.headers.get_all(header::CONTENT_ENCODING).iter();
        if !encodings.all(plain) {
            return Err(ThriftError::Encoded.into());
        }
        let call = CallReader::new(Arc::from(session.user()), rights);
        return Ok(Some((BodyCheck::Thrift(call), 0)));
    }
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
    (screen, ahead): (BodyCheck, usize),
) -> Result<Upload, Refusal> {
    let upload = upload.screened(screen);
    match timeout(console.timeouts.body_idle, upload.read_ahead(ahead)).await {
        Ok(Ok(())) => Ok(upload),
        Ok(Err(UploadError::Refused(refusal))) => Err(refusal),
        Ok(Err(UploadError::Client(_) | UploadError::Superseded)) => Err(Refusal::BadRequest),
        Err(_elapsed) => Err(Refusal::BodyTimeout),
    }
}
