//! `[[kdc_proxy]]`: realms whose KDCs are reached through HTTPS.

use std::sync::Arc;

use super::{
    super::{
        KdcProxy,
        problem::StreamFault,
        schema,
        tree::{Node, Table},
    },
    Surroundings,
    console::addresses,
    sources, stream_backend, tls,
};

/// A table, and the places of what others may collide with.
pub(super) struct Checked<'a> {
    pub(super) proxy: KdcProxy,
    /// One place for each of `proxy.listen`.
    pub(super) listen: Vec<Node<'a>>,
    /// The place of its realm.
    pub(super) realm: Option<Node<'a>>,
    /// Whether it has a `tls` of its own.
    pub(super) has_tls: bool,
}

const NEED_LISTEN: &str = "Write listen = \"0.0.0.0:443\", alone or shared with consoles";
const NEED_REALM: &str = "Write realm = \"EXAMPLE.COM\"; no realm is looked up in the DNS";

pub(super) fn check_all<'a>(top: &Table<'a>, surroundings: &Surroundings<'_>) -> Vec<Checked<'a>> {
    let list = top.get("kdc_proxy").and_then(|node| node.list());
    let tables = list.unwrap_or_default();
    let checked: Vec<_> = tables
        .iter()
        .filter_map(|node| Some(check(&node.table(&schema::KDC_PROXY)?, surroundings)))
        .collect();
    for (index, one) in checked.iter().enumerate() {
        for (other, earlier) in checked.iter().take(index).enumerate() {
            let same = one.proxy.realm.eq_ignore_ascii_case(&earlier.proxy.realm);
            let mut shared = one.proxy.listen.iter();
            let listener = shared.find(|address| earlier.proxy.listen.contains(address));
            if let (true, Some(listener), Some(node)) = (same, listener, &one.realm) {
                node.problem(StreamFault::RealmTwice {
                    realm: one.proxy.realm.to_string(),
                    other,
                    listener: *listener,
                });
            }
        }
    }
    checked
}

fn check<'a>(table: &Table<'a>, surroundings: &Surroundings<'_>) -> Checked<'a> {
    let (listen_at, listen) = table
        .require("listen", NEED_LISTEN)
        .map(|node| addresses(&node, NEED_LISTEN))
        .unwrap_or_default()
        .into_iter()
        .unzip();
    let (node, realm) = realm(table).unzip();
    let servers = |key| -> Vec<_> {
        let list = stream_backend::list(table, key);
        list.into_iter()
            .map(|(node, backend)| {
                if let Some(node) = stream_backend::send_proxy(&node) {
                    node.problem(StreamFault::TcpOnly { key: "send_proxy" });
                }
                backend
            })
            .collect()
    };
    Checked {
        proxy: KdcProxy {
            listen,
            tls: tls::check(table, &[], surroundings),
            realm: realm.unwrap_or_default(),
            backends: servers("backends"),
            kpasswd: if table.get("kpasswd").is_some() {
                servers("kpasswd")
            } else {
                Vec::new()
            },
            allow_from: sources::networks(table, "allow_from"),
        },
        listen: listen_at,
        realm: node,
        has_tls: table.get("tls").is_some(),
    }
}

/// RFC 4120 section 6.1: a realm in domain style, as every KDC of this field has it.
fn realm<'a>(table: &Table<'a>) -> Option<(Node<'a>, Arc<str>)> {
    let node = table.require("realm", NEED_REALM)?;
    let text = node.text()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if text.len() > 255 || !text.bytes().all(plain) {
        node.problem(StreamFault::Realm {
            text: text.to_owned(),
        });
        return None;
    }
    Some((node, text.into()))
}
