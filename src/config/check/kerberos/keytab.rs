//! The principals of the keytab, against which hosts and principals are checked.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::super::{
    super::{
        problem::{KerberosProblem, ValueProblem},
        tree::Value,
    },
    Environment, files,
};
use crate::gss::{self, Principal, keytab::FormatError};

/// Reads the principals of a keytab file; tests replace it.
pub(in crate::config::check) type ReadKeytab<'r> =
    &'r dyn Fn(&Path) -> Result<Vec<Principal>, KeytabReadError>;

#[derive(Debug)]
pub(in crate::config::check) enum KeytabReadError {
    Io(io::Error),
    Malformed(FormatError),
}

#[derive(Debug)]
pub(in crate::config::check) struct KeytabPrincipals {
    pub(in crate::config::check) file: PathBuf,
    principals: BTreeSet<Principal>,
}

/// The principals of a keytab file; none if it is empty.
pub(in crate::config::check) fn read(file: &Path) -> Result<Vec<Principal>, KeytabReadError> {
    files::regular(file).map_err(KeytabReadError::Io)?;
    let bytes = Zeroizing::new(fs::read(file).map_err(KeytabReadError::Io)?);
    // `KeytabEmpty` says more about an empty file than an error of its format would.
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    Ok(gss::Keytab::parse(&bytes)
        .map_err(KeytabReadError::Malformed)?
        .principals())
}

/// Reads the keytab that a value names, or reports why not.
pub(super) fn check(value: &Value<'_>, environment: &Environment<'_>) -> Option<KeytabPrincipals> {
    let text = value.text()?;
    // KRB5_KTNAME and krb5.conf have this prefix, and the path may be copied from there.
    let file = environment.path(text.strip_prefix("FILE:").unwrap_or(text));
    let principals = match (environment.read_keytab)(&file) {
        Ok(principals) => principals,
        Err(KeytabReadError::Io(source)) => {
            value.problem(ValueProblem::Unreadable { file, source });
            return None;
        }
        Err(KeytabReadError::Malformed(source)) => {
            value.problem(KerberosProblem::KeytabMalformed { file, source });
            return None;
        }
    };
    files::warn_if_world_readable(value, &file);
    let keytab = KeytabPrincipals {
        file: file.clone(),
        principals: principals.into_iter().collect(),
    };
    if keytab.principals.is_empty() {
        value.problem(KerberosProblem::KeytabEmpty { file });
        return None;
    }
    if !keytab.principals.iter().any(|p| is_of(p, &["HTTP"])) {
        value.problem(KerberosProblem::NoHttpKey { file });
    }
    Some(keytab)
}

/// Whether it is an SPN of one of the services; Active Directory may spell it `http/`.
fn is_of(principal: &Principal, services: &[&str]) -> bool {
    principal
        .service()
        .is_some_and(|have| services.iter().any(|s| s.eq_ignore_ascii_case(have)))
}

impl KeytabPrincipals {
    pub(in crate::config::check) fn holds(&self, principal: &Principal) -> bool {
        self.principals.contains(principal)
    }

    /// Whether clients can log in with a ticket for one of the services on this host.
    pub(in crate::config::check) fn serves(&self, services: &[&str], host: &str) -> bool {
        self.principals.iter().any(|p| {
            is_of(p, services) && p.host_name().is_some_and(|h| h.eq_ignore_ascii_case(host))
        })
    }

    /// The host names of its keys for one of the services, lower case.
    pub(in crate::config::check) fn hosts(&self, services: &[&str]) -> BTreeSet<String> {
        let host = |p: &Principal| p.host_name().map(str::to_ascii_lowercase);
        self.principals
            .iter()
            .filter(|p| is_of(p, services))
            .filter_map(host)
            .collect()
    }

    /// The realms of its `HTTP/…` keys.
    pub(in crate::config::check) fn realms(&self) -> BTreeSet<&str> {
        self.principals
            .iter()
            .filter(|p| is_of(p, &["HTTP"]))
            .map(Principal::realm)
            .collect()
    }
}
