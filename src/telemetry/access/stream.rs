//! Lines of relayed connections, UDP flows and Kerberos exchanges.

use std::{io::Write, net::IpAddr, time::Duration};

use super::combined;

/// The fields of a relayed connection's line.
#[derive(Clone, Copy, Debug)]
pub struct StreamEntry<'a> {
    pub client: IpAddr,
    /// Name of the stream.
    pub stream: &'a str,
    /// `tcp`, `udp` or `kkdcp`.
    pub protocol: &'static str,
    /// `host:port` of the server; empty if there was none.
    pub backend: &'a str,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes from the server.
    pub bytes_out: u64,
    pub duration: Duration,
    /// Why the gateway ended it, if it did.
    pub reason: Option<&'static str>,
}

/// Appends a line like those of the combined format, with the client's bytes in place of the status.
/// Tools that read the combined format can then sum up the bytes.
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

#[cfg(test)]
mod tests {
    use super::{
        super::{clock::Clock, json},
        *,
    };

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
    fn a_relayed_connection_is_a_line_of_text() {
        let mut line = Vec::new();
        write_text(&mut line, &ENTRY, "10/Oct/2000:13:55:36 +0000");
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "192.0.2.7 - - [10/Oct/2000:13:55:36 +0000] \"TCP presto\" 10 4096 \
             presto.example.com:9090 12.345 idle_timeout"
        );
    }

    #[test]
    fn a_relayed_connection_is_a_json_object() {
        let mut line = Vec::new();
        let refused = StreamEntry {
            backend: "",
            reason: None,
            ..ENTRY
        };
        json::write_stream(&mut line, &refused, Clock::default().now());
        let json: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(json["stream"], "presto");
        assert_eq!(json["bytes_out"], 4096);
        assert_eq!(json["duration_ms"], 12.345);
        assert_eq!(json["backend"], serde_json::Value::Null);
        assert_eq!(json["reason"], serde_json::Value::Null);
    }
}
