//! The keys in use: the keytab file's, and older ones that tickets may still need.

use std::{
    collections::HashMap,
    ffi::CStr,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::gss::{
    Failure, Keytab, Principal,
    keytab::{Enctype, Entry},
    peek::Ticket,
    sys::MemoryKeytab,
};

/// How long a key version that the file no longer holds stays in use: tickets made with it live up
/// to a ticket lifetime (10 h in Active Directory, 24 h in MIT). A restart forgets it at once.
pub(super) const KEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// How long all keys of a principal that left the file stay: the file may be half rewritten, key
/// by key, without being broken.
pub(super) const SETTLE: Duration = Duration::from_secs(2);

/// An immutable set of keys; a reload makes a new one.
#[derive(Debug)]
pub(super) struct Keyring {
    memory: MemoryKeytab,
    versions: HashMap<Principal, Vec<(u32, Enctype)>>,
    file: Keytab,
    kept: Vec<Kept>,
    principals: Arc<[Principal]>,
}

/// A key that the file no longer holds.
#[derive(Clone, Debug)]
struct Kept {
    entry: Entry,
    until: Instant,
}

/// How the keys stand to a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There is a key of this principal, version and type.
    Exact,
    /// The version is there, but no key of this type.
    OtherEnctype,
    /// The ticket's version is newer than all keys of the principal.
    Newer,
    /// The ticket's version is older than a key of the principal, and missing.
    Older,
    /// The ticket does not tell its version.
    NoVersion,
    /// No key of the principal at all.
    NoPrincipal,
}

impl Keyring {
    /// The keys of the file alone.
    pub(super) fn new(file: Keytab) -> Result<Self, Failure> {
        Self::with(file, Vec::new())
    }

    /// The keys of the file, and those of `self` that it no longer holds.
    pub(super) fn next(&self, file: Keytab, now: Instant) -> Result<Self, Failure> {
        let named = file.principals();
        let mut kept: Vec<Kept> = Vec::new();
        let was = self.file.entries.iter().map(|entry| Kept {
            entry: entry.clone(),
            until: now
                + if named.contains(&entry.principal) {
                    KEEP
                } else {
                    SETTLE
                },
        });
        for old in was.chain(self.kept.iter().cloned()) {
            if old.until > now && !holds(&file.entries, &old.entry) {
                kept.push(old);
            }
        }
        Self::with(file, kept)
    }

    /// The same file without the keys whose time is over.
    pub(super) fn pruned(&self, now: Instant) -> Result<Self, Failure> {
        let kept = self.kept.iter().filter(|kept| kept.until > now);
        Self::with(self.file.clone(), kept.cloned().collect())
    }

    fn with(file: Keytab, kept: Vec<Kept>) -> Result<Self, Failure> {
        let entries = || {
            file.entries
                .iter()
                .chain(kept.iter().map(|kept| &kept.entry))
        };
        let memory = MemoryKeytab::new(entries())?;
        let mut versions: HashMap<Principal, Vec<(u32, Enctype)>> = HashMap::new();
        for entry in entries() {
            versions
                .entry(entry.principal.clone())
                .or_default()
                .push((entry.kvno, entry.enctype));
        }
        Ok(Self {
            memory,
            versions,
            principals: file.principals().into(),
            file,
            kept,
        })
    }

    /// When the first kept key ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.kept.iter().map(|kept| kept.until).min()
    }

    /// Whether this file's content is the one in use.
    pub(super) fn is_of(&self, file: &Keytab) -> bool {
        self.file == *file
    }

    pub(super) fn principals(&self) -> Arc<[Principal]> {
        Arc::clone(&self.principals)
    }

    /// `MEMORY:…`
    pub(super) fn name(&self) -> &CStr {
        self.memory.name()
    }

    /// Whether a key for this ticket is here.
    pub(super) fn find(&self, ticket: &Ticket) -> Found {
        let Some(versions) = self.versions.get(&ticket.service) else {
            return Found::NoPrincipal;
        };
        let Some(kvno) = ticket.kvno else {
            return Found::NoVersion;
        };
        if versions.contains(&(kvno, ticket.enctype)) {
            return Found::Exact;
        }
        if versions.iter().any(|(have, _)| *have == kvno) {
            return Found::OtherEnctype;
        }
        match versions.iter().map(|(have, _)| *have).max() {
            Some(newest) if newest > kvno => Found::Older,
            Some(_) | None => Found::Newer,
        }
    }
}

fn holds(entries: &[Entry], key: &Entry) -> bool {
    entries.iter().any(|entry| {
        entry.principal == key.principal && entry.kvno == key.kvno && entry.enctype == key.enctype
    })
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn keytab(entries: &[(&str, u32, u8)]) -> Keytab {
        let entries = entries
            .iter()
            .map(|(principal, kvno, key)| Entry {
                principal: principal.parse().unwrap(),
                name_type: 1,
                timestamp: 0,
                kvno: *kvno,
                enctype: Enctype(18),
                key: Zeroizing::new(vec![*key; 32]),
            })
            .collect();
        Keytab { entries }
    }

    fn ticket(service: &str, kvno: Option<u32>, enctype: u16) -> Ticket {
        Ticket {
            service: service.parse().unwrap(),
            kvno,
            enctype: Enctype(enctype),
        }
    }

    #[test]
    fn a_ticket_is_placed_by_its_version() {
        let ring = Keyring::new(keytab(&[("HTTP/a@R", 2, 1), ("HTTP/a@R", 4, 1)])).unwrap();
        for (kvno, enctype, found) in [
            (Some(4), 18, Found::Exact),
            (Some(4), 23, Found::OtherEnctype),
            (Some(5), 18, Found::Newer),
            (Some(3), 18, Found::Older),
            (None, 18, Found::NoVersion),
        ] {
            assert_eq!(ring.find(&ticket("HTTP/a@R", kvno, enctype)), found);
        }
        assert_eq!(
            ring.find(&ticket("HTTP/A@R", Some(4), 18)),
            Found::NoPrincipal
        );
    }

    #[test]
    fn the_previous_version_stays_for_a_ticket_lifetime() {
        let now = Instant::now();
        let ring = Keyring::new(keytab(&[("HTTP/a@R", 1, 1)])).unwrap();
        let ring = ring.next(keytab(&[("HTTP/a@R", 2, 2)]), now).unwrap();
        assert_eq!(ring.find(&ticket("HTTP/a@R", Some(1), 18)), Found::Exact);
        assert_eq!(ring.next_end(), Some(now + KEEP));
        let later = now + KEEP / 2;
        let ring = ring.next(keytab(&[("HTTP/a@R", 3, 3)]), later).unwrap();
        assert_eq!(ring.find(&ticket("HTTP/a@R", Some(1), 18)), Found::Exact);
        let ring = ring.pruned(now + KEEP).unwrap();
        assert_eq!(ring.find(&ticket("HTTP/a@R", Some(1), 18)), Found::Older);
        assert_eq!(ring.find(&ticket("HTTP/a@R", Some(2), 18)), Found::Exact);
    }

    #[test]
    fn a_principal_that_left_the_file_stays_until_it_has_settled() {
        let now = Instant::now();
        let both = keytab(&[("HTTP/a@R", 1, 1), ("HTTP/b@R", 1, 1)]);
        let ring = Keyring::new(both.clone()).unwrap();
        let half = ring.next(keytab(&[("HTTP/a@R", 1, 1)]), now).unwrap();
        assert_eq!(half.find(&ticket("HTTP/b@R", Some(1), 18)), Found::Exact);
        assert_eq!(half.principals().len(), 1);
        let whole = half.next(both, now).unwrap();
        assert_eq!(whole.next_end(), None);
        let gone = half.pruned(now + SETTLE).unwrap();
        assert_eq!(
            gone.find(&ticket("HTTP/b@R", Some(1), 18)),
            Found::NoPrincipal
        );
    }

    #[test]
    fn a_new_key_under_an_old_version_replaces_it() {
        let now = Instant::now();
        let ring = Keyring::new(keytab(&[("HTTP/a@R", 1, 1)])).unwrap();
        let ring = ring.next(keytab(&[("HTTP/a@R", 1, 2)]), now).unwrap();
        assert_eq!(ring.next_end(), None);
        assert!(ring.is_of(&keytab(&[("HTTP/a@R", 1, 2)])));
    }
}
