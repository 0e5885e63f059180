//! `[[kdc_proxy]]`: realms whose KDCs are reached through HTTPS.

use std::sync::Arc;

use super::{
    super::{
        KdcProxy,
        problem::StreamProblem,
        schema,
        tree::{Table, Value},
    },
    Environment,
    console::addresses,
    networks,
    stream::backend,
    tls,
};

/// A table, and the positions of what may conflict with others.
pub(super) struct CheckedKdcProxy<'a> {
    pub(super) proxy: KdcProxy,
    /// The position of each of `proxy.listen`.
    pub(super) listen: Vec<Value<'a>>,
    /// The position of its realm.
    pub(super) realm: Option<Value<'a>>,
    /// Whether it has a `tls` of its own.
    pub(super) has_tls: bool,
}

const NEED_LISTEN: &str = "Write listen = \"0.0.0.0:443\", alone or shared with consoles";
const NEED_REALM: &str = "Write realm = \"EXAMPLE.COM\"; realms are not looked up in DNS";

pub(super) fn check_all<'a>(
    top: &Table<'a>,
    environment: &Environment<'_>,
) -> Vec<CheckedKdcProxy<'a>> {
    let list = top.get("kdc_proxy").and_then(|value| value.list());
    let tables = list.unwrap_or_default();
    let checked: Vec<_> = tables
        .iter()
        .filter_map(|value| Some(check(&value.table(&schema::KDC_PROXY)?, environment)))
        .collect();
    for (index, one) in checked.iter().enumerate() {
        for (other, earlier) in checked.iter().take(index).enumerate() {
            // Without case, as requests are compared with the realms.
            let same = one.proxy.realm.eq_ignore_ascii_case(&earlier.proxy.realm);
            let mut shared = one.proxy.listen.iter();
            let listener = shared.find(|address| earlier.proxy.listen.contains(address));
            if let (true, Some(listener), Some(value)) = (same, listener, &one.realm) {
                value.problem(StreamProblem::RealmTwice {
                    realm: one.proxy.realm.to_string(),
                    other,
                    listener: *listener,
                });
            }
        }
    }
    checked
}

fn check<'a>(table: &Table<'a>, environment: &Environment<'_>) -> CheckedKdcProxy<'a> {
    let (listen_values, listen) = table
        .require("listen", NEED_LISTEN)
        .map(|value| addresses(&value, NEED_LISTEN))
        .unwrap_or_default()
        .into_iter()
        .unzip();
    let (value, realm) = realm(table).unzip();
    let servers = |key| -> Vec<_> {
        let list = backend::list(table, key);
        list.into_iter()
            .map(|(value, server)| {
                if let Some(value) = backend::send_proxy(&value) {
                    value.problem(StreamProblem::TcpOnly { key: "send_proxy" });
                }
                server
            })
            .collect()
    };
    CheckedKdcProxy {
        proxy: KdcProxy {
            listen,
            // No hosts to compare with the certificate: `/KdcProxy` is served for any `Host`.
            tls: tls::check(table, &[], environment),
            realm: realm.unwrap_or_default(),
            backends: servers("backends"),
            kpasswd: if table.get("kpasswd").is_some() {
                servers("kpasswd")
            } else {
                Vec::new()
            },
            allow_from: networks::list(table, "allow_from"),
        },
        listen: listen_values,
        realm: value,
        has_tls: table.get("tls").is_some(),
    }
}

/// A realm in domain style (RFC 4120 section 6.1), the only style that KDCs in use have.
fn realm<'a>(table: &Table<'a>) -> Option<(Value<'a>, Arc<str>)> {
    // Required, because a proxy that looks realms up in the DNS lets clients choose the servers that
    // it connects to (CVE-2025-59088).
    let value = table.require("realm", NEED_REALM)?;
    let text = value.text()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if text.len() > 255 || !text.bytes().all(plain) {
        value.problem(StreamProblem::Realm {
            text: text.to_owned(),
        });
        return None;
    }
    Some((value, text.into()))
}
