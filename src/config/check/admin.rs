//! `[admin]`

use super::super::{
    AdminConfig,
    problem::WarningKind,
    schema,
    tree::{Table, Value},
};

pub(super) fn check<'a>(top: &Table<'a>) -> Option<(Value<'a>, AdminConfig)> {
    let table = top.table("admin", &schema::ADMIN)?;
    let value = table.require("listen", "Write listen = \"127.0.0.1:9095\"")?;
    let listen = value.address()?;
    if !listen.ip().is_loopback() {
        value.warning(WarningKind::AdminExposed { listen });
    }
    Some((value, AdminConfig { listen }))
}
