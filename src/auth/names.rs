//! `auth_to_local`: principals to short names, by the rules of Hadoop's `KerberosName`.
//!
//! In a request's way this runs once per login and once per session that is not cached; its result
//! is the user that backends are told. It therefore refuses whatever it cannot turn into one
//! unambiguous name.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::gss::Principal;

mod java;
mod rule;

pub use java::PatternError;
use rule::Rule;
pub use rule::RuleErrorKind;

/// `kerberos.auth_to_local_mechanism`, as `hadoop.security.auth_to_local.mechanism`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mechanism {
    /// A result with `/` or `@`, and a principal that no rule fits, are errors.
    #[default]
    Hadoop,
    /// Results may hold `/` and `@`; a principal that no rule fits is its own name.
    Mit,
}

/// Compiled rules with their mechanism and default realm.
#[derive(Debug)]
pub struct AuthToLocal {
    rules: Vec<Rule>,
    mechanism: Mechanism,
    default_realm: String,
    generation: u64,
}

/// A rule that cannot be compiled.
#[derive(Debug, thiserror::Error)]
#[error("rule {}: {kind}", index + 1)]
pub struct RuleError {
    /// Which entry of the list, from 0.
    pub index: usize,
    /// What is wrong with it.
    #[source]
    pub kind: RuleErrorKind,
}

/// Why a principal has no short name.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// A component or the realm holds `/`, `@`, `\` or a control character; enterprise names
    /// (`alice\@example.com@REALM`) come so. Hadoop calls it "Malformed Kerberos name".
    #[error("the principal has a special character in a component: no rule is tried on it")]
    Malformed,
    /// More than two components, which Hadoop's `KerberosName` does not read.
    #[error("the principal has more than two components")]
    Components,
    /// No rule fits (Hadoop: "No rules applied to").
    #[error("no auth_to_local rule fits this principal")]
    NoRule,
    /// Rule `index` (from 0) made a name with `/` or `@` (Hadoop: "Non-simple name").
    #[error("auth_to_local rule {} leaves `/` or `@` in the name", index + 1)]
    NotSimple {
        /// The rule's place among all rules.
        index: usize,
    },
    /// Rule `index` (from 0) made an empty name, or one with a backslash or control character.
    #[error(
        "auth_to_local rule {} makes an empty name or one with a special character",
        index + 1
    )]
    Unusable {
        /// The rule's place among all rules.
        index: usize,
    },
    /// Rule `index` (from 0) gave up backtracking.
    #[error("auth_to_local rule {} takes too long on this principal", index + 1)]
    Regex {
        /// The rule's place among all rules.
        index: usize,
        /// What the regular expression engine says.
        #[source]
        source: Box<fancy_regex::Error>,
    },
}

impl AuthToLocal {
    /// Compiles the entries of `kerberos.auth_to_local`; all broken ones are reported.
    ///
    /// An entry holds one rule or, as in `core-site.xml`, several with white space between. No
    /// entries mean `DEFAULT`, as in Hadoop. `default_realm` is what `DEFAULT` compares with.
    pub fn compile<S: AsRef<str>>(
        entries: &[S],
        mechanism: Mechanism,
        default_realm: &str,
    ) -> Result<Self, Vec<RuleError>> {
        // Sessions cache the name that a set of rules gave: the number tells sets apart.
        static GENERATION: AtomicU64 = AtomicU64::new(1);
        let mut rules = Vec::new();
        let mut errors = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            match rule::parse_all(entry.as_ref()) {
                Ok(more) => rules.extend(more),
                Err(kind) => errors.push(RuleError { index, kind }),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        if rules.is_empty() {
            rules.push(Rule::Default);
        }
        Ok(Self {
            rules,
            mechanism,
            default_realm: default_realm.to_owned(),
            generation: GENERATION.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// The short name of a principal: the first rule that fits decides.
    pub fn map(&self, principal: &Principal) -> Result<String, NameError> {
        let (components, realm) = (principal.components(), principal.realm());
        if components
            .iter()
            .map(String::as_str)
            .chain([realm])
            .any(special)
        {
            return Err(NameError::Malformed);
        }
        if components.len() > 2 && self.mechanism == Mechanism::Hadoop {
            return Err(NameError::Components);
        }
        for (index, rule) in self.rules.iter().enumerate() {
            let name = match rule.apply(components, realm, &self.default_realm) {
                Ok(None) => continue,
                Ok(Some(name)) => name,
                Err(source) => {
                    return Err(NameError::Regex {
                        index,
                        source: Box::new(source),
                    });
                }
            };
            if self.mechanism == Mechanism::Hadoop && name.contains(['/', '@']) {
                return Err(NameError::NotSimple { index });
            }
            if name.is_empty() || name.contains(unprintable) {
                return Err(NameError::Unusable { index });
            }
            return Ok(name);
        }
        match self.mechanism {
            Mechanism::Hadoop => Err(NameError::NoRule),
            Mechanism::Mit => Ok(principal.to_string()),
        }
    }

    /// A number that no other set of compiled rules of this process has.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }
}

/// Characters that the text form of a principal escapes, or that no name should have.
fn special(part: &str) -> bool {
    part.contains(['/', '@']) || part.contains(unprintable)
}

/// Backslash, controls, and the line ends that Java's `.` and `$` know and Rust's do not.
fn unprintable(c: char) -> bool {
    c == '\\' || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules(entries: &[&str]) -> AuthToLocal {
        AuthToLocal::compile(entries, Mechanism::Hadoop, "EXAMPLE.COM").unwrap()
    }

    fn mapped(entries: &[&str], principal: &str) -> Option<String> {
        rules(entries).map(&principal.parse().unwrap()).ok()
    }

    #[test]
    fn names_are_mapped_as_hadoop_maps_them() {
        // rules, principal, short name; the first block is Hadoop's own TestKerberosName
        let yahoo: &[&str] = &[
            "RULE:[1:$1@$0](.*@YAHOO\\.COM)s/@.*//",
            "RULE:[2:$1](johndoe)s/^.*$/guest/",
            "RULE:[2:$1;$2](^.*;admin$)s/;admin$//",
            "RULE:[2:$2](root)",
            "DEFAULT",
        ];
        let table: &[(&[&str], &str, Option<&str>)] = &[
            (yahoo, "omalley@EXAMPLE.COM", Some("omalley")),
            (yahoo, "hdfs/10.0.0.1@EXAMPLE.COM", Some("hdfs")),
            (yahoo, "oom@YAHOO.COM", Some("oom")),
            (yahoo, "johndoe/zoo@FOO.COM", Some("guest")),
            (yahoo, "joe/admin@FOO.COM", Some("joe")),
            (yahoo, "joe/root@FOO.COM", Some("root")),
            (yahoo, "foo@ACME.COM", None),
            // no entries are DEFAULT
            (&[], "alice@EXAMPLE.COM", Some("alice")),
            (&[], "HTTP/gw.example.com@EXAMPLE.COM", Some("HTTP")),
            (&[], "alice@CORP.EXAMPLE.COM", None),
            // Cloudera's and Ambari's usual ones
            (
                &["RULE:[2:$1@$0](rm@EXAMPLE.COM)s/.*/yarn/"],
                "rm/h@EXAMPLE.COM",
                Some("yarn"),
            ),
            (
                &["RULE:[2:$1@$0](rm@EXAMPLE.COM)s/.*/yarn/"],
                "nm/h@EXAMPLE.COM",
                None,
            ),
            (
                &["RULE:[1:$1@$0](.*@\\QCORP.COM\\E$)s/@\\QCORP.COM\\E$//"],
                "bob@CORP.COM",
                Some("bob"),
            ),
            (
                &["RULE:[1:$1@$0](.*@\\QCORP.COM\\E$)s/@\\QCORP.COM\\E$///L"],
                "BOB@CORP.COM",
                Some("bob"),
            ),
            (&["RULE:[1:$1]/L"], "ALICE@ANY.REALM", Some("alice")),
            (&["RULE:[1:$1]L"], "ALICE@ANY.REALM", Some("alice")),
            // DEFAULT/L reads as DEFAULT
            (&["DEFAULT/L"], "ALICE@EXAMPLE.COM", Some("ALICE")),
            // several in one entry, as core-site.xml has them
            (
                &["\n RULE:[2:$1](x)\n  DEFAULT "],
                "alice@EXAMPLE.COM",
                Some("alice"),
            ),
            // the regular expression is a full match
            (&["RULE:[1:$1](ali)"], "alice@EXAMPLE.COM", None),
            // first match only, and all matches
            (&["RULE:[1:$1]s/a/b/"], "anna@R", Some("bnna")),
            (&["RULE:[1:$1]s/a/b/g"], "anna@R", Some("bnnb")),
            // Java matches the empty string after a full match once more
            (&["RULE:[1:$1]s/.*/x/g"], "anna@R", Some("xx")),
            (&["RULE:[1:$1]s/x*/-/g"], "axc@R", Some("-a--c-")),
            (&["RULE:[1:$1]s/(.)(.*)/$2$1/"], "anna@R", Some("nnaa")),
            // the literal `$1` of a format beside text
            (&["RULE:[2:svc-$1]"], "hive/h@R", Some("svc-hive")),
            // not simple: an error even where a later rule would fit
            (&["RULE:[1:$1@$0]", "DEFAULT"], "alice@EXAMPLE.COM", None),
            // Hadoop would make it the empty name
            (&["RULE:[1:$1]s/.*//"], "alice@EXAMPLE.COM", None),
        ];
        for (entries, principal, expected) in table {
            assert_eq!(
                mapped(entries, principal).as_deref(),
                *expected,
                "{entries:?} {principal}"
            );
        }
    }

    #[test]
    fn mit_lets_special_names_and_unmatched_principals_pass() {
        let mit = |entries: &[&str], principal: &str| {
            let rules = AuthToLocal::compile(entries, Mechanism::Mit, "EXAMPLE.COM").unwrap();
            rules.map(&principal.parse().unwrap()).ok()
        };
        assert_eq!(
            mit(&["DEFAULT"], "bob@CORP.COM").as_deref(),
            Some("bob@CORP.COM")
        );
        assert_eq!(
            mit(&["RULE:[1:$1@$0]"], "bob@CORP.COM").as_deref(),
            Some("bob@CORP.COM")
        );
        assert_eq!(
            mit(&["DEFAULT"], "hdfs/nn@EXAMPLE.COM").as_deref(),
            Some("hdfs")
        );
        assert_eq!(mit(&["RULE:[3:$3]"], "a/b/c@R").as_deref(), Some("c"));
        assert_eq!(
            mit(&["DEFAULT"], "a/b/c@EXAMPLE.COM").as_deref(),
            Some("a/b/c@EXAMPLE.COM")
        );
    }

    #[test]
    fn enterprise_names_and_control_characters_never_become_users() {
        for mechanism in [Mechanism::Hadoop, Mechanism::Mit] {
            let rules = AuthToLocal::compile(&["RULE:[1:$1]", "DEFAULT"], mechanism, "R").unwrap();
            for parts in [
                &["alice@corp.com"],
                &["a\\b"],
                &["a/b"],
                &["a\nb"],
                &["a\u{2028}"],
            ] {
                let principal = Principal::new(*parts, "R").unwrap();
                assert!(matches!(rules.map(&principal), Err(NameError::Malformed)));
            }
        }
    }

    #[test]
    fn three_components_are_refused_as_hadoop_does() {
        let refused = rules(&["DEFAULT"]).map(&"a/b/c@EXAMPLE.COM".parse().unwrap());
        assert!(matches!(refused, Err(NameError::Components)));
    }

    #[test]
    fn every_broken_rule_is_reported_with_its_place() {
        let errors = AuthToLocal::compile(
            &["DEFAULT", "RULE[1:$1]", "RULE:[1:$1](a*", "RULE:[1:$2]"],
            Mechanism::Hadoop,
            "R",
        )
        .unwrap_err();
        assert_eq!(
            errors.iter().map(|e| e.index).collect::<Vec<_>>(),
            [1, 2, 3]
        );
        assert!(
            errors[0].to_string().starts_with("rule 2: "),
            "{}",
            errors[0]
        );
    }

    #[test]
    fn generations_differ() {
        assert_ne!(rules(&[]).generation(), rules(&[]).generation());
    }

    proptest! {
        #[test]
        fn a_mapped_name_is_always_simple(
            parts in prop::collection::vec("[^\0]{1,6}", 1..4),
            realm in prop_oneof![Just("EXAMPLE.COM".to_owned()), "[^\0]{1,8}"],
        ) {
            let rules = rules(&["RULE:[1:$1@$0](.*@X)s/@.*//", "RULE:[2:$2$1]s/[a-m]*//g/L", "DEFAULT"]);
            if let Ok(name) = rules.map(&Principal::new(parts, realm).unwrap()) {
                prop_assert!(!name.is_empty());
                let bad = |c: char| matches!(c, '/' | '@' | '\\') || c.is_control();
                prop_assert!(!name.contains(bad), "{:?}", name);
            }
        }

        #[test]
        fn any_rule_text_compiles_or_is_refused(text in ".*", tail in ".*") {
            let _ = AuthToLocal::compile(&[&text], Mechanism::Hadoop, "R");
            let _ = AuthToLocal::compile(&[format!("RULE:[1:$1]{tail}")], Mechanism::Hadoop, "R");
            let rule = format!("RULE:[1:$1]s/{text}/{tail}/");
            if let Ok(rules) = AuthToLocal::compile(&[rule], Mechanism::Hadoop, "R") {
                let _ = rules.map(&"alice@R".parse().unwrap());
            }
        }
    }
}
