//! `[kerberos]`

use std::{path::PathBuf, sync::Arc};

use super::{
    super::{
        Kerberos, ReplayCache,
        problem::{Concern, KerberosFault, ValueFault},
        schema,
        tree::{Node, Table},
    },
    Surroundings, files,
    keytab::{self, Keytab},
};
use crate::{
    auth::names::{AuthToLocal, Mechanism, RuleError},
    gss::{Principal, PrincipalError},
};

/// What the consoles need to know of `[kerberos]`.
pub(super) struct Checked {
    /// The values; `None` if a problem was reported.
    pub(super) values: Option<Kerberos>,
    /// Whose keys there are; `None` if that is unknown and was reported.
    pub(super) keytab: Option<Keytab>,
    /// `kerberos.principal` is set, rightly or wrongly.
    pub(super) has_principal: bool,
    /// `kerberos.principal`.
    pub(super) principal: Option<Principal>,
    /// `kerberos.default_realm`, where it was written.
    pub(super) realm: Option<String>,
}

const NEED_SECTION: &str = "Add [kerberos] with keytab = \"/etc/spnegate/merged.keytab\"";
const NEED_KEYTAB: &str = "Write keytab = \"/etc/spnegate/merged.keytab\": the keys of every \
                           HTTP/host that clients ask for; make it with `spnegate keytab merge`";

pub(super) fn check(top: &Table<'_>, surroundings: &Surroundings<'_>) -> Checked {
    let mut checked = Checked {
        values: None,
        keytab: None,
        has_principal: false,
        principal: None,
        realm: None,
    };
    let relays = top.get("stream").is_some() || top.get("kdc_proxy").is_some();
    if relays && top.get("kerberos").is_none() && top.get("console").is_none() {
        checked.values = nobody_logs_in();
        return checked;
    }
    let Some(table) = top
        .require("kerberos", NEED_SECTION)
        .and_then(|n| n.table(&schema::KERBEROS))
    else {
        // whether consoles could log in is then not worth a second problem
        checked.has_principal = true;
        return checked;
    };
    let node = table.require("keytab", NEED_KEYTAB);
    checked.keytab = node.and_then(|node| keytab::check(&node, surroundings));
    let principal = table.get("principal");
    checked.has_principal = principal.is_some();
    checked.principal = principal.and_then(|node| keytab_principal(&node, checked.keytab.as_ref()));
    checked.realm = table
        .get("default_realm")
        .and_then(|node| node.text().map(str::to_owned));
    let replay_cache = replay_cache(&table, surroundings);
    // `default_realm`, that of `principal`, or the only one of the keytab's `HTTP/…` keys
    let realm = default_realm(&table, &checked);
    // without a realm there is a problem already; the rules are looked at all the same
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

/// A gateway that relays and nothing else has no keys.
fn nobody_logs_in() -> Option<Kerberos> {
    let none: [&str; 0] = [];
    let auth_to_local = AuthToLocal::compile(&none, Mechanism::default(), "").ok()?;
    Some(Kerberos {
        keytab: None,
        principal: None,
        auth_to_local: Arc::new(auth_to_local),
        replay_cache: ReplayCache::None,
    })
}

/// A principal that the gateway logs in as: it must be in the keytab.
pub(super) fn keytab_principal(node: &Node<'_>, keytab: Option<&Keytab>) -> Option<Principal> {
    let text = node.text()?;
    let principal = match text.parse::<Principal>() {
        Ok(principal) => principal,
        Err(source) => {
            node.problem(KerberosFault::Principal {
                text: text.to_owned(),
                source,
            });
            return None;
        }
    };
    if let Some(keytab) = keytab.filter(|keytab| !keytab.holds(&principal)) {
        let file = keytab.file.clone();
        node.problem(KerberosFault::NotInKeytab {
            file,
            principal: principal.clone(),
        });
    }
    Some(principal)
}

/// An SPN; without realm it gets `realm`.
pub(super) fn service_principal(node: &Node<'_>, realm: Option<&str>) -> Option<Principal> {
    let text = node.text()?;
    let parsed = match (text.parse::<Principal>(), realm) {
        (Err(PrincipalError::NoRealm), Some(realm)) => format!("{text}@?")
            .parse::<Principal>()
            .and_then(|p| Principal::new(p.components().iter().cloned(), realm)),
        // an unknown realm was reported elsewhere
        (Err(PrincipalError::NoRealm), None) => return None,
        (parsed, _) => parsed,
    };
    let spn = parsed.ok().filter(|p| p.service().is_some());
    if spn.is_none() {
        node.problem(KerberosFault::Spn {
            text: text.to_owned(),
        });
    }
    spn
}

/// As written, else the realm of the principal, else the only realm of the keytab's `HTTP/…` keys.
fn default_realm(table: &Table<'_>, checked: &Checked) -> Option<String> {
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
            KerberosFault::RealmUnclear { file, realms },
        );
    }
    None
}

fn replay_cache(table: &Table<'_>, surroundings: &Surroundings<'_>) -> ReplayCache {
    let user = rustix::process::geteuid().as_raw();
    let default = PathBuf::from(format!("/var/tmp/krb5_{user}.rcache2"));
    let node = table.get("replay_cache");
    let file = match node.as_ref().map(Node::text) {
        None => default,
        Some(Some("none")) => {
            table.warning_at("replay_cache", Concern::NoReplayCache);
            return ReplayCache::None;
        }
        Some(Some(text)) if text.contains('/') => surroundings.path(text),
        Some(Some(_)) => {
            let _ = node.and_then(|node| node.word(&[("none", ())], &[]));
            return ReplayCache::None;
        }
        Some(None) => return ReplayCache::None,
    };
    if let Err(source) = files::writable(&file) {
        table.problem_at(
            "replay_cache",
            ValueFault::Unwritable {
                file: file.clone(),
                source,
            },
        );
    }
    ReplayCache::File(file)
}

fn auth_to_local(table: &Table<'_>, realm: &str) -> Option<Arc<AuthToLocal>> {
    let mechanisms = [("hadoop", Mechanism::Hadoop), ("mit", Mechanism::Mit)];
    let mechanism = table
        .get("auth_to_local_mechanism")
        // as Hadoop reads it
        .and_then(|node| node.word_in_any_case(&mechanisms))
        .unwrap_or_default();
    let nodes = table
        .get("auth_to_local")
        .and_then(|node| node.list())
        .unwrap_or_default();
    let rules: Vec<&str> = nodes
        .iter()
        .map(|node| node.text().unwrap_or_default())
        .collect();
    match AuthToLocal::compile(&rules, mechanism, realm) {
        Ok(compiled) => {
            for (entry, number, text, remark) in compiled.review() {
                if let Some(node) = nodes.get(entry) {
                    let rule = text.into();
                    node.warning(Concern::Rule {
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
                if let Some(node) = nodes.get(entry) {
                    node.problem(KerberosFault::Rule {
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
