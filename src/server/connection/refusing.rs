//! The server's own answers: to bytes that are no request, and to a request that did not arrive in
//! time. They have a page, a line in both logs and a count, as every refusal of the gateway.

use std::{pin::Pin, task::Context, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Response, Version};
use tokio::{io::AsyncWrite, net::TcpStream};

use super::{At, Connection, Http1, plain_http};
use crate::{
    refusal::{
        Refusal,
        page::{self, PageContext},
    },
    server::{HttpService, stream::Stream, timers::Phase, tunnel::Tunnelling},
    telemetry::access::{AccessEntry, AccessLog},
};

impl<S: HttpService> Connection<S> {
    /// hyper is done with the connection.
    pub(super) fn served(
        &mut self,
        http1: Http1<S>,
        result: &Result<(), hyper::Error>,
        cx: &mut Context<'_>,
    ) {
        let parts = http1.into_parts();
        let stream = parts.io.into_inner().into_stream();
        let Err(error) = result else {
            if let Some(tunnel) = self.state.tunnel.take() {
                self.state.enter(Phase::Tunnel);
                let tunnel = Tunnelling::new(stream, parts.read_buf, *tunnel, &self.state);
                self.at = At::Tunnel(tunnel);
            } else {
                let more = self.state.is_mid_message();
                self.hang_up(stream, more);
            }
            return;
        };
        tracing::debug!(peer = %self.state.info().peer, %error, "connection failed");
        // hyper says the same of a length that is too large
        let refusal = if error.is_parse_too_large() && !self.state.is_malformed() {
            Refusal::HeadTooLarge
        } else if error.is_parse() {
            Refusal::BadRequest
        } else {
            self.at = At::Done;
            return;
        };
        refusal.count();
        if self.state.is_unanswered() {
            // hyper's words hold nothing of the client
            let detail = (refusal == Refusal::BadRequest).then(|| error.to_string());
            self.refuse(stream, refusal, detail.as_deref(), cx);
        } else {
            // behind an answer that the client had not taken: hyper's own, without a page
            self.note(refusal, 0);
            let more = self.state.is_mid_message();
            self.hang_up(stream, more);
        }
    }

    /// Answers with a page.
    pub(super) fn refuse(
        &mut self,
        stream: Stream,
        refusal: Refusal,
        detail: Option<&str>,
        cx: &mut Context<'_>,
    ) {
        let tls = self.state.info().tls;
        self.answer(stream, refusal, &page(refusal, detail, tls), cx);
    }

    /// Plain HTTP, where TLS is spoken: the client is told, and nothing else is read of it.
    pub(super) fn plain(&mut self, tcp: TcpStream, head: &[u8], cx: &mut Context<'_>) {
        let refusal = Refusal::PlainHttp;
        refusal.count();
        let (peer, reason) = (self.state.info().peer, refusal.reason());
        tracing::info!(%peer, reason, "plain HTTP on an address that speaks TLS");
        let answer = plain_http::answer(head);
        self.answer(Stream::Plain(tcp), refusal, &answer, cx);
    }

    /// Answers, logs it, and hangs up. What the socket does not take at once is lost: waiting for
    /// this client is over.
    fn answer(
        &mut self,
        mut stream: Stream,
        refusal: Refusal,
        answer: &Response<Bytes>,
        cx: &mut Context<'_>,
    ) {
        let _sent = Pin::new(&mut stream).poll_write(cx, &written(answer));
        self.note(refusal, answer.body().len());
        // it may still be sending whatever it is
        let more = refusal == Refusal::PlainHttp || self.state.is_mid_message();
        self.hang_up(stream, more);
    }

    /// Logs a refusal that the client was answered with `bytes` bytes of body.
    pub(super) fn note(&self, refusal: Refusal, bytes: usize) {
        let info = self.state.info();
        tracing::debug!(peer = %info.peer, reason = refusal.reason(), "request refused");
        if self.state.phase() == Phase::Busy {
            // the service has the request, and its own line of it
            return;
        }
        let took = self.worker.limits.tick * self.state.ticks_in_phase();
        log(&self.worker.access, info.peer.ip(), refusal, bytes, took);
    }
}

/// Logs an answer to what was no whole request.
fn log(
    access: &AccessLog,
    client: std::net::IpAddr,
    refusal: Refusal,
    bytes: usize,
    took: Duration,
) {
    if !access.is_on() {
        return;
    }
    access.write(&AccessEntry {
        request_id: "",
        client,
        user: "",
        console: "",
        backend: "",
        method: None,
        path: "",
        query: None,
        version: Version::HTTP_11,
        headers: &HeaderMap::new(),
        status: refusal.status(),
        bytes: bytes as u64,
        duration: took,
        head: took,
        auth: Duration::ZERO,
        backend_wait: Duration::ZERO,
        reason: Some(refusal.reason()),
        end: None,
    });
}

/// The page of a refusal of a client that has said nothing of itself.
fn page(refusal: Refusal, detail: Option<&str>, tls: bool) -> Response<Bytes> {
    let context = PageContext {
        scheme: if tls { "https" } else { "http" },
        unread: true,
        detail,
        ..PageContext::plain("")
    };
    page::response(refusal, &context)
}

/// An answer as it is written.
pub(super) fn written(answer: &Response<Bytes>) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {}\r\n", answer.status()).into_bytes();
    for (name, value) in answer.headers() {
        for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(piece);
        }
    }
    let length = format!("content-length: {}\r\n\r\n", answer.body().len());
    bytes.extend_from_slice(length.as_bytes());
    bytes.extend_from_slice(answer.body());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_http_with_the_reason_on_its_page() {
        for refusal in [
            Refusal::BadRequest,
            Refusal::HeadTooLarge,
            Refusal::HeadTimeout,
            Refusal::BodyTimeout,
        ] {
            let page = page(refusal, None, false);
            let (answer, length) = (written(&page), page.body().len());
            let mut headers = [httparse::EMPTY_HEADER; 16];
            let mut response = httparse::Response::new(&mut headers);
            let httparse::Status::Complete(end) = response.parse(&answer).unwrap() else {
                panic!("no whole head");
            };
            assert_eq!(response.code, Some(refusal.status().as_u16()));
            let value = |name: &str| {
                let mut headers = response.headers.iter();
                let found = headers.find(|header| header.name == name);
                std::str::from_utf8(found.unwrap().value)
                    .unwrap()
                    .to_owned()
            };
            assert_eq!(value("connection"), "close");
            assert_eq!(value("content-length"), length.to_string());
            let body = std::str::from_utf8(&answer[end..]).unwrap();
            assert_eq!(body.len(), length);
            assert!(body.contains(refusal.reason()), "{body}");
        }
    }
}
