//! A request body on its way to a backend: streamed, and kept while it is small enough to be sent again.
//!
//! The loop of attempts owns the client's body, not the connection that sends it: if a backend turns the
//! request away, the next attempt replays what has been read and continues reading.

use std::{
    cell::RefCell,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, SizeHint};
use tokio::time::Instant;

use self::progress::ProgressLimit;
use super::next::BodyState;
use crate::{identity::body_check::BodyCheck, refusal::Refusal, server::RequestBody};

mod progress;
mod reader;

pub(crate) use reader::{Reader, SendBody};

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    /// Reading from the client failed.
    #[error("the client's body ended early")]
    Client(#[source] hyper::Error),
    /// The screen refused its contents.
    #[error("the body was refused: {}", .0.reason())]
    Refused(Refusal),
    /// The attempt was abandoned, and another one reads the body now.
    #[error("the request is being sent to another backend")]
    Superseded,
}

/// A request body, owned by the loop of attempts. `None`: there is no body.
#[derive(Debug)]
pub(crate) struct Upload<B = RequestBody>(Option<Rc<RefCell<Shared<B>>>>);

#[derive(Debug)]
struct Shared<B> {
    client: B,
    kept: Vec<Bytes>,
    kept_bytes: usize,
    limit: usize,
    size: SizeHint,
    read: ReadState,
    /// When its last byte has been read.
    ended: Option<Instant>,
    progress: Option<ProgressLimit>,
    /// Inspects every piece before it is sent or kept.
    screen: Option<Box<BodyCheck>>,
    refused: Option<Refusal>,
    lost: bool,
    reader: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadState {
    NotYet,
    Partly,
    ToTheEnd,
    /// Reading from the client failed, or its contents were refused.
    Broken,
}

impl<B: Body<Data = Bytes, Error = hyper::Error> + Unpin> Shared<B> {
    /// The next piece that may be sent; `None` at the end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, UploadError>>> {
        loop {
            if self.read == ReadState::ToTheEnd {
                return Poll::Ready(None);
            }
            if let Some(refusal) = self.refused {
                return Poll::Ready(Some(Err(UploadError::Refused(refusal))));
            }
            if self.read == ReadState::NotYet
                && let Some(progress) = &mut self.progress
            {
                progress.begin();
            }
            self.read = ReadState::Partly;
            let Poll::Ready(frame) = Pin::new(&mut self.client).poll_frame(cx) else {
                if let Some(progress) = &mut self.progress {
                    progress.awaits();
                }
                return Poll::Pending;
            };
            let data = match frame {
                None => {
                    self.end();
                    Bytes::new()
                }
                Some(Err(error)) => {
                    self.fail();
                    return Poll::Ready(Some(Err(UploadError::Client(error))));
                }
                // Trailers are not forwarded: the server could merge them into the headers, which
                // have been checked before (RFC 9110 section 6.5.1).
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    if let Some(progress) = &mut self.progress {
                        progress.came(data.len());
                    }
                    // With a `Content-Length` the end is known without another poll.
                    if self.client.is_end_stream() {
                        self.end();
                    }
                    data
                }
            };
            let piece = match self.screened(data) {
                Ok(piece) => piece,
                Err(refusal) => {
                    self.fail();
                    self.refused = Some(refusal);
                    return Poll::Ready(Some(Err(UploadError::Refused(refusal))));
                }
            };
            if !piece.is_empty() {
                return Poll::Ready(Some(Ok(piece)));
            }
        }
    }

    /// What may be sent of `data`, and of what the screen has held back.
    fn screened(&mut self, data: Bytes) -> Result<Bytes, Refusal> {
        let Some(screen) = &mut self.screen else {
            return Ok(data);
        };
        let piece = screen.feed(data)?;
        if self.read != ReadState::ToTheEnd {
            return Ok(piece);
        }
        let rest = screen.finish()?;
        if piece.is_empty() {
            return Ok(rest);
        }
        if rest.is_empty() {
            return Ok(piece);
        }
        Ok([piece, rest].concat().into())
    }

    fn keep(&mut self, piece: Bytes) {
        self.kept_bytes += piece.len();
        self.kept.push(piece);
    }

    fn end(&mut self) {
        self.read = ReadState::ToTheEnd;
        self.ended.get_or_insert_with(Instant::now);
    }

    fn fail(&mut self) {
        self.lost = true;
        self.read = ReadState::Broken;
    }
}

impl<B: Body<Data = Bytes> + Unpin> Upload<B> {
    /// Up to `limit` bytes of the client's body can be sent again.
    pub(crate) fn new(client: B, limit: usize) -> Self {
        if client.is_end_stream() {
            return Self(None);
        }
        let size = client.size_hint();
        Self(Some(Rc::new(RefCell::new(Shared {
            client,
            kept: Vec::new(),
            kept_bytes: 0,
            limit,
            size,
            read: ReadState::NotYet,
            ended: None,
            progress: None,
            screen: None,
            refused: None,
            lost: false,
            reader: 0,
        }))))
    }

    /// Limits how long a client may send less than `step` bytes, and how long a backend may accept
    /// nothing.
    pub(crate) fn limited(self, limit: Duration, step: u64) -> Self {
        if let Some(shared) = &self.0 {
            shared.borrow_mut().progress = Some(ProgressLimit::new(limit, step));
        }
        self
    }

    /// Lets `screen` inspect every piece before it is sent.
    pub(crate) fn screened(self, screen: BodyCheck) -> Self {
        if let Some(shared) = &self.0 {
            shared.borrow_mut().screen = Some(Box::new(screen));
        }
        self
    }

    /// The refusal, if the client or the backend has made too little progress with the body.
    pub(crate) fn late(&self) -> Option<Refusal> {
        let shared = self.0.as_ref()?.borrow();
        let progress = shared.progress.as_ref()?;
        (shared.read == ReadState::Partly && progress.is_late()).then(|| {
            if progress.is_clients() {
                Refusal::BodyTimeout
            } else {
                Refusal::BackendStalled
            }
        })
    }

    /// No body, whatever the client sends.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    pub(crate) fn state(&self) -> BodyState {
        match &self.0 {
            None => BodyState::None,
            Some(shared) => {
                let shared = shared.borrow();
                match (shared.read, shared.lost) {
                    (ReadState::NotYet, _) => BodyState::Unsent,
                    (_, false) => BodyState::Buffered,
                    (_, true) => BodyState::Gone,
                }
            }
        }
    }

    /// The refusal, if the client's side of the body failed.
    pub(crate) fn broken(&self) -> Option<Refusal> {
        let shared = self.0.as_ref()?.borrow();
        (shared.read == ReadState::Broken).then(|| shared.refused.unwrap_or(Refusal::BadRequest))
    }

    /// When the response is late: `first_byte` after the end of the body; while the body is being sent,
    /// when its progress is due. `None` without a body, or if the client's side failed.
    pub(crate) fn due(&self, first_byte: Duration) -> Option<Instant> {
        let shared = self.0.as_ref()?.borrow();
        match shared.read {
            ReadState::NotYet => Some(Instant::now() + first_byte),
            ReadState::Partly => Some(match &shared.progress {
                Some(progress) => progress.end(),
                None => Instant::now() + first_byte,
            }),
            ReadState::ToTheEnd => Some(shared.ended? + first_byte),
            ReadState::Broken => None,
        }
    }

    /// A reader from the first byte. Earlier readers end with [`UploadError::Superseded`].
    pub(crate) fn reader(&self) -> SendBody<B> {
        match &self.0 {
            None => SendBody::Empty,
            Some(shared) => {
                let id = {
                    let mut shared = shared.borrow_mut();
                    shared.reader += 1;
                    shared.reader
                };
                SendBody::Upload(Reader::new(Rc::clone(shared), id))
            }
        }
    }
}

impl<B: Body<Data = Bytes, Error = hyper::Error> + Unpin> Upload<B> {
    /// Reads the body before any of it is sent: to its end, or until more than `most` bytes may be sent.
    /// They are kept for the first reader even beyond the `limit` of what can be sent again.
    pub(crate) async fn read_ahead(&self, most: usize) -> Result<(), UploadError> {
        let Some(shared) = &self.0 else {
            return Ok(());
        };
        while shared.borrow().kept_bytes <= most {
            let next = poll_fn(|cx| shared.borrow_mut().poll_piece(cx)).await;
            match next {
                Some(Ok(piece)) => shared.borrow_mut().keep(piece),
                Some(Err(error)) => return Err(error),
                None => break,
            }
        }
        let mut shared = shared.borrow_mut();
        if shared.read == ReadState::ToTheEnd {
            // the screen may have changed the length
            shared.size = SizeHint::with_exact(shared.kept_bytes as u64);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
