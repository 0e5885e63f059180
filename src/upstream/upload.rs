//! A request's body on its way to a backend: streamed, and kept while it is small enough to be
//! sent again.
//!
//! The client's body belongs to the attempt loop, not to the connection that happens to carry it:
//! when a backend turns the request away, the next try replays what was read and goes on reading.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::next::BodyState;
use crate::server::RequestBody;

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The client's side failed.
    #[error("the client's body broke off")]
    Client(#[source] hyper::Error),
    /// This try was given up and another one reads the body now.
    #[error("the request was sent elsewhere")]
    Superseded,
}

/// The attempt loop's hold on a request's body.
#[derive(Debug)]
pub struct Upload<B = RequestBody>(Option<Rc<RefCell<Shared<B>>>>);

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
    /// How long the client may send nothing, where the server does not look after that, and when it
    /// sent something last.
    patience: Option<(Duration, Instant)>,
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

impl<B> Shared<B> {
    fn end(&mut self) {
        self.read = Read::ToTheEnd;
        self.ended.get_or_insert_with(Instant::now);
    }
}

impl<B: Body<Data = Bytes> + Unpin> Upload<B> {
    /// Takes a client's body; up to `limit` bytes of it can be sent again.
    pub fn new(client: B, limit: usize) -> Self {
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
            lost: false,
            reader: 0,
        }))))
    }

    /// Gives up on a client that sends nothing for so long. On HTTP/1.1 the server does that; a
    /// stream of HTTP/2 is not seen there.
    pub fn patient(self, patience: Duration) -> Self {
        if let Some(shared) = &self.0 {
            shared.borrow_mut().patience = Some((patience, Instant::now()));
        }
        self
    }

    /// Whether the client has sent nothing for too long.
    pub fn stalled(&self) -> bool {
        self.0.as_ref().is_some_and(|shared| {
            let shared = shared.borrow();
            let late = |(patience, since): (Duration, Instant)| since + patience <= Instant::now();
            shared.read == Read::Partly && shared.patience.is_some_and(late)
        })
    }

    /// No body, whatever the client has.
    pub fn none() -> Self {
        Self(None)
    }

    /// What is left of it.
    pub fn state(&self) -> BodyState {
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

    /// Whether the client's own side failed.
    pub fn broken(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|shared| shared.borrow().read == Read::Broken)
    }

    /// When an answer is late: `first_byte` after the body's end, later while it is under way.
    /// `None` where there was no body, or its own side failed.
    pub fn due(&self, first_byte: Duration) -> Option<Instant> {
        let shared = self.0.as_ref()?.borrow();
        match shared.read {
            Read::NotYet | Read::Partly => Some(match shared.patience {
                Some((patience, since)) => since + patience,
                None => Instant::now() + first_byte,
            }),
            Read::ToTheEnd => Some(shared.ended? + first_byte),
            Read::Broken => None,
        }
    }

    /// A reader from the first byte; ends any reader handed out before.
    pub fn reader(&self) -> SendBody<B> {
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

impl Upload<RequestBody> {
    /// Reads the whole body into the replay buffer and shows it; `None` when it is larger.
    pub async fn buffer(&self) -> Result<Option<Bytes>, UploadError> {
        use http_body_util::BodyExt;
        let mut whole = BytesMut::new();
        if let SendBody::Upload(mut reader) = self.reader() {
            if reader.shared.borrow().size.lower() > reader.shared.borrow().limit as u64 {
                return Ok(None);
            }
            while let Some(frame) = reader.frame().await {
                if let Ok(data) = frame?.into_data() {
                    whole.extend_from_slice(&data);
                }
                if reader.shared.borrow().lost {
                    return Ok(None);
                }
            }
        }
        Ok(Some(whole.freeze()))
    }
}

/// What a backend connection sends as body.
#[derive(Debug)]
pub enum SendBody<B = RequestBody> {
    /// Nothing.
    Empty,
    /// A client's body.
    Upload(Reader<B>),
}

/// One pass over a client's body.
#[derive(Debug)]
pub struct Reader<B> {
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
        if shared.read == Read::NotYet {
            shared.read = Read::Partly;
        }
        loop {
            if shared.read == Read::ToTheEnd {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut shared.client).poll_frame(cx)) {
                None => {
                    shared.end();
                }
                Some(Err(error)) => {
                    shared.lost = true;
                    shared.read = Read::Broken;
                    return Poll::Ready(Some(Err(UploadError::Client(error))));
                }
                // trailers end here: nothing that a client says after its body is forwarded
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    if let Some((_, since)) = &mut shared.patience {
                        *since = Instant::now();
                    }
                    if shared.kept_bytes + data.len() > shared.limit {
                        shared.lost = true;
                        shared.kept = Vec::new();
                    }
                    if !shared.lost {
                        shared.kept_bytes += data.len();
                        shared.kept.push(data.clone());
                        this.at += 1;
                    }
                    // who knows its length is not asked for more
                    if shared.client.is_end_stream() {
                        shared.end();
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
            }
        }
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
        Chunks(
            list.iter()
                .map(|c| Bytes::from_static(c.as_bytes()))
                .collect(),
        )
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
        let frame = first.frame().now_or_never().unwrap().unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "ab");
        let second = upload.reader();
        assert!(matches!(
            first.frame().now_or_never().unwrap(),
            Some(Err(UploadError::Superseded))
        ));
        assert_eq!(all(second).unwrap(), "abcd");
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
