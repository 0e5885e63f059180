use std::collections::VecDeque;

use futures_util::FutureExt;
use http_body::Frame;
use http_body_util::BodyExt;

use super::*;
use crate::identity::form::FormScanner;

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
    let scan = FormScanner::new(&["doas"]);
    Upload::new(chunks(list), limit).screened(BodyCheck::Form(scan))
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
