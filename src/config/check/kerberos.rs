//! `[kerberos]`

use std::sync::Arc;

use self::keytab::KeytabPrincipals;
use super::{
    super::{
        Kerberos,
        problem::{KerberosProblem, ValueProblem, WarningKind},
        schema,
        tree::{Table, Value},
    },
    Environment, files,
};
use crate::{
    auth::names::{AuthToLocal, Mechanism, RuleError},
    gss::{Principal, PrincipalError, ReplayCache},
};

pub(super) mod keytab;

/// What the checks of consoles need from `[kerberos]`.
pub(super) struct CheckedKerberos {
    /// `None` if a problem was reported.
    pub(super) values: Option<Kerberos>,
    /// `None` if the keytab could not be read, which was reported.
    pub(super) keytab: Option<KeytabPrincipals>,
    /// `kerberos.principal` is set, valid or not.
    pub(super) has_principal: bool,
    pub(super) principal: Option<Principal>,
    /// `kerberos.default_realm`, if it is set.
    pub(super) realm: Option<String>,
}

const NEED_SECTION: &str = "Add a [kerberos] section with keytab = \"/etc/spnegate/merged.keytab\"";
const NEED_KEYTAB: &str = "Write keytab = \"/etc/spnegate/merged.keytab\": a file with the keys of every \
                           HTTP/host that clients use; create it with `spnegate keytab merge`";

pub(super) fn check(top: &Table<'_>, environment: &Environment<'_>) -> CheckedKerberos {
    let mut checked = CheckedKerberos {
        values: None,
        keytab: None,
        has_principal: false,
        principal: None,
        realm: None,
    };
    let relays = top.get("stream").is_some() || top.get("kdc_proxy").is_some();
    if relays && top.get("kerberos").is_none() && top.get("console").is_none() {
        checked.values = without_login();
        return checked;
    }
    let Some(table) = top
        .require("kerberos", NEED_SECTION)
        .and_then(|n| n.table(&schema::KERBEROS))
    else {
        // The section is missing, which is reported; do not report each backend as well.
        checked.has_principal = true;
        return checked;
    };
    let value = table.require("keytab", NEED_KEYTAB);
    checked.keytab = value.and_then(|value| keytab::check(&value, environment));
    let principal = table.get("principal");
    checked.has_principal = principal.is_some();
    checked.principal =
        principal.and_then(|value| keytab_principal(&value, checked.keytab.as_ref()));
    checked.realm = table
        .get("default_realm")
        .and_then(|value| value.text().map(str::to_owned));
    let replay_cache = replay_cache(&table, environment);
    let realm = default_realm(&table, &checked);
    // A missing realm is reported already; the rules are checked all the same.
    let auth_to_local = auth_to_local(&table, realm.as_deref().unwrap_or_default());
    checked.values =
        realm
            .and(checked.keytab.as_ref())
            .zip(auth_to_local)
            .map(|(keytab, auth_to_local)| Kerberos {
                keytab: Some(keytab.file.clone()),
                principal: checked.principal.clone(),
                auth_to_local,
                replay_cache,
            });
    checked
}

/// A gateway with streams only has no keys.
fn without_login() -> Option<Kerberos> {
    let none: [&str; 0] = [];
    let auth_to_local = AuthToLocal::compile(&none, Mechanism::default(), "").ok()?;
    Some(Kerberos {
        keytab: None,
        principal: None,
        auth_to_local: Arc::new(auth_to_local),
        replay_cache: ReplayCache::None,
    })
}

/// A principal that the gateway logs in as; the keytab must have a key of it.
pub(super) fn keytab_principal(
    value: &Value<'_>,
    keytab: Option<&KeytabPrincipals>,
) -> Option<Principal> {
    let text = value.text()?;
    let principal = match text.parse::<Principal>() {
        Ok(principal) => principal,
        Err(source) => {
            value.problem(KerberosProblem::Principal {
                text: text.to_owned(),
                source,
            });
            return None;
        }
    };
    if let Some(keytab) = keytab.filter(|keytab| !keytab.holds(&principal)) {
        let file = keytab.file.clone();
        value.problem(KerberosProblem::NotInKeytab {
            file,
            principal: principal.clone(),
        });
    }
    Some(principal)
}

/// An SPN; if it has no realm, `realm` is added.
pub(super) fn service_principal(value: &Value<'_>, realm: Option<&str>) -> Option<Principal> {
    let text = value.text()?;
    // Parsed with a realm that no principal has, so that only a missing one is replaced.
    let parsed = match (text.parse::<Principal>(), realm) {
        (Err(PrincipalError::NoRealm), Some(realm)) => format!("{text}@?")
            .parse::<Principal>()
            .and_then(|p| Principal::new(p.components().iter().cloned(), realm)),
        // That no realm is known is reported elsewhere.
        (Err(PrincipalError::NoRealm), None) => return None,
        (parsed, _) => parsed,
    };
    let spn = parsed.ok().filter(|p| p.service().is_some());
    if spn.is_none() {
        value.problem(KerberosProblem::Spn {
            text: text.to_owned(),
        });
    }
    spn
}

/// `default_realm` if it is set, else the realm of `principal`, else the only realm of the keytab's
/// `HTTP/…` keys.
fn default_realm(table: &Table<'_>, checked: &CheckedKerberos) -> Option<String> {
    if table.get("default_realm").is_some() {
        return checked.realm.clone();
    }
    if checked.has_principal {
        return checked.principal.as_ref().map(|p| p.realm().to_owned());
    }
    let keytab = checked.keytab.as_ref()?;
    let realms: Vec<String> = keytab.realms().into_iter().map(str::to_owned).collect();
    if let [realm] = realms.as_slice() {
        return Some(realm.clone());
    }
    if !realms.is_empty() {
        let file = keytab.file.clone();
        table.problem_at(
            "default_realm",
            KerberosProblem::RealmAmbiguous { file, realms },
        );
    }
    None
}

fn replay_cache(table: &Table<'_>, environment: &Environment<'_>) -> ReplayCache {
    let value = table.get("replay_cache");
    let cache = match value.as_ref().map(Value::text) {
        None => ReplayCache::default(),
        Some(Some("none")) => {
            table.warning_at("replay_cache", WarningKind::NoReplayCache);
            ReplayCache::None
        }
        Some(Some(text)) if text.contains('/') => ReplayCache::File(environment.path(text)),
        Some(Some(_)) => {
            // Not a file name without a slash: a misspelt `none` must not become one. This reports
            // the unknown word.
            let _ = value.and_then(|value| value.keyword(&[("none", ())], &[]));
            ReplayCache::None
        }
        Some(None) => ReplayCache::None,
    };
    // A replay cache that cannot be written makes every login fail, so it is checked at the
    // start.
    if let ReplayCache::File(file) = &cache
        && let Err(source) = files::writable(file)
    {
        table.problem_at(
            "replay_cache",
            ValueProblem::Unwritable {
                file: file.clone(),
                source,
            },
        );
    }
    cache
}

fn auth_to_local(table: &Table<'_>, realm: &str) -> Option<Arc<AuthToLocal>> {
    let mechanisms = [("hadoop", Mechanism::Hadoop), ("mit", Mechanism::Mit)];
    let mechanism = table
        .get("auth_to_local_mechanism")
        // Hadoop compares it with equalsIgnoreCase (KerberosName.setRuleMechanism).
        .and_then(|value| value.keyword_ignoring_case(&mechanisms))
        .unwrap_or_default();
    let entries = table
        .get("auth_to_local")
        .and_then(|value| value.list())
        .unwrap_or_default();
    let rules: Vec<&str> = entries
        .iter()
        .map(|value| value.text().unwrap_or_default())
        .collect();
    match AuthToLocal::compile(&rules, mechanism, realm) {
        Ok(compiled) => {
            for (entry, number, text, remark) in compiled.review() {
                if let Some(value) = entries.get(entry) {
                    let rule = text.into();
                    value.warning(WarningKind::Rule {
                        number,
                        rule,
                        remark,
                    });
                }
            }
            Some(Arc::new(compiled))
        }
        Err(errors) => {
            for error in errors {
                let RuleError {
                    entry,
                    number,
                    text,
                    kind: source,
                } = error;
                if let Some(value) = entries.get(entry) {
                    value.problem(KerberosProblem::Rule {
                        number,
                        text,
                        source,
                    });
                }
            }
            None
        }
    }
}
