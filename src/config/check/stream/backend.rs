//! The servers of a stream or of a `[[kdc_proxy]]`.

use super::super::{
    super::{
        StreamBackend,
        problem::{StreamProblem, ValueProblem},
        schema,
        tree::{Table, Value},
    },
    console::hosts::is_host_name,
};
use crate::net::proxy_protocol::Version;

const NEED_BACKENDS: &str = "Write backends = [\"presto.example.com:9090\", …]";
const NEED_ADDRESS: &str = "Write address = \"presto.example.com:9090\"";

/// The servers that a required key lists, with their positions.
pub(in crate::config::check) fn list<'a>(
    table: &Table<'a>,
    key: &'static str,
) -> Vec<(Value<'a>, StreamBackend)> {
    let Some(value) = table.require(key, NEED_BACKENDS) else {
        return Vec::new();
    };
    let list = value.list();
    if list.as_ref().is_some_and(Vec::is_empty) {
        value.problem(ValueProblem::Empty {
            cure: NEED_BACKENDS,
        });
    }
    let mut backends: Vec<(Value<'a>, StreamBackend)> = Vec::new();
    for element in list.unwrap_or_default() {
        let Some(backend) = one(&element) else {
            continue;
        };
        let same = |(_, other): &(Value<'a>, StreamBackend)| other.address == backend.address;
        if backends.iter().any(same) {
            element.problem(StreamProblem::BackendTwice {
                address: backend.address.to_string(),
            });
        }
        backends.push((element, backend));
    }
    backends
}

/// The position of a server's `send_proxy`, if it is set.
pub(in crate::config::check) fn send_proxy<'a>(backend: &Value<'a>) -> Option<Value<'a>> {
    if !backend.is_table() {
        return None;
    }
    backend.table(&schema::STREAM_BACKEND)?.get("send_proxy")
}

/// `send_proxy`, also of a console's backends.
pub(in crate::config::check) const PROXY_WORDS: [(&str, Version); 2] =
    [("v1", Version::V1), ("v2", Version::V2)];

fn one(element: &Value<'_>) -> Option<StreamBackend> {
    let table = if element.is_table() {
        Some(element.table(&schema::STREAM_BACKEND)?)
    } else {
        None
    };
    let own = |name| table.as_ref().and_then(|table| table.get(name));
    let weight = own("weight").and_then(|value| value.integer(0..=256));
    let most = own("max_connections").and_then(|value| value.integer(1..=1_000_000));
    let send_proxy = own("send_proxy").and_then(|value| value.keyword(&PROXY_WORDS, &[]));
    let value = match &table {
        Some(table) => table.require("address", NEED_ADDRESS)?,
        None => element.clone(),
    };
    let text = value.text()?;
    let Some((host, port)) = split(text) else {
        value.problem(StreamProblem::Backend {
            text: text.to_owned(),
        });
        return None;
    };
    let address = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    Some(StreamBackend {
        address: address.into(),
        host: host.into(),
        port,
        weight: weight.and_then(|w| u32::try_from(w).ok()).unwrap_or(1),
        max_connections: most.and_then(|most| usize::try_from(most).ok()),
        send_proxy,
    })
}

/// Host (lower case, an IPv6 address without brackets) and port.
fn split(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // u16::from_str also accepts "+88", which is excluded above.
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let host = host.to_ascii_lowercase();
    if let Some(inner) = host.strip_prefix('[') {
        let address: std::net::Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some((address.to_string(), port));
    }
    is_host_name(&host).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_server_is_a_host_and_a_port() {
        assert_eq!(
            split("KDC1.example.com:88"),
            Some(("kdc1.example.com".into(), 88))
        );
        assert_eq!(split("[2001:DB8::1]:88"), Some(("2001:db8::1".into(), 88)));
        for bad in [
            "kdc1",
            "kdc1:",
            "kdc1:0",
            "kdc1:+88",
            "::1:88",
            "[::1]",
            "a/b:88",
            ":88",
            "http://a:1",
        ] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_accepted_or_refused_without_panic(text in "[\\[\\]:0-9a-z./ ]*") {
            let _ = split(&text);
        }
    }
}
