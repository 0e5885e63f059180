//! The access log: one line per request or relayed connection, written when it ends.
//!
//! A worker formats the line in its own buffer and appends it to a shared one, which a separate
//! thread writes out. A slow disk or pipe therefore never blocks a worker: beyond 4 MiB, lines are
//! dropped and counted. Times are UTC.

use std::{cell::RefCell, fmt, net::IpAddr, sync::Arc, time::Duration};

use http::{HeaderMap, Method, StatusCode, Version};

use crate::telemetry::log::LogFormat;

mod clock;
mod combined;
mod json;
mod scrub;
mod sink;
mod stream;

pub use self::sink::AccessLogTarget;
use self::{clock::Clock, sink::Sink};
pub(crate) use self::{sink::AccessLogError, stream::StreamEntry};

/// The fields of a request's line.
///
/// Secrets are removed from the query and from `Referer` when the line is written; cookies and tokens
/// are never part of it.
#[derive(Clone, Copy, Debug)]
pub struct AccessEntry<'a> {
    /// Empty if the request has no id.
    pub request_id: &'a str,
    /// The client's address.
    pub client: IpAddr,
    /// Short name of the user; empty before a login.
    pub user: &'a str,
    /// Name of the console; empty if no console matched.
    pub console: &'a str,
    /// `host:port` of the backend that responded; empty if none did.
    pub backend: &'a str,
    /// `None` if the client did not send a complete request.
    pub method: Option<&'a Method>,
    /// Path in the form that the client sent; empty if there is no method.
    pub path: &'a str,
    /// Query as the client sent it, without `?`.
    pub query: Option<&'a str>,
    pub version: Version,
    /// The request's headers, for `Referer` and `User-Agent` (text format only).
    pub headers: &'a HeaderMap,
    /// Status of the response; 499 if the client closed the connection before it.
    pub status: StatusCode,
    /// Bytes of the body that were sent.
    pub bytes: u64,
    /// From the request's head to the end of the response.
    pub duration: Duration,
    /// The part of `duration` until the head of the response.
    pub head: Duration,
    /// The part of `duration` for authentication.
    pub auth: Duration,
    /// The part of `duration` spent waiting for the head of the backend's response.
    pub backend_wait: Duration,
    /// Reason word, if the gateway refused the request.
    pub reason: Option<&'static str>,
    /// How the response was cut short, if it was.
    pub end: Option<Ending>,
}

/// How a response was cut short, and by which side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The client closed or reset its connection or stream.
    ClientClosed,
    /// The client sent or received nothing for `timeouts.body_idle`, or sent less than
    /// `timeouts.min_upload_rate`.
    ClientStalled,
    /// The backend closed the connection or violated HTTP before the end of its response.
    BackendBroken,
    /// The backend sent nothing for `timeouts.body_idle`.
    BackendStalled,
    /// The gateway stopped before the response was complete.
    Drained,
}

impl Ending {
    pub const ALL: &'static [Self] = &[
        Self::ClientClosed,
        Self::ClientStalled,
        Self::BackendBroken,
        Self::BackendStalled,
        Self::Drained,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientClosed => "client_closed",
            Self::ClientStalled => "client_stalled",
            Self::BackendBroken => "backend_broken",
            Self::BackendStalled => "backend_stalled",
            Self::Drained => "drained",
        }
    }
}

/// A handle to the access log; every worker has its own clone. If the log is off, a handle costs one
/// branch.
pub struct AccessLog {
    on: Option<OpenLog>,
}

struct OpenLog {
    sink: Arc<Sink>,
    format: LogFormat,
    // One buffer for each worker: a line is formatted without a lock and without an allocation.
    scratch: RefCell<(Clock, Vec<u8>)>,
}

impl AccessLog {
    /// A handle that writes nothing.
    pub const fn off() -> Self {
        Self { on: None }
    }

    /// Opens the log and starts its thread.
    ///
    /// # Errors
    /// `AccessLogError`, naming the file.
    pub fn open(target: &AccessLogTarget, format: LogFormat) -> Result<Self, AccessLogError> {
        Ok(Self {
            on: Sink::open(target)?.map(|sink| OpenLog::new(sink, format)),
        })
    }

    /// Whether lines are written; callers skip work that only the log needs.
    pub const fn is_on(&self) -> bool {
        self.on.is_some()
    }

    /// Logs a request.
    pub fn write(&self, entry: &AccessEntry<'_>) {
        let Some(on) = &self.on else { return };
        on.append(|line, clock| match on.format {
            LogFormat::Text => combined::write(line, entry, clock.combined()),
            LogFormat::Json => json::write(line, entry, clock),
        });
    }

    /// Logs a relayed connection.
    pub fn write_stream(&self, entry: &StreamEntry<'_>) {
        let Some(on) = &self.on else { return };
        on.append(|line, clock| match on.format {
            LogFormat::Text => stream::write_text(line, entry, clock.combined()),
            LogFormat::Json => json::write_stream(line, entry, clock),
        });
    }

    /// A handle that any thread may use to reopen and close the log.
    pub fn control(&self) -> AccessLogControl {
        AccessLogControl {
            sink: self.on.as_ref().map(|on| Arc::clone(&on.sink)),
        }
    }
}

impl OpenLog {
    fn new(sink: Arc<Sink>, format: LogFormat) -> Self {
        Self {
            sink,
            format,
            scratch: RefCell::default(),
        }
    }

    fn append(&self, write: impl FnOnce(&mut Vec<u8>, &Clock)) {
        let (clock, line) = &mut *self.scratch.borrow_mut();
        line.clear();
        write(line, clock.now());
        line.push(b'\n');
        self.sink.append(line);
    }
}

impl Clone for AccessLog {
    fn clone(&self) -> Self {
        Self {
            // A clone is for another worker, which needs a buffer of its own.
            on: self
                .on
                .as_ref()
                .map(|on| OpenLog::new(Arc::clone(&on.sink), on.format)),
        }
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog")
            .field("on", &self.is_on())
            .finish_non_exhaustive()
    }
}

/// Reopens and closes the log.
#[derive(Clone, Debug)]
pub struct AccessLogControl {
    sink: Option<Arc<Sink>>,
}

impl AccessLogControl {
    /// Reopens the file before the next line (log rotation, SIGHUP). If that fails, the old file stays
    /// open and an error is logged.
    pub fn reopen(&self) {
        if let Some(sink) = &self.sink {
            sink.reopen();
        }
    }

    /// Writes the remaining lines and ends the thread; later lines are dropped.
    pub fn close(&self) {
        if let Some(sink) = &self.sink {
            sink.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn entry(headers: &HeaderMap) -> AccessEntry<'_> {
        AccessEntry {
            request_id: "7f",
            client: IpAddr::from([192, 0, 2, 7]),
            user: "alice",
            console: "namenode",
            backend: "nn1.example.com:50070",
            method: Some(&Method::GET),
            path: "/webhdfs/v1/tmp",
            query: Some("op=OPEN&delegation=SECRET&doAs=bob"),
            version: Version::HTTP_11,
            headers,
            status: StatusCode::OK,
            bytes: 4096,
            duration: Duration::from_micros(12_345),
            head: Duration::from_micros(9_100),
            auth: Duration::from_micros(50),
            backend_wait: Duration::from_millis(9),
            reason: None,
            end: None,
        }
    }

    fn logged(format: LogFormat, entries: &[AccessEntry<'_>]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let log = AccessLog::open(&AccessLogTarget::File(path.clone()), format).unwrap();
        for entry in entries {
            log.write(entry);
        }
        log.control().close();
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_line_of_text_is_combined_format_with_further_fields() {
        let mut headers = HeaderMap::new();
        headers.insert("referer", "http://a/?token=SECRET&b".parse().unwrap());
        headers.insert("user-agent", "curl \"8\"".parse().unwrap());
        headers.insert("cookie", "spnegate=SECRET".parse().unwrap());
        let text = logged(LogFormat::Text, &[entry(&headers)]);
        let (start, rest) = text.split_once(" [").unwrap();
        assert_eq!(start, "192.0.2.7 - alice");
        let (_time, rest) = rest.split_once("] ").unwrap();
        assert_eq!(
            rest,
            "\"GET /webhdfs/v1/tmp?op=OPEN&delegation=-&doAs=bob HTTP/1.1\" 200 4096 \
             \"http://a/?token=-&b\" \"curl \\x228\\x22\" namenode nn1.example.com:50070 12.345 7f - - 9.100\n"
        );
    }

    #[test]
    fn a_line_of_json_is_one_object() {
        let headers = HeaderMap::new();
        let refused = AccessEntry {
            user: "",
            backend: "",
            path: "/a\"\n",
            query: None,
            reason: Some("login_required"),
            end: Some(Ending::ClientClosed),
            ..entry(&headers)
        };
        let text = logged(LogFormat::Json, &[entry(&headers), refused]);
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert!(
            text.starts_with("{\"time\":\"20")
                && text.contains("Z\",\"request_id\":\"7f\",\"client\":"),
            "{text}"
        );
        assert_eq!(lines[0]["client"], "192.0.2.7");
        assert_eq!(lines[0]["user"], "alice");
        assert_eq!(
            lines[0]["path"],
            "/webhdfs/v1/tmp?op=OPEN&delegation=-&doAs=bob"
        );
        assert_eq!(lines[0]["status"], 200);
        assert_eq!(lines[0]["duration_ms"], 12.345);
        assert_eq!(lines[0]["auth_ms"], 0.05);
        assert_eq!(lines[0]["backend_ms"], 9.0);
        assert_eq!(lines[0]["head_ms"], 9.1);
        assert_eq!(lines[0]["reason"], serde_json::Value::Null);
        assert_eq!(lines[0]["end"], serde_json::Value::Null);
        assert_eq!(lines[1]["path"], "/a\"\n");
        assert_eq!(lines[1]["user"], serde_json::Value::Null);
        assert_eq!(lines[1]["reason"], "login_required");
        assert_eq!(lines[1]["end"], "client_closed");
    }

    #[test]
    fn an_incomplete_request_is_logged_too() {
        let headers = HeaderMap::new();
        let none = AccessEntry {
            method: None,
            path: "",
            query: None,
            status: StatusCode::BAD_REQUEST,
            ..entry(&headers)
        };
        let text = logged(LogFormat::Text, &[none]);
        assert!(text.contains("] \"-\" 400 4096 "), "{text}");
        let text = logged(LogFormat::Json, &[none]);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["method"], serde_json::Value::Null);
        assert_eq!(line["path"], serde_json::Value::Null);
        assert_eq!(line["status"], 400);
    }

    #[test]
    fn no_secret_is_written_in_either_format() {
        let mut headers = HeaderMap::new();
        headers.insert("referer", "http://a/?delegation=SECRET".parse().unwrap());
        headers.insert("authorization", "Negotiate SECRET".parse().unwrap());
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = logged(format, &[entry(&headers)]);
            assert!(!text.contains("SECRET"), "{text}");
        }
    }

    #[test]
    fn a_rotated_file_is_reopened() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let target = AccessLogTarget::File(path.clone());
        let log = AccessLog::open(&target, LogFormat::Text).unwrap();
        let headers = HeaderMap::new();
        log.write(&entry(&headers));
        let size = |path: &std::path::Path| fs::metadata(path).map_or(0, |m| m.len());
        while size(&path) == 0 {
            std::thread::yield_now();
        }
        let old = dir.path().join("access.log.1");
        fs::rename(&path, &old).unwrap();
        log.control().reopen();
        log.write(&entry(&headers));
        log.control().close();
        assert_eq!(fs::read_to_string(old).unwrap().lines().count(), 1);
        assert_eq!(fs::read_to_string(path).unwrap().lines().count(), 1);
    }

    #[test]
    fn the_error_names_a_file_that_cannot_be_opened() {
        let target = AccessLogTarget::File("/nonexistent/access.log".into());
        let error = AccessLog::open(&target, LogFormat::Text).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("log.access: /nonexistent/access.log"),
            "{error}"
        );
    }

    #[test]
    fn a_log_that_is_off_accepts_entries() {
        assert!(
            !AccessLog::open(&AccessLogTarget::Off, LogFormat::Text)
                .unwrap()
                .is_on()
        );
        AccessLog::off().write(&entry(&HeaderMap::new()));
    }
}
