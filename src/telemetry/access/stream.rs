//! The lines of relayed connections, UDP flows and Kerberos exchanges.

use std::{io::Write, net::IpAddr, time::Duration};

use super::{clock::Clock, combined, json};

/// What a line says of a relayed connection.
#[derive(Clone, Copy, Debug)]
pub struct StreamEntry<'a> {
    /// The client's address.
    pub client: IpAddr,
    /// Name of the stream.
    pub stream: &'a str,
    /// `tcp`, `udp` or `kkdcp`.
    pub protocol: &'static str,
    /// `host:port` of the server; empty where there was none.
    pub backend: &'a str,
    /// Bytes of the client.
    pub bytes_in: u64,
    /// Bytes of the server.
    pub bytes_out: u64,
    /// From its beginning to its end.
    pub duration: Duration,
    /// Why it ended, if not by itself.
    pub reason: Option<&'static str>,
}

/// Appends a line in the shape of the combined format: bytes from the client stand in the place of
/// the status, those to it in theirs.
pub(super) fn write_text(line: &mut Vec<u8>, entry: &StreamEntry<'_>, time: &str) {
    // writing to a Vec cannot fail
    let _written = write!(
        line,
        "{} - - [{time}] \"{} {}\" {} {} ",
        entry.client,
        entry.protocol.to_ascii_uppercase(),
        entry.stream,
        entry.bytes_in,
        entry.bytes_out
    );
    combined::word(line, entry.backend);
    line.push(b' ');
    combined::millis(line, entry.duration);
    line.push(b' ');
    combined::word(line, entry.reason.unwrap_or_default());
}

/// Appends a JSON object.
pub(super) fn write_json(line: &mut Vec<u8>, entry: &StreamEntry<'_>, clock: &Clock) {
    json::time(line, clock);
    json::shown(line, "client", &entry.client);
    json::text(line, "stream", entry.stream);
    json::text(line, "protocol", entry.protocol);
    json::text(line, "backend", entry.backend);
    for (name, bytes) in [("bytes_in", entry.bytes_in), ("bytes_out", entry.bytes_out)] {
        json::key(line, name);
        combined::number(line, bytes);
    }
    json::key(line, "duration_ms");
    combined::millis(line, entry.duration);
    json::text(line, "reason", entry.reason.unwrap_or_default());
    line.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: StreamEntry<'static> = StreamEntry {
        client: IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)),
        stream: "presto",
        protocol: "tcp",
        backend: "presto.example.com:9090",
        bytes_in: 10,
        bytes_out: 4096,
        duration: Duration::from_micros(12_345),
        reason: Some("idle_timeout"),
    };

    #[test]
    fn a_relayed_connection_is_one_line_of_text() {
        let mut line = Vec::new();
        write_text(&mut line, &ENTRY, "10/Oct/2000:13:55:36 +0000");
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "192.0.2.7 - - [10/Oct/2000:13:55:36 +0000] \"TCP presto\" 10 4096 \
             presto.example.com:9090 12.345 idle_timeout"
        );
    }

    #[test]
    fn a_relayed_connection_is_one_object_of_json() {
        let mut line = Vec::new();
        let refused = StreamEntry {
            backend: "",
            reason: None,
            ..ENTRY
        };
        write_json(&mut line, &refused, Clock::default().now());
        let json: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(json["stream"], "presto");
        assert_eq!(json["bytes_out"], 4096);
        assert_eq!(json["duration_ms"], 12.345);
        assert_eq!(json["backend"], serde_json::Value::Null);
        assert_eq!(json["reason"], serde_json::Value::Null);
    }
}
