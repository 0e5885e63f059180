//! The server's own responses: to malformed bytes, and to a request that did not arrive in time.
//!
//! They have a page, a line in both logs and a count, as every refusal of the gateway has.

use std::{pin::Pin, task::Context, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Response, Version};
use tokio::{io::AsyncWrite, net::TcpStream};

use super::{Connection, Http1, Stage, state::Phase, stream::Stream, tunnel::RunningTunnel};
use crate::{
    refusal::{
        Refusal,
        page::{self, PageContext},
    },
    server::HttpService,
    telemetry::access::{AccessEntry, AccessLog},
};

mod plain_http;

impl<S: HttpService> Connection<S> {
    /// hyper has finished with the connection: by an upgrade, at its regular end, or with an error.
    pub(super) fn hyper_finished(
        &mut self,
        http1: Http1<S>,
        result: &Result<(), hyper::Error>,
        cx: &mut Context<'_>,
    ) {
        let parts = http1.into_parts();
        let stream = parts.io.into_inner().into_stream();
        let Err(error) = result else {
            if let Some(tunnel) = self.state.take_tunnel() {
                self.state.enter(Phase::Tunnel);
                let tunnel = RunningTunnel::new(stream, parts.read_buf, *tunnel, &self.state);
                self.stage = Stage::Tunnel(tunnel);
            } else {
                let more = self.state.is_mid_message();
                self.hang_up(stream, more);
            }
            return;
        };
        tracing::debug!(peer = %self.state.info().peer, %error, "connection failed");
        // hyper reports a `Content-Length` beyond u64 as too large as well; that is malformed.
        let refusal = if error.is_parse_too_large() && !self.state.is_malformed() {
            Refusal::HeadTooLarge
        } else if error.is_parse() {
            Refusal::BadRequest
        } else {
            self.stage = Stage::Done;
            return;
        };
        refusal.count();
        if self.state.is_unanswered() {
            // hyper's texts contain no bytes of the client, so they may be shown on the page.
            let detail = (refusal == Refusal::BadRequest).then(|| error.to_string());
            self.refuse(stream, refusal, detail.as_deref(), cx);
        } else {
            // hyper's own bare response is already written behind an earlier response that the
            // client had not read; a page after it would be a second response.
            self.log_refusal(refusal, 0);
            let more = self.state.is_mid_message();
            self.hang_up(stream, more);
        }
    }

    pub(super) fn refuse(
        &mut self,
        stream: Stream,
        refusal: Refusal,
        detail: Option<&str>,
        cx: &mut Context<'_>,
    ) {
        let tls = self.state.info().tls;
        self.respond(stream, refusal, &page(refusal, detail, tls), cx);
    }

    /// Plain HTTP on a TLS listener: the page names the `https` address. Nothing else of the request
    /// is processed.
    pub(super) fn refuse_plain_http(&mut self, tcp: TcpStream, head: &[u8], cx: &mut Context<'_>) {
        let refusal = Refusal::PlainHttp;
        refusal.count();
        let (peer, reason) = (self.state.info().peer, refusal.reason());
        tracing::info!(%peer, reason, "plain HTTP on an address that speaks TLS");
        let response = plain_http::response(head);
        self.respond(Stream::Plain(tcp), refusal, &response, cx);
    }

    /// Writes and logs the response, then closes. What does not fit into the socket's buffer
    /// immediately is lost: the client has already used up its time.
    fn respond(
        &mut self,
        mut stream: Stream,
        refusal: Refusal,
        response: &Response<Bytes>,
        cx: &mut Context<'_>,
    ) {
        let _sent = Pin::new(&mut stream).poll_write(cx, &serialized(response));
        self.log_refusal(refusal, response.body().len());
        // A client of plain HTTP may still be sending its request.
        let more = refusal == Refusal::PlainHttp || self.state.is_mid_message();
        self.hang_up(stream, more);
    }

    /// `bytes`: length of the response's body.
    pub(super) fn log_refusal(&self, refusal: Refusal, bytes: usize) {
        let info = self.state.info();
        tracing::debug!(peer = %info.peer, reason = refusal.reason(), "request refused");
        if self.state.phase() == Phase::Service {
            // The service has the request and writes the line of the access log itself.
            return;
        }
        let took = self.worker.limits.tick * self.state.ticks_in_phase();
        log(&self.worker.access, info.peer.ip(), refusal, bytes, took);
    }
}

/// Writes a line of the access log without the fields of a request, which is incomplete.
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

/// The page for a client of which no header is known.
fn page(refusal: Refusal, detail: Option<&str>, tls: bool) -> Response<Bytes> {
    let context = PageContext {
        scheme: if tls { "https" } else { "http" },
        unread: true,
        detail,
        ..PageContext::plain("")
    };
    page::response(refusal, &context)
}

/// The bytes of a response, in HTTP/1.1.
fn serialized(response: &Response<Bytes>) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {}\r\n", response.status()).into_bytes();
    for (name, value) in response.headers() {
        for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(piece);
        }
    }
    let length = format!("content-length: {}\r\n\r\n", response.body().len());
    bytes.extend_from_slice(length.as_bytes());
    bytes.extend_from_slice(response.body());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_valid_http_with_the_reason_on_its_page() {
        for refusal in [
            Refusal::BadRequest,
            Refusal::HeadTooLarge,
            Refusal::HeadTimeout,
            Refusal::BodyTimeout,
        ] {
            let page = page(refusal, None, false);
            let (bytes, length) = (serialized(&page), page.body().len());
            let mut headers = [httparse::EMPTY_HEADER; 16];
            let mut response = httparse::Response::new(&mut headers);
            let httparse::Status::Complete(end) = response.parse(&bytes).unwrap() else {
                panic!("incomplete head");
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
            let body = std::str::from_utf8(&bytes[end..]).unwrap();
            assert_eq!(body.len(), length);
            assert!(body.contains(refusal.reason()), "{body}");
        }
    }
}
