//! `[session]`

use std::{path::PathBuf, time::Duration};

use zeroize::Zeroizing;

use super::{
    super::{
        SessionConfig,
        problem::{ValueProblem, WarningKind},
        schema,
        tree::{Table, Value},
    },
    Environment, files,
};
use crate::auth::secret::MIN_SECRET;

pub(super) fn check(top: &Table<'_>, environment: &Environment<'_>) -> SessionConfig {
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
            .and_then(|value| secret(&value, environment));
    }
    let is_set = |table: &Table<'_>| table.get("secret_file").is_some();
    // a gateway with streams only has no sessions
    if top.get("console").is_some() && !table.as_ref().is_some_and(is_set) {
        table.as_ref().map_or_else(
            || top.warning_at("session", WarningKind::RandomSecret),
            |table| table.warning_at("secret_file", WarningKind::RandomSecret),
        );
    }
    values
}

fn secret(value: &Value<'_>, environment: &Environment<'_>) -> Option<PathBuf> {
    let file = environment.path(value.text()?);
    // Read only to check it; the runtime reads it again.
    let secret = Zeroizing::new(files::read(value, &file)?);
    files::warn_if_world_readable(value, &file);
    // With a secret of their own in its place, any local user could sign a session of any user.
    if files::is_world_writable(&file) {
        value.problem(ValueProblem::WorldWritable { file: file.clone() });
    }
    if secret.len() < MIN_SECRET {
        value.problem(ValueProblem::ShortSecret {
            file: file.clone(),
            found: secret.len(),
            least: MIN_SECRET,
        });
    }
    Some(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::tests::{check, problems, with};

    fn secret(bytes: &[u8], mode: u32) -> (tempfile::TempDir, String) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        std::fs::write(&file, bytes).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let section = format!(
            "[session]\nsecret_file = \"{}\"\n[[console]]",
            file.display()
        );
        (directory, with("[[console]]", &section))
    }

    #[test]
    fn a_short_secret_is_refused_and_a_readable_one_is_a_warning() {
        let (_guard, text) = secret(&[1; 31], 0o600);
        let found = problems(&text);
        assert!(
            found[0].ends_with("secret has only 31 bytes; a secret needs at least 32"),
            "{found:?}"
        );
        let (_guard, text) = secret(&[1; 32], 0o602);
        assert!(problems(&text)[0].ends_with("secret is writable by every user"));
        let (_guard, text) = secret(&[1; 32], 0o640);
        assert!(check(&text).unwrap().1.is_empty());
        let (_guard, text) = secret(&[1; 32], 0o644);
        assert_eq!(check(&text).unwrap().1.len(), 1);
    }

    #[test]
    fn a_missing_or_endless_secret_file_is_refused() {
        for file in ["/nonexistent/secret", "/dev/urandom"] {
            let section = format!("[session]\nsecret_file = \"{file}\"\n[[console]]");
            let found = problems(&with("[[console]]", &section));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(
                found[0].starts_with("7: session.secret_file: cannot read"),
                "{found:?}"
            );
        }
    }
}
