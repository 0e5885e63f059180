//! The request body of one attempt: replays what has been kept, then continues with the client's body.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{ReadState, RequestBody, Shared, UploadError};

/// The type of the request bodies that connections to backends send.
#[derive(Debug)]
pub(crate) enum SendBody<B = RequestBody> {
    Empty,
    Upload(Reader<B>),
}

/// One pass over a client's body. Only the newest reader of an upload gets data.
#[derive(Debug)]
pub(crate) struct Reader<B> {
    shared: Rc<RefCell<Shared<B>>>,
    id: u32,
    /// The number of kept pieces that have been read.
    at: usize,
}

impl<B> Reader<B> {
    pub(super) fn new(shared: Rc<RefCell<Shared<B>>>, id: u32) -> Self {
        Self { shared, id, at: 0 }
    }
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
            // The connection of an abandoned attempt may still be polled. Two readers would each get
            // half of the body.
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
            // Beyond the buffer nothing is kept at all: a part of a body cannot be sent again.
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
        shared.read == ReadState::ToTheEnd && self.at >= shared.kept.len()
    }

    fn size_hint(&self) -> SizeHint {
        let shared = self.shared.borrow();
        // asked once, before the first byte
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
