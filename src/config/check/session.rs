//! `[session]`

use std::{path::PathBuf, time::Duration};

use zeroize::Zeroizing;

use super::{
    super::{
        SessionConfig,
        problem::{Concern, ValueFault},
        schema,
        tree::{Node, Table},
    },
    Surroundings, files,
};

/// Bytes that a secret has at least: the size of an HMAC-SHA256 key (RFC 2104 section 3).
const LEAST_SECRET: usize = 32;

pub(super) fn check(top: &Table<'_>, surroundings: &Surroundings<'_>) -> SessionConfig {
    let mut values = SessionConfig {
        lifetime: Duration::from_secs(36_000),
        idle: Duration::from_secs(3_600),
        secret_file: None,
        capacity: 100_000,
    };
    let table = top.table("session", &schema::SESSION);
    if let Some(table) = &table {
        let bounds = Duration::from_secs(1)..=Duration::from_secs(30 * 86_400);
        values.lifetime = table.duration("lifetime", values.lifetime, bounds.clone());
        values.idle = table.duration("idle", values.idle, bounds);
        values.capacity = table.integer("capacity", values.capacity, 1..=1_000_000_000);
        values.secret_file = table
            .get("secret_file")
            .and_then(|node| secret(&node, surroundings));
    }
    if table
        .as_ref()
        .is_none_or(|table| table.get("secret_file").is_none())
    {
        table.as_ref().map_or_else(
            || top.warning_at("session", Concern::RandomSecret),
            |table| table.warning_at("secret_file", Concern::RandomSecret),
        );
    }
    values
}

fn secret(node: &Node<'_>, surroundings: &Surroundings<'_>) -> Option<PathBuf> {
    let file = surroundings.path(node.text()?);
    let secret = Zeroizing::new(files::read(node, &file)?);
    files::warn_if_world_readable(node, &file);
    if secret.len() < LEAST_SECRET {
        node.problem(ValueFault::ShortSecret {
            file: file.clone(),
            found: secret.len(),
            least: LEAST_SECRET,
        });
    }
    Some(file)
}
