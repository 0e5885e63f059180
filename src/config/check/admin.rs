//! `[admin]`

use super::super::{
    AdminConfig,
    problem::Concern,
    schema,
    tree::{Node, Table},
};

pub(super) fn check<'a>(top: &Table<'a>) -> Option<(Node<'a>, AdminConfig)> {
    let table = top.table("admin", &schema::ADMIN)?;
    let node = table.require("listen", "Write listen = \"127.0.0.1:9095\"")?;
    let listen = node.address()?;
    if !listen.ip().is_loopback() {
        node.warning(Concern::AdminExposed { listen });
    }
    Some((node, AdminConfig { listen }))
}
