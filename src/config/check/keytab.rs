//! The keytab, as far as the configuration has to know it: whose keys it holds.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{
    super::{
        problem::{KerberosFault, ValueFault},
        tree::Node,
    },
    Surroundings, files,
};
use crate::gss::{self, Principal, keytab::FormatError};

/// Reads the principals of a keytab file; tests give their own.
pub(super) type ReadKeytab<'r> = &'r dyn Fn(&Path) -> Result<Vec<Principal>, Unread>;

/// Why a keytab could not be read.
#[derive(Debug)]
pub(super) enum Unread {
    /// The file.
    Io(io::Error),
    /// Its content.
    Malformed(FormatError),
}

/// Whose keys the keytab holds.
#[derive(Debug)]
pub(super) struct Keytab {
    pub(super) file: PathBuf,
    principals: BTreeSet<Principal>,
}

/// Reads the keytab from the disk.
pub(super) fn read(file: &Path) -> Result<Vec<Principal>, Unread> {
    files::regular(file).map_err(Unread::Io)?;
    let bytes = Zeroizing::new(fs::read(file).map_err(Unread::Io)?);
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    Ok(gss::Keytab::parse(&bytes)
        .map_err(Unread::Malformed)?
        .principals())
}

/// Reads the keytab that a value names, or reports why not.
pub(super) fn check(node: &Node<'_>, surroundings: &Surroundings<'_>) -> Option<Keytab> {
    let text = node.text()?;
    let file = surroundings.path(text.strip_prefix("FILE:").unwrap_or(text));
    let principals = match (surroundings.read_keytab)(&file) {
        Ok(principals) => principals,
        Err(Unread::Io(source)) => {
            node.problem(ValueFault::Unreadable { file, source });
            return None;
        }
        Err(Unread::Malformed(source)) => {
            node.problem(KerberosFault::KeytabMalformed { file, source });
            return None;
        }
    };
    files::warn_if_world_readable(node, &file);
    let keytab = Keytab {
        file: file.clone(),
        principals: principals.into_iter().collect(),
    };
    if keytab.principals.is_empty() {
        node.problem(KerberosFault::KeytabEmpty { file });
        return None;
    }
    if !keytab.principals.iter().any(|p| is_of(p, &["HTTP"])) {
        node.problem(KerberosFault::NoHttpKey { file });
    }
    Some(keytab)
}

/// Whether it is a key of one of the services; Active Directory may write `http/`.
fn is_of(principal: &Principal, services: &[&str]) -> bool {
    principal
        .service()
        .is_some_and(|have| services.iter().any(|s| s.eq_ignore_ascii_case(have)))
}

impl Keytab {
    /// Whether it holds a key of this principal.
    pub(super) fn holds(&self, principal: &Principal) -> bool {
        self.principals.contains(principal)
    }

    /// Whether a client could get in with a ticket for one of the services on this host.
    pub(super) fn serves(&self, services: &[&str], host: &str) -> bool {
        self.principals.iter().any(|p| {
            is_of(p, services) && p.host_name().is_some_and(|h| h.eq_ignore_ascii_case(host))
        })
    }

    /// The host names of its keys for one of the services, lower case.
    pub(super) fn hosts(&self, services: &[&str]) -> BTreeSet<String> {
        let host = |p: &Principal| p.host_name().map(str::to_ascii_lowercase);
        self.principals
            .iter()
            .filter(|p| is_of(p, services))
            .filter_map(host)
            .collect()
    }

    /// The realms of its `HTTP/…` keys.
    pub(super) fn realms(&self) -> BTreeSet<&str> {
        self.principals
            .iter()
            .filter(|p| is_of(p, &["HTTP"]))
            .map(Principal::realm)
            .collect()
    }
}
