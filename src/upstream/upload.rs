//! A request's body on its way to a backend: streamed, and kept while it is small enough to be
//! sent again.
//!
//! The client's body belongs to the attempt loop, not to the connection that happens to carry it:
//! when a backend turns the request away, the next try replays what was read and goes on reading.

use std::{
    cell::RefCell,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use self::patience::Patience;
use super::next::BodyState;
use crate::{identity::screen::Screen, refusal::Refusal, server::RequestBody};

mod patience;

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    /// The client's side failed.
    #[error("the client's body broke off")]
    Client(#[source] hyper::Error),
    /// Its contents were refused.
    #[error("the body was refused: {}", .0.reason())]
    Refused(Refusal),
    /// This try was given up and another one reads the body now.
    #[error("the request was sent elsewhere")]
    Superseded,
}

/// The attempt loop's hold on a request's body.
#[derive(Debug)]
pub(crate) struct Upload<B = RequestBody>(Option<Rc<RefCell<Shared<B>>>>);

#[derive(Debug)]
struct Shared<B> {
    client: B,
    kept: Vec<Bytes>,
    kept_bytes: usize,
    limit: usize,
    size: SizeHint,
    read: Read,
    /// When its last byte was read.
    ended: Option<Instant>,
    patience: Option<Patience>,
    /// What every piece goes through before it is sent or kept.
    screen: Option<Box<Screen>>,
    refused: Option<Refusal>,
    lost: bool,
    reader: u32,
}

/// How far the client's body has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    NotYet,
    Partly,
    ToTheEnd,
    /// The client's side failed.
    Broken,
}

impl<B: Body<Data = Bytes, Error = hyper::Error> + Unpin> Shared<B> {
    /// The next piece that may be sent, kept if there is room for it; `None` at the end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, UploadError>>> {
        loop {
            if self.read == Read::ToTheEnd {
                return Poll::Ready(None);
            }
            if let Some(refusal) = self.refused {
                return Poll::Ready(Some(Err(UploadError::Refused(refusal))));
            }
            if self.read == Read::NotYet
                && let Some(patience) = &mut self.patience
            {
                patience.begin();
            }
            self.read = Read::Partly;
            let Poll::Ready(frame) = Pin::new(&mut self.client).poll_frame(cx) else {
                if let Some(patience) = &mut self.patience {
                    patience.awaits();
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
                // trailers end here: nothing that a client says after its body is forwarded
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    if let Some(patience) = &mut self.patience {
                        patience.came(data.len());
                    }
                    // who knows its length is not asked for more
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

    /// What may be sent now that this has come, and the body's end if it has.
    fn screened(&mut self, data: Bytes) -> Result<Bytes, Refusal> {
        let Some(screen) = &mut self.screen else {
            return Ok(data);
        };
        let piece = screen.feed(data)?;
        if self.read != Read::ToTheEnd {
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
        self.read = Read::ToTheEnd;
        self.ended.get_or_insert_with(Instant::now);
    }

    fn fail(&mut self) {
        self.lost = true;
        self.read = Read::Broken;
    }
}

impl<B: Body<Data = Bytes> + Unpin> Upload<B> {
    /// Takes a client's body; up to `limit` bytes of it can be sent again.
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
            read: Read::NotYet,
            ended: None,
            patience: None,
            screen: None,
            refused: None,
            lost: false,
            reader: 0,
        }))))
    }

    /// Gives up on a client that sends less than `step` bytes within `limit`, and on a backend that
    /// takes nothing for as long.
    pub(crate) fn patient(self, limit: Duration, step: u64) -> Self {
        if let Some(shared) = &self.0 {
            shared.borrow_mut().patience = Some(Patience::new(limit, step));
        }
        self
    }

    /// Shows every piece to that screen before it is sent.
    pub(crate) fn screened(self, screen: Screen) -> Self {
        if let Some(shared) = &self.0 {
            shared.borrow_mut().screen = Some(Box::new(screen));
        }
        self
    }

    /// Which side has done too little for too long while the body was on its way, as a refusal.
    pub(crate) fn late(&self) -> Option<Refusal> {
        let shared = self.0.as_ref()?.borrow();
        let patience = shared.patience.as_ref()?;
        (shared.read == Read::Partly && patience.is_late()).then(|| {
            if patience.is_clients() {
                Refusal::BodyTimeout
            } else {
                Refusal::BackendStalled
            }
        })
    }

    /// No body, whatever the client has.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// What is left of it.
    pub(crate) fn state(&self) -> BodyState {
        match &self.0 {
            None => BodyState::None,
            Some(shared) => {
                let shared = shared.borrow();
                match (shared.read, shared.lost) {
                    (Read::NotYet, _) => BodyState::Unsent,
                    (_, false) => BodyState::Buffered,
                    (_, true) => BodyState::Gone,
                }
            }
        }
    }

    /// Why the client's own side is at fault, if it is.
    pub(crate) fn broken(&self) -> Option<Refusal> {
        let shared = self.0.as_ref()?.borrow();
        (shared.read == Read::Broken).then(|| shared.refused.unwrap_or(Refusal::BadRequest))
    }

    /// When an answer is late: `first_byte` after the body's end, later while it is under way.
    /// `None` where there was no body, or its own side failed.
    pub(crate) fn due(&self, first_byte: Duration) -> Option<Instant> {
        let shared = self.0.as_ref()?.borrow();
        match shared.read {
            Read::NotYet => Some(Instant::now() + first_byte),
            Read::Partly => Some(match &shared.patience {
                Some(patience) => patience.end(),
                None => Instant::now() + first_byte,
            }),
            Read::ToTheEnd => Some(shared.ended? + first_byte),
            Read::Broken => None,
        }
    }

    /// A reader from the first byte; ends any reader handed out before.
    pub(crate) fn reader(&self) -> SendBody<B> {
        match &self.0 {
            None => SendBody::Empty,
            Some(shared) => {
                let id = {
                    let mut shared = shared.borrow_mut();
                    shared.reader += 1;
                    shared.reader
                };
                SendBody::Upload(Reader {
                    shared: Rc::clone(shared),
                    id,
                    at: 0,
                })
            }
        }
    }
}

impl<B: Body<Data = Bytes, Error = hyper::Error> + Unpin> Upload<B> {
    /// Reads the body before anything of it is sent: to its end, or until more than `most` bytes of
    /// it may be sent. They are kept for the first reader, whatever can be sent again.
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
        if shared.read == Read::ToTheEnd {
            // a screen may have changed it
            shared.size = SizeHint::with_exact(shared.kept_bytes as u64);
        }
        Ok(())
    }
}

/// What a backend connection sends as body.
#[derive(Debug)]
pub(crate) enum SendBody<B = RequestBody> {
    /// Nothing.
    Empty,
    /// A client's body.
    Upload(Reader<B>),
}

/// One pass over a client's body.
#[derive(Debug)]
pub(crate) struct Reader<B> {
    shared: Rc<RefCell<Shared<B>>>,
    id: u32,
    at: usize,
}

impl<B: Body<Data = Bytes, Error = hyper::Error> + Unpin> Body for Reader<B> {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let this = &mut *self;
        let mut shared = this.shared.borrow_mut();
        if shared.reader != this.id {
            return Poll::Ready(Some(Err(UploadError::Superseded)));
        }
        if let Some(chunk) = shared.kept.get(this.at) {
            this.at += 1;
            return Poll::Ready(Some(Ok(Frame::data(chunk.clone()))));
        }
        let piece = match ready!(shared.poll_piece(cx)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            Some(Ok(piece)) => piece,
        };
        if shared.kept_bytes + piece.len() > shared.limit {
            shared.lost = true;
            shared.kept = Vec::new();
        }
        if !shared.lost {
            shared.keep(piece.clone());
            this.at += 1;
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        let shared = self.shared.borrow();
        shared.read == Read::ToTheEnd && self.at >= shared.kept.len()
    }

    fn size_hint(&self) -> SizeHint {
        let shared = self.shared.borrow();
        // asked once, before the first byte: the client's own announcement
        if self.at == 0 {
            shared.size
        } else {
            SizeHint::default()
        }
    }
}

impl<B: Body<Data = Bytes, Error = hyper::Error> + Unpin> Body for SendBody<B> {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Upload(reader) => Pin::new(reader).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Upload(reader) => reader.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Upload(reader) => reader.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures_util::FutureExt;
    use http_body_util::BodyExt;

    use super::*;
    use crate::identity::form::Scan;

    struct Chunks(VecDeque<Bytes>);

    impl Body for Chunks {
        type Data = Bytes;
        type Error = hyper::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
            Poll::Ready(self.0.pop_front().map(|c| Ok(Frame::data(c))))
        }

        fn is_end_stream(&self) -> bool {
            self.0.is_empty()
        }
    }

    fn chunks(list: &[&'static str]) -> Chunks {
        Chunks(list.iter().copied().map(Bytes::from).collect())
    }

    fn all(body: SendBody<Chunks>) -> Result<Bytes, UploadError> {
        body.collect()
            .now_or_never()
            .unwrap()
            .map(http_body_util::Collected::to_bytes)
    }

    #[test]
    fn a_small_body_can_be_read_twice() {
        let upload = Upload::new(chunks(&["ab", "cd"]), 4);
        assert_eq!(upload.state(), BodyState::Unsent);
        assert_eq!(all(upload.reader()).unwrap(), "abcd");
        assert_eq!(upload.state(), BodyState::Buffered);
        let due = upload.due(Duration::ZERO).unwrap();
        assert!(due <= Instant::now(), "its end was {due:?}");
        assert_eq!(all(upload.reader()).unwrap(), "abcd");
    }

    #[test]
    fn a_second_reader_goes_on_where_the_first_stopped() {
        let upload = Upload::new(chunks(&["ab", "cd"]), 9);
        let mut first = upload.reader();
        let frame = first.frame().now_or_never().unwrap().unwrap();
        assert_eq!(frame.unwrap().into_data().unwrap(), "ab");
        let second = upload.reader();
        assert!(matches!(
            first.frame().now_or_never().unwrap(),
            Some(Err(UploadError::Superseded))
        ));
        assert_eq!(all(second).unwrap(), "abcd");
    }

    fn form(list: &[&'static str], limit: usize) -> Upload<Chunks> {
        let scan = Scan::new(&["doas"]);
        Upload::new(chunks(list), limit).screened(Screen::Form(scan))
    }

    fn ahead(upload: &Upload<Chunks>, most: usize) -> Result<(), UploadError> {
        upload.read_ahead(most).now_or_never().unwrap()
    }

    #[test]
    fn a_body_that_is_read_ahead_is_kept_for_its_reader_and_has_a_length() {
        let upload = form(&["a=1&b", "=2&c", "=3"], 64);
        ahead(&upload, 64).unwrap();
        assert_eq!(upload.state(), BodyState::Buffered);
        assert_eq!(upload.reader().size_hint().exact(), Some(11));
        for _ in 0..2 {
            assert_eq!(all(upload.reader()).unwrap(), "a=1&b=2&c=3");
        }
    }

    #[test]
    fn of_a_large_body_no_more_is_read_ahead_than_was_asked_for() {
        let upload = form(&["a=1&", "b=2&", "c=3&", "d=4"], 5);
        ahead(&upload, 5).unwrap();
        assert_eq!(upload.state(), BodyState::Buffered);
        assert_eq!(all(upload.reader()).unwrap(), "a=1&b=2&c=3&d=4");
        assert_eq!(upload.state(), BodyState::Gone);
    }

    #[test]
    fn a_refused_body_ends_before_what_is_refused_and_stays_refused() {
        let upload = form(&["a=1&", "do", "As=bob"], 64);
        let refused = ahead(&upload, 64);
        assert!(matches!(
            refused,
            Err(UploadError::Refused(Refusal::BadForm))
        ));
        let upload = form(&["a=1&", "b=2&do", "As=bob", "&c=3"], 5);
        ahead(&upload, 3).unwrap();
        let mut reader = upload.reader();
        for sent in ["a=1&", "b=2&"] {
            let frame = reader.frame().now_or_never().unwrap().unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), sent);
        }
        assert!(reader.frame().now_or_never().unwrap().unwrap().is_err());
        assert!(all(upload.reader()).is_err());
        assert_eq!(upload.broken(), Some(Refusal::BadForm));
        assert!(all(upload.reader()).is_err());
        assert_eq!(upload.state(), BodyState::Gone);
    }

    #[test]
    fn a_body_beyond_the_buffer_is_gone_once_read() {
        let upload = Upload::new(chunks(&["ab", "cd"]), 3);
        assert_eq!(all(upload.reader()).unwrap(), "abcd");
        assert_eq!(upload.state(), BodyState::Gone);
    }

    #[test]
    fn no_body_needs_no_buffer() {
        let upload = Upload::new(chunks(&[]), 3);
        assert_eq!(upload.state(), BodyState::None);
        assert!(upload.reader().is_end_stream());
    }
}
