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

/// How long a key version that the file no longer holds stays in use: tickets encrypted with it are
/// valid for up to a ticket lifetime (10 h in Active Directory, 24 h in MIT). A restart forgets it.
pub(super) const RETAIN: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the keys of a principal that is no longer in the file stay in use: tools that write key by
/// key (`kadmin ktadd`) leave a file that is well-formed and incomplete for a moment.
pub(super) const SETTLE: Duration = Duration::from_secs(2);

/// An immutable set of keys; a reload makes a new one.
#[derive(Debug)]
pub(super) struct KeySet {
    memory: MemoryKeytab,
    versions: HashMap<Principal, Vec<(u32, Enctype)>>,
    /// The principals of `versions` by their [folded](Principal::folded) names, in file order.
    spellings: HashMap<Principal, Vec<Principal>>,
    file: Keytab,
    retained: Vec<RetainedKey>,
    principals: Arc<[Principal]>,
}

/// A key that the file no longer holds.
#[derive(Clone, Debug)]
struct RetainedKey {
    entry: Entry,
    until: Instant,
}

/// How a ticket's key compares with the keys that are held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyMatch {
    /// There is a key of the ticket's principal, version and encryption type.
    Exact,
    /// There is one of the same service and host in another spelling.
    OtherSpelling(Principal),
    /// The version is held, but no key of this type; or the ticket has no version, and no key has this
    /// type.
    OtherEnctype,
    /// The ticket's version is newer than all keys of the principal.
    Newer,
    /// The ticket's version is older than a key of the principal, and missing.
    Older,
    /// The ticket has no version.
    NoVersion,
    /// No key of the principal in any version.
    NoPrincipal,
}

impl KeyMatch {
    /// The principal whose key of the ticket's version and type is tried first.
    pub(super) fn key<'k>(&'k self, ticket: &'k Ticket) -> Option<&'k Principal> {
        match self {
            Self::Exact => Some(&ticket.service),
            Self::OtherSpelling(name) => Some(name),
            Self::OtherEnctype
            | Self::Newer
            | Self::Older
            | Self::NoVersion
            | Self::NoPrincipal => None,
        }
    }
}

impl KeySet {
    /// The keys of the file alone.
    pub(super) fn new(file: Keytab) -> Result<Self, Failure> {
        Self::with(file, Vec::new())
    }

    /// The keys of the file, and those keys of `self` that the file no longer holds.
    pub(super) fn next(&self, file: Keytab, now: Instant) -> Result<Self, Failure> {
        let named = file.principals();
        let mut retained: Vec<RetainedKey> = Vec::new();
        let was = self.file.entries.iter().map(|entry| RetainedKey {
            entry: entry.clone(),
            until: now
                + if named.contains(&entry.principal) {
                    RETAIN
                } else {
                    SETTLE
                },
        });
        // The end of an entry is set once, when it leaves the file; later reloads keep it.
        for old in was.chain(self.retained.iter().cloned()) {
            if old.until > now && !holds(&file.entries, &old.entry) {
                retained.push(old);
            }
        }
        Self::with(file, retained)
    }

    /// The same without the retained keys that have expired.
    pub(super) fn pruned(&self, now: Instant) -> Result<Self, Failure> {
        let retained = self.retained.iter().filter(|retained| retained.until > now);
        Self::with(self.file.clone(), retained.cloned().collect())
    }

    fn with(file: Keytab, retained: Vec<RetainedKey>) -> Result<Self, Failure> {
        let entries = || {
            file.entries
                .iter()
                .chain(retained.iter().map(|retained| &retained.entry))
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
            retained,
        })
    }

    /// When the first retained key expires.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.retained.iter().map(|retained| retained.until).min()
    }

    /// Whether the keys are those of this content of the file.
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

    /// Looks for a key of this ticket: by its name as it is written, then by its service and host in
    /// any spelling. Active Directory issues tickets for `HTTP/PROXY` and for `HTTP/proxy` with one
    /// key.
    pub(super) fn find(&self, ticket: &Ticket) -> KeyMatch {
        let wanted = ticket.kvno.map(|kvno| (kvno, ticket.enctype));
        let has = |name: &Principal| {
            let versions = self.versions.get(name);
            versions.is_some_and(|have| wanted.is_some_and(|wanted| have.contains(&wanted)))
        };
        // The ticket's own spelling first: the KDC may have a different principal for each spelling.
        if has(&ticket.service) {
            return KeyMatch::Exact;
        }
        if let Some(spelled) = self.spelled(&ticket.service).find(|name| has(name)) {
            return KeyMatch::OtherSpelling(spelled.clone());
        }
        let versions = self.versions(&ticket.service);
        let Some(newest) = versions.iter().map(|(have, _)| *have).max() else {
            return KeyMatch::NoPrincipal;
        };
        match ticket.kvno {
            Some(kvno) if versions.iter().any(|(have, _)| *have == kvno) => KeyMatch::OtherEnctype,
            Some(kvno) if newest > kvno => KeyMatch::Older,
            Some(_) => KeyMatch::Newer,
            None if versions.iter().all(|(_, have)| *have != ticket.enctype) => {
                KeyMatch::OtherEnctype
            }
            None => KeyMatch::NoVersion,
        }
    }

    /// Versions and types of the keys of a service and host, however they are spelled.
    pub(super) fn versions(&self, service: &Principal) -> Vec<(u32, Enctype)> {
        let versions = self
            .spelled(service)
            .filter_map(|name| self.versions.get(name));
        versions.flatten().copied().collect()
    }

    /// Whether a ticket that was decrypted with the key of `opener` may count as one for `named`, the
    /// service in the ticket. That name is not encrypted: the sender could have changed it.
    ///
    /// An account of Active Directory has one key for all of its SPNs, so the entry of the account
    /// itself and entries with an equal key are valid. Different keys belong to different services: a
    /// ticket for one must not become a ticket for the other by its name alone.
    pub(super) fn is_valid_for(
        &self,
        opener: &Principal,
        named: &Principal,
        enctype: Enctype,
    ) -> bool {
        // A principal of one component is the account itself, whose key all of its SPNs share.
        let is_account = opener.components().len() == 1;
        if is_account || opener.folded() == named.folded() || self.spelled(named).next().is_none() {
            return true;
        }
        let keys = |name: &Principal| {
            let name = name.clone();
            let retained = self.retained.iter().map(|retained| &retained.entry);
            let entries = self.file.entries.iter().chain(retained);
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
    fn a_ticket_s_version_is_compared_with_the_keys() {
        let keys = KeySet::new(keytab(&[("HTTP/a@R", 2, 1), ("HTTP/a@R", 4, 1)])).unwrap();
        for (kvno, enctype, found) in [
            (Some(4), 18, KeyMatch::Exact),
            (Some(4), 23, KeyMatch::OtherEnctype),
            (Some(5), 23, KeyMatch::Newer),
            (None, 23, KeyMatch::OtherEnctype),
            (Some(5), 18, KeyMatch::Newer),
            (Some(3), 18, KeyMatch::Older),
            (None, 18, KeyMatch::NoVersion),
        ] {
            assert_eq!(keys.find(&ticket("HTTP/a@R", kvno, enctype)), found);
        }
        assert_eq!(
            keys.find(&ticket("HTTP/b@R", Some(4), 18)),
            KeyMatch::NoPrincipal
        );
    }

    #[test]
    fn a_key_is_found_in_any_spelling_and_in_the_ticket_s_own_first() {
        let found = |entries: &[(&str, u32, u8)], service: &str, kvno| {
            let keys = KeySet::new(keytab(entries)).unwrap();
            keys.find(&ticket(service, Some(kvno), 18))
        };
        let both = [
            ("HTTP/a@R", 2, 1),
            ("HTTP/A@R", 2, 1),
            ("http/a:80@R", 3, 1),
        ];
        let spelled = |name: &str| KeyMatch::OtherSpelling(name.parse().unwrap());
        assert_eq!(found(&both, "HTTP/a@R", 2), KeyMatch::Exact);
        assert_eq!(found(&both, "HTTP/A@R", 2), KeyMatch::Exact);
        assert_eq!(found(&both, "http/A:8080@R", 2), spelled("HTTP/a@R"));
        assert_eq!(found(&both, "HTTP/a@R", 3), spelled("http/a:80@R"));
        assert_eq!(found(&both, "HTTP/A@R", 4), KeyMatch::Newer);
        // Realms and names of one component are compared exactly.
        assert_eq!(found(&both, "HTTP/a@r", 2), KeyMatch::NoPrincipal);
        assert_eq!(found(&[("a@R", 2, 1)], "A@R", 2), KeyMatch::NoPrincipal);
    }

    #[test]
    fn a_key_is_valid_for_other_names_of_its_account_only() {
        let entries = [
            ("HTTP/a@R", 1, 1),
            ("HTTP/b@R", 1, 1),
            ("presto/a@R", 1, 2),
            ("svc@R", 1, 1),
        ];
        let keys = KeySet::new(keytab(&entries)).unwrap();
        let good = |opener: &str, named: &str| {
            keys.is_valid_for(
                &opener.parse().unwrap(),
                &named.parse().unwrap(),
                Enctype(18),
            )
        };
        // The account itself, another spelling, an equal key, a name that has no key at all.
        assert!(good("svc@R", "HTTP/a@R") && good("HTTP/a@R", "HTTP/A@R"));
        assert!(good("HTTP/b@R", "HTTP/a@R") && good("presto/a@R", "HTTP/unknown@R"));
        assert!(!good("presto/a@R", "HTTP/a@R") && !good("HTTP/a@R", "presto/A@R"));
    }

    #[test]
    fn the_previous_version_stays_for_a_ticket_lifetime() {
        let now = Instant::now();
        let keys = KeySet::new(keytab(&[("HTTP/a@R", 1, 1)])).unwrap();
        let keys = keys.next(keytab(&[("HTTP/a@R", 2, 2)]), now).unwrap();
        assert_eq!(keys.find(&ticket("HTTP/a@R", Some(1), 18)), KeyMatch::Exact);
        assert_eq!(keys.next_end(), Some(now + RETAIN));
        let later = now + RETAIN / 2;
        let keys = keys.next(keytab(&[("HTTP/a@R", 3, 3)]), later).unwrap();
        assert_eq!(keys.find(&ticket("HTTP/a@R", Some(1), 18)), KeyMatch::Exact);
        let keys = keys.pruned(now + RETAIN).unwrap();
        assert_eq!(keys.find(&ticket("HTTP/a@R", Some(1), 18)), KeyMatch::Older);
        assert_eq!(keys.find(&ticket("HTTP/a@R", Some(2), 18)), KeyMatch::Exact);
    }

    #[test]
    fn keys_of_a_principal_missing_from_the_file_stay_for_two_seconds() {
        let now = Instant::now();
        let both = keytab(&[("HTTP/a@R", 1, 1), ("HTTP/b@R", 1, 1)]);
        let keys = KeySet::new(both.clone()).unwrap();
        let half = keys.next(keytab(&[("HTTP/a@R", 1, 1)]), now).unwrap();
        assert_eq!(half.find(&ticket("HTTP/b@R", Some(1), 18)), KeyMatch::Exact);
        assert_eq!(half.principals().len(), 1);
        let whole = half.next(both, now).unwrap();
        assert_eq!(whole.next_end(), None);
        let gone = half.pruned(now + SETTLE).unwrap();
        assert_eq!(
            gone.find(&ticket("HTTP/b@R", Some(1), 18)),
            KeyMatch::NoPrincipal
        );
    }

    #[test]
    fn a_new_key_under_an_old_version_replaces_it() {
        let now = Instant::now();
        let keys = KeySet::new(keytab(&[("HTTP/a@R", 1, 1)])).unwrap();
        let keys = keys.next(keytab(&[("HTTP/a@R", 1, 2)]), now).unwrap();
        assert_eq!(keys.next_end(), None);
        assert!(keys.is_of(&keytab(&[("HTTP/a@R", 1, 2)])));
    }
}
