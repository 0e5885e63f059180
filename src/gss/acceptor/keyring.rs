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
    /// The principals of `versions` by their [folded](Principal::folded) names, in file order.
    spellings: HashMap<Principal, Vec<Principal>>,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There is a key of this principal, version and type.
    Exact,
    /// There is one, of this service and host in another spelling.
    Spelled(Principal),
    /// The version is there, but no key of this type; or the ticket tells no version, and no key has
    /// this type.
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

impl Found {
    /// The principal whose key of the ticket's version and type is to be tried first.
    pub(super) fn key<'k>(&'k self, ticket: &'k Ticket) -> Option<&'k Principal> {
        match self {
            Self::Exact => Some(&ticket.service),
            Self::Spelled(name) => Some(name),
            Self::OtherEnctype
            | Self::Newer
            | Self::Older
            | Self::NoVersion
            | Self::NoPrincipal => None,
        }
    }
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
        let mut spellings: HashMap<Principal, Vec<Principal>> = HashMap::new();
        for entry in entries() {
            versions
                .entry(entry.principal.clone())
                .or_default()
                .push((entry.kvno, entry.enctype));
            let spelled = spellings.entry(entry.principal.folded()).or_default();
            if !spelled.contains(&entry.principal) {
                spelled.push(entry.principal.clone());
            }
        }
        Ok(Self {
            memory,
            versions,
            spellings,
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

    /// Whether a key for this ticket is here: by its name as it is written, then by its service and
    /// host in any spelling. Active Directory makes tickets for `HTTP/PROXY` as for `HTTP/proxy`.
    pub(super) fn find(&self, ticket: &Ticket) -> Found {
        let asked = ticket.kvno.map(|kvno| (kvno, ticket.enctype));
        let has = |name: &Principal| {
            let versions = self.versions.get(name);
            versions.is_some_and(|have| asked.is_some_and(|asked| have.contains(&asked)))
        };
        if has(&ticket.service) {
            return Found::Exact;
        }
        if let Some(spelled) = self.spelled(&ticket.service).find(|name| has(name)) {
            return Found::Spelled(spelled.clone());
        }
        let versions = self.versions(&ticket.service);
        let Some(newest) = versions.iter().map(|(have, _)| *have).max() else {
            return Found::NoPrincipal;
        };
        match ticket.kvno {
            Some(kvno) if versions.iter().any(|(have, _)| *have == kvno) => Found::OtherEnctype,
            Some(kvno) if newest > kvno => Found::Older,
            Some(_) => Found::Newer,
            None if versions.iter().all(|(_, have)| *have != ticket.enctype) => Found::OtherEnctype,
            None => Found::NoVersion,
        }
    }

    /// Versions and types of the keys of a service and host, however they are spelled.
    pub(super) fn versions(&self, service: &Principal) -> Vec<(u32, Enctype)> {
        let versions = self
            .spelled(service)
            .filter_map(|name| self.versions.get(name));
        versions.flatten().copied().collect()
    }

    /// Whether the key of `opener`, with which a ticket was opened though it is not the one that the
    /// ticket names, is good for the name in the ticket. That name is not encrypted: its sender could
    /// have written it.
    ///
    /// An account of Active Directory has one key for all of its SPNs, so the account's own entry and
    /// equal keys are good. Keys that differ are those of services that differ: a ticket for one must
    /// not become one for the other by its name alone.
    pub(super) fn speaks_for(
        &self,
        opener: &Principal,
        named: &Principal,
        enctype: Enctype,
    ) -> bool {
        let is_account = opener.components().len() == 1;
        if is_account || opener.folded() == named.folded() || self.spelled(named).next().is_none() {
            return true;
        }
        let keys = |name: &Principal| {
            let name = name.clone();
            let kept = self.kept.iter().map(|kept| &kept.entry);
            let entries = self.file.entries.iter().chain(kept);
            entries.filter(move |entry| entry.enctype == enctype && entry.principal == name)
        };
        let opening: Vec<&Entry> = keys(opener).collect();
        self.spelled(named)
            .flat_map(keys)
            .any(|own| opening.iter().any(|key| key.key == own.key))
    }

    fn spelled(&self, service: &Principal) -> impl Iterator<Item = &Principal> {
        self.spellings.get(&service.folded()).into_iter().flatten()
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
            (Some(5), 23, Found::Newer),
            (None, 23, Found::OtherEnctype),
            (Some(5), 18, Found::Newer),
            (Some(3), 18, Found::Older),
            (None, 18, Found::NoVersion),
        ] {
            assert_eq!(ring.find(&ticket("HTTP/a@R", kvno, enctype)), found);
        }
        assert_eq!(
            ring.find(&ticket("HTTP/b@R", Some(4), 18)),
            Found::NoPrincipal
        );
    }

    #[test]
    fn a_ticket_finds_its_service_and_host_in_any_spelling_and_the_same_one_first() {
        let found = |entries: &[(&str, u32, u8)], service: &str, kvno| {
            let ring = Keyring::new(keytab(entries)).unwrap();
            ring.find(&ticket(service, Some(kvno), 18))
        };
        let both = [
            ("HTTP/a@R", 2, 1),
            ("HTTP/A@R", 2, 1),
            ("http/a:80@R", 3, 1),
        ];
        let spelled = |name: &str| Found::Spelled(name.parse().unwrap());
        assert_eq!(found(&both, "HTTP/a@R", 2), Found::Exact);
        assert_eq!(found(&both, "HTTP/A@R", 2), Found::Exact);
        assert_eq!(found(&both, "http/A:8080@R", 2), spelled("HTTP/a@R"));
        assert_eq!(found(&both, "HTTP/a@R", 3), spelled("http/a:80@R"));
        assert_eq!(found(&both, "HTTP/A@R", 4), Found::Newer);
        // realms and accounts are what they are
        assert_eq!(found(&both, "HTTP/a@r", 2), Found::NoPrincipal);
        assert_eq!(found(&[("a@R", 2, 1)], "A@R", 2), Found::NoPrincipal);
    }

    #[test]
    fn a_key_is_good_for_another_name_of_its_account_only() {
        let entries = [
            ("HTTP/a@R", 1, 1),
            ("HTTP/b@R", 1, 1),
            ("presto/a@R", 1, 2),
            ("svc@R", 1, 1),
        ];
        let ring = Keyring::new(keytab(&entries)).unwrap();
        let good = |opener: &str, named: &str| {
            ring.speaks_for(
                &opener.parse().unwrap(),
                &named.parse().unwrap(),
                Enctype(18),
            )
        };
        // the account, the same service, an equal key, a name that no console has
        assert!(good("svc@R", "HTTP/a@R") && good("HTTP/a@R", "HTTP/A@R"));
        assert!(good("HTTP/b@R", "HTTP/a@R") && good("presto/a@R", "HTTP/unknown@R"));
        assert!(!good("presto/a@R", "HTTP/a@R") && !good("HTTP/a@R", "presto/A@R"));
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
