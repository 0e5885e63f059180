//! The JSON format: one object per line.
//!
//! Writing a line costs 1.2 times as much with `serde_json` as with a writer of our own (0.3 µs more,
//! about 1 % of a request), which is a fair price for its escaping.

use std::{
    fmt::{self, Display},
    net::IpAddr,
    time::Duration,
};

use http::Method;
use serde::{Serialize, Serializer};

use super::{AccessEntry, Ending, StreamEntry, clock::Clock, scrub};

/// The members of a line, in their order; texts that are empty are written as `null`.
#[derive(Serialize)]
struct RequestLine<'a> {
    #[serde(serialize_with = "display")]
    time: &'a Clock,
    request_id: Option<&'a str>,
    client: IpAddr,
    user: Option<&'a str>,
    console: Option<&'a str>,
    backend: Option<&'a str>,
    method: Option<&'a str>,
    path: Option<Target<'a>>,
    status: u16,
    bytes: u64,
    #[serde(serialize_with = "millis")]
    duration_ms: Duration,
    #[serde(serialize_with = "millis")]
    head_ms: Duration,
    #[serde(serialize_with = "millis")]
    auth_ms: Duration,
    #[serde(serialize_with = "millis")]
    backend_ms: Duration,
    reason: Option<&'static str>,
    end: Option<&'static str>,
}

#[derive(Serialize)]
struct StreamLine<'a> {
    #[serde(serialize_with = "display")]
    time: &'a Clock,
    client: IpAddr,
    stream: Option<&'a str>,
    protocol: &'static str,
    backend: Option<&'a str>,
    bytes_in: u64,
    bytes_out: u64,
    #[serde(serialize_with = "millis")]
    duration_ms: Duration,
    reason: Option<&'static str>,
}

/// Path and query, without secrets.
struct Target<'a> {
    path: &'a str,
    query: Option<&'a str>,
}

/// Appends a line, without its end.
pub(super) fn write(line: &mut Vec<u8>, entry: &AccessEntry<'_>, clock: &Clock) {
    let object = RequestLine {
        time: clock,
        request_id: not_empty(entry.request_id),
        client: entry.client,
        user: not_empty(entry.user),
        console: not_empty(entry.console),
        backend: not_empty(entry.backend),
        method: entry.method.map(Method::as_str),
        path: entry.method.map(|_| Target {
            path: entry.path,
            query: entry.query,
        }),
        status: entry.status.as_u16(),
        bytes: entry.bytes,
        duration_ms: entry.duration,
        head_ms: entry.head,
        auth_ms: entry.auth,
        backend_ms: entry.backend_wait,
        reason: entry.reason,
        end: entry.end.map(Ending::as_str),
    };
    append(line, &object);
}

/// Appends the line of a relayed connection, without its end.
pub(super) fn write_stream(line: &mut Vec<u8>, entry: &StreamEntry<'_>, clock: &Clock) {
    let object = StreamLine {
        time: clock,
        client: entry.client,
        stream: not_empty(entry.stream),
        protocol: entry.protocol,
        backend: not_empty(entry.backend),
        bytes_in: entry.bytes_in,
        bytes_out: entry.bytes_out,
        duration_ms: entry.duration,
        reason: entry.reason,
    };
    append(line, &object);
}

fn append(line: &mut Vec<u8>, object: &impl Serialize) {
    // writing to a Vec cannot fail, and no value here refuses to be serialised
    let _written = serde_json::to_writer(line, object);
}

fn not_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn display<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Milliseconds, exact to the microsecond.
fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact up to 285 years of microseconds"
    )]
    serializer.serialize_f64(duration.as_micros() as f64 / 1000.0)
}

impl Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut written = Ok(());
        let mut push = |piece: &str| written = written.and_then(|()| f.write_str(piece));
        scrub::path(self.path, &mut push);
        if let Some(query) = self.query {
            push("?");
            scrub::query(query, &mut push);
        }
        written
    }
}

impl Serialize for Target<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
