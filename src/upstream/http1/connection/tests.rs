use std::{collections::VecDeque, convert::Infallible, future::poll_fn};

use http::{Method, StatusCode, Uri};
use http_body::{Frame, SizeHint};
use http_body_util::{Empty, Full};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::tls::Socket;

fn head(method: &Method) -> RequestHead {
    RequestHead::new(method, &Uri::from_static("/a?b=c"))
}

type Words = VecDeque<Option<&'static str>>;

/// A body that comes in words, `None`: later; of a length that it may get wrong.
struct Talk(Words, Option<u64>);

impl Body for Talk {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        use std::task::Poll;
        match self.0.pop_front() {
            None => Poll::Ready(None),
            Some(Some(word)) => {
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(word.as_bytes())))))
            }
            Some(None) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.1.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

async fn pair<B>() -> (Connection<B>, TcpStream)
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    (
        Connection::new(Socket::Plain(near.unwrap())),
        far.unwrap().0,
    )
}

async fn heard(server: &mut TcpStream, until: &str) -> String {
    let mut heard = Vec::new();
    while !heard.ends_with(until.as_bytes()) {
        assert_ne!(server.read_buf(&mut heard).await.unwrap(), 0, "{heard:?}");
    }
    String::from_utf8(heard).unwrap()
}

async fn body<B>(connection: &mut Connection<B>) -> Result<Vec<u8>, Http1Error>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin,
{
    let mut body = Vec::new();
    while let Some(data) = poll_fn(|cx| connection.poll_data(cx)).await {
        body.extend_from_slice(&data?);
    }
    Ok(body)
}

#[tokio::test]
async fn one_request_follows_another() {
    let (mut connection, mut server) = pair::<Empty<Bytes>>().await;
    for _ in 0..3 {
        assert!(!connection.is_closed());
        let exchange = connection.exchange(head(&Method::GET), Empty::new());
        let (answered, ()) = tokio::join!(exchange, async {
            heard(&mut server, "\r\n\r\n").await;
            server
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await
                .unwrap();
        });
        assert_eq!(answered.unwrap().parts.status, StatusCode::OK);
        assert_eq!(body(&mut connection).await.unwrap(), b"ok");
    }
    drop(server);
    tokio::task::yield_now().await;
    while !connection.is_closed() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_server_that_sends_an_unrequested_response_gets_no_other_request() {
    let (mut connection, mut server) = pair::<Empty<Bytes>>().await;
    let exchange = connection.exchange(head(&Method::GET), Empty::new());
    let (answered, ()) = tokio::join!(exchange, async {
        heard(&mut server, "\r\n\r\n").await;
        server
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")
            .await
            .unwrap();
    });
    answered.unwrap();
    assert!(!connection.is_reusable());
    assert!(connection.is_closed());
}

#[tokio::test]
async fn a_body_without_a_length_goes_in_chunks() {
    let (mut connection, mut server) = pair().await;
    let talk = Talk([Some("one"), None, Some("three")].into(), None);
    let exchange = connection.exchange(head(&Method::PUT), talk);
    let (answered, said) = tokio::join!(exchange, async {
        let said = heard(&mut server, "0\r\n\r\n").await;
        server.write_all(b"HTTP/1.1 204 \r\n\r\n").await.unwrap();
        said
    });
    assert_eq!(answered.unwrap().parts.status, StatusCode::NO_CONTENT);
    assert!(
        said.ends_with("\r\n\r\n3\r\none\r\n5\r\nthree\r\n0\r\n\r\n"),
        "{said}"
    );
    assert!(connection.is_reusable());
}

#[tokio::test]
async fn a_body_of_another_length_than_announced_is_an_error() {
    for length in [7, 2] {
        let (mut connection, _server) = pair().await;
        let talk = Talk([Some("one"), None].into(), Some(length));
        let failed = connection
            .exchange(head(&Method::PUT), talk)
            .await
            .unwrap_err();
        assert!(matches!(failed.error, Http1Error::Upload(_)), "{failed:?}");
        assert!(connection.is_closed());
    }
}

#[tokio::test]
async fn a_response_may_begin_before_the_end_of_its_request() {
    let (mut connection, mut server) = pair().await;
    let later = std::iter::repeat_n(None, 1000);
    let talk = Talk([Some("one")].into_iter().chain(later).collect(), Some(6));
    let exchange = connection.exchange(head(&Method::PUT), talk);
    let (answered, ()) = tokio::join!(exchange, async {
        heard(&mut server, "one").await;
        server
            .write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
            .await
            .unwrap();
    });
    assert_eq!(answered.unwrap().parts.status, StatusCode::FORBIDDEN);
    assert_eq!(body(&mut connection).await.unwrap(), b"no");
    assert!(
        !connection.is_reusable(),
        "the rest of the request was not sent"
    );
}

#[tokio::test]
async fn a_server_that_closes_during_a_request_may_have_responded() {
    let (mut connection, mut server) = pair().await;
    let large = Full::new(Bytes::from(vec![b'x'; 32 << 20]));
    let exchange = connection.exchange(head(&Method::PUT), large);
    let (answered, ()) = tokio::join!(exchange, async {
        let mut some = [0; 1000];
        server.read_exact(&mut some).await.unwrap();
        server
            .write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
            .await
            .unwrap();
        // an orderly end of its side: what is reset takes the answer with it
        server.shutdown().await.unwrap();
    });
    assert_eq!(
        answered.unwrap().parts.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(body(&mut connection).await.unwrap(), b"no");
    assert!(connection.is_closed());
}

#[tokio::test]
async fn a_get_with_a_body_is_the_last_request_of_its_connection() {
    let (mut connection, mut server) = pair().await;
    let exchange = connection.exchange(head(&Method::GET), Full::new(Bytes::from("GET / ")));
    let (answered, ()) = tokio::join!(exchange, async {
        heard(&mut server, "GET / ").await;
        server
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await
            .unwrap();
    });
    answered.unwrap();
    assert!(!connection.is_reusable());
}

#[tokio::test]
async fn a_closed_connection_is_distinguished_from_an_unsent_request() {
    let (mut connection, server) = pair::<Empty<Bytes>>().await;
    drop(server);
    let exchange = connection.exchange(head(&Method::GET), Empty::new());
    let failed = exchange.await.unwrap_err();
    assert!(!failed.unsent, "it was written, and may have been read");
    // by now the kernel knows
    let failed = connection.exchange(head(&Method::GET), Empty::new()).await;
    assert!(failed.unwrap_err().unsent);
}

#[tokio::test]
async fn a_large_response_is_streamed() {
    let (mut connection, mut server) = pair::<Empty<Bytes>>().await;
    let size = 5 << 20;
    let sent = vec![b'y'; size];
    let (received, ()) = tokio::join!(
        async {
            let exchange = connection.exchange(head(&Method::GET), Empty::new());
            exchange.await.unwrap();
            body(&mut connection).await.unwrap()
        },
        async {
            heard(&mut server, "\r\n\r\n").await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
            server.write_all(head.as_bytes()).await.unwrap();
            server.write_all(&sent).await.unwrap();
        }
    );
    assert!(received == sent);
    assert!(connection.is_reusable());
}
