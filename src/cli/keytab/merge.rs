//! `spnegate keytab merge`: merges several keytab files into one.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use super::{KeytabCommandError, MergeArguments, Prefer, cannot_write};
use crate::gss::{Keytab, keytab::Entry};

/// Writes the keys of all input files into one, with all versions, in the order of the inputs.
///
/// A key that several files have is written once. The output is replaced by a rename: readers see
/// either the old file or the new one. Its mode and owner stay; a new file has mode 0600. Its former
/// keys are kept only if it is also one of the inputs.
pub fn merge(arguments: &MergeArguments, out: &mut dyn Write) -> Result<(), KeytabCommandError> {
    let mut merged = Merged::default();
    for path in &arguments.inputs {
        // Old versions stay, because clients hold tickets for them until those expire.
        for entry in Keytab::load(path)?.entries {
            merged.add(entry, path, arguments.prefer);
        }
    }
    for note in &merged.notes {
        writeln!(out, "{note}")?;
    }
    // After the notes, so that all conflicts are listed before the command fails.
    if let Some(conflict) = merged.conflict {
        return Err(conflict);
    }
    let entries = merged.entries.into_iter().map(|(entry, _)| entry).collect();
    let keytab = Keytab { entries };
    let path = &arguments.output;
    replace(path, &keytab.to_bytes()).map_err(cannot_write(path))?;
    let (keys, principals) = (keytab.entries.len(), keytab.principals().len());
    writeln!(
        out,
        "{}: {keys} keys of {principals} principals",
        path.display()
    )?;
    Ok(())
}

#[derive(Default)]
struct Merged {
    /// The keys, each with the file that it comes from.
    entries: Vec<(Entry, PathBuf)>,
    notes: Vec<String>,
    conflict: Option<KeytabCommandError>,
}

impl Merged {
    fn add(&mut self, entry: Entry, path: &Path, prefer: Option<Prefer>) {
        let known = self.entries.iter_mut().find(|(known, _)| {
            known.principal == entry.principal
                && known.kvno == entry.kvno
                && known.enctype == entry.enctype
        });
        let Some((known, from)) = known else {
            self.entries.push((entry, path.to_owned()));
            return;
        };
        let shown = format!("{entry:?}");
        let (first, second) = (from.display(), path.display());
        if known.key == entry.key {
            self.notes.push(format!(
                "duplicate, written once: {shown} ({first}, {second})"
            ));
            return;
        }
        let Some(prefer) = prefer else {
            self.notes
                .push(format!("DIFFERENT KEYS: {shown} ({first}, {second})"));
            match &mut self.conflict {
                Some(KeytabCommandError::Conflict { count, .. }) => *count += 1,
                Some(_) | None => {
                    self.conflict = Some(KeytabCommandError::Conflict {
                        count: 1,
                        principal: entry.principal,
                        kvno: entry.kvno,
                        enctype: entry.enctype,
                        first: from.clone(),
                        second: path.to_owned(),
                    });
                }
            }
            return;
        };
        let replace = match prefer {
            Prefer::First => false,
            Prefer::Last => true,
            Prefer::Newest => entry.timestamp > known.timestamp,
        };
        let chosen = if replace { &second } else { &first };
        self.notes.push(format!(
            "different keys, using the one from {chosen}: {shown}"
        ));
        if replace {
            *known = entry;
            path.clone_into(from);
        }
    }
}

/// Replaces a file atomically and keeps its mode and owner: the gateway's user, which is often only in the
/// group of the file, must still be able to read it.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Replace the target of a symbolic link, not the link.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = target
        .file_name()
        .ok_or(io::ErrorKind::InvalidFilename)?
        .to_string_lossy();
    // In the same directory, because a rename is atomic within one file system only.
    let new = target.with_file_name(format!(".{name}.{}", std::process::id()));
    let old = fs::metadata(&target).ok();
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        if let Some(old) = &old {
            let now = file.metadata()?;
            // Only a privileged user may change the owner, so this is not called without need.
            // Owner and mode are set before the keys are written: no other user can read them in
            // between.
            if (now.uid(), now.gid()) != (old.uid(), old.gid()) {
                fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
            file.set_permissions(Permissions::from_mode(old.mode() & 0o777))?;
        }
        file.write_all(bytes)?;
        // After a crash, the new name must not point to a file whose content was not written.
        file.sync_all()?;
        fs::rename(&new, &target)
    })();
    if written.is_err() {
        // Best effort; the first error is the one to report.
        let _ = fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::gss::keytab::Enctype;

    fn write(path: &Path, entries: &[(&str, u32, u8, u32)]) {
        let entries = entries
            .iter()
            .map(|(principal, kvno, key, timestamp)| Entry {
                principal: principal.parse().unwrap(),
                name_type: 1,
                timestamp: *timestamp,
                kvno: *kvno,
                enctype: Enctype(18),
                key: Zeroizing::new(vec![*key; 32]),
            })
            .collect();
        fs::write(path, Keytab { entries }.to_bytes()).unwrap();
    }

    struct Files {
        directory: tempfile::TempDir,
    }

    impl Files {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let a = [("HTTP/a@R", 1, 1, 10), ("HTTP/a@R", 2, 2, 20)];
            write(&directory.path().join("a"), &a);
            write(
                &directory.path().join("b"),
                &[("HTTP/a@R", 2, 2, 20), ("HTTP/b@R", 7, 3, 9)],
            );
            write(&directory.path().join("c"), &[("HTTP/a@R", 2, 9, 30)]);
            Self { directory }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        fn merge(
            &self,
            inputs: &[&str],
            prefer: Option<Prefer>,
        ) -> Result<(Keytab, String), KeytabCommandError> {
            let arguments = MergeArguments {
                output: self.path("out"),
                inputs: inputs.iter().map(|name| self.path(name)).collect(),
                prefer,
            };
            let mut output = Vec::new();
            merge(&arguments, &mut output)?;
            let output = String::from_utf8(output).unwrap();
            Ok((Keytab::load(&arguments.output)?, output))
        }
    }

    #[test]
    fn all_versions_are_kept_and_duplicates_reported() {
        let (keytab, output) = Files::new().merge(&["a", "b"], None).unwrap();
        let shown: Vec<String> = keytab.entries.iter().map(|e| format!("{e:?}")).collect();
        assert_eq!(shown.len(), 3);
        assert_eq!(keytab.newest(&"HTTP/b@R".parse().unwrap()), Some(7));
        assert!(
            output.contains("duplicate, written once: HTTP/a@R kvno 2"),
            "{output}"
        );
        assert!(output.contains("3 keys of 2 principals"), "{output}");
    }

    #[test]
    fn different_keys_with_one_version_are_an_error_unless_one_is_preferred() {
        let files = Files::new();
        let error = files.merge(&["a", "c"], None).unwrap_err();
        assert!(
            matches!(
                error,
                KeytabCommandError::Conflict {
                    count: 1,
                    kvno: 2,
                    ..
                }
            ),
            "{error}"
        );
        assert!(!files.path("out").exists());
        for (prefer, key) in [(Prefer::First, 2), (Prefer::Last, 9), (Prefer::Newest, 9)] {
            let (keytab, _) = files.merge(&["a", "c"], Some(prefer)).unwrap();
            assert_eq!(keytab.entries[1].key[0], key);
        }
    }

    #[test]
    fn the_mode_is_kept_and_a_new_file_is_private() {
        let files = Files::new();
        let mode = || fs::metadata(files.path("out")).unwrap().mode() & 0o777;
        files.merge(&["a"], None).unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(files.path("out"), Permissions::from_mode(0o640)).unwrap();
        let (keytab, _) = files.merge(&["out", "b"], None).unwrap();
        assert_eq!((mode(), keytab.entries.len()), (0o640, 3));
        assert_eq!(fs::read_dir(files.directory.path()).unwrap().count(), 4);
    }
}
