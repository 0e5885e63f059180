//! `auth_to_local`: principals to short names, by the rules of Hadoop's `KerberosName`.
//!
//! On the request path this runs once per login and once per session that is not cached; its result
//! is the user that is sent to backends. It therefore refuses whatever it cannot turn into one
//! unambiguous name: a principal that has none (`plain`), a rule that Java reads differently (`java`).

use std::sync::atomic::{AtomicU64, Ordering};

use crate::gss::Principal;

mod java;
mod overlap;
mod plain;
mod review;
mod rule;

pub use java::PatternError;
pub use review::RuleWarning;
pub use rule::RuleErrorKind;
use rule::{ParsedRule, Rule, Unapplied};

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
    rules: Vec<ListedRule>,
    mechanism: Mechanism,
    default_realm: String,
    generation: u64,
}

/// A rule and where it was written.
#[derive(Debug)]
struct ListedRule {
    rule: Rule,
    /// Which entry of the list, from 0.
    entry: usize,
    text: Box<str>,
}

/// A rule that cannot be compiled.
#[derive(Debug, thiserror::Error)]
#[error("rule {number} `{text}`: {kind}")]
pub struct RuleError {
    /// Which entry of the list, from 0.
    pub entry: usize,
    /// Which of all rules, from 1.
    pub number: usize,
    /// The rule, shortened.
    pub text: Box<str>,
    /// What is wrong with it.
    #[source]
    pub kind: RuleErrorKind,
}

/// Why a principal has no short name.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// A component or the realm holds `/`, `@`, `\`, or a character that is in no name; enterprise
    /// names (`alice\@example.com@REALM`) are of this form. Hadoop: "Malformed Kerberos name".
    #[error(
        "the principal has a special or invisible character, or a blank at an end: no rule is tried \
         on it"
    )]
    Malformed,
    /// A well-known name of RFC 6111, as that of anonymous clients (RFC 8062): it is nobody.
    #[error("the principal is a well-known name, such as that of anonymous clients, and nobody")]
    WellKnown,
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
    /// Rule `index` (from 0) made an empty name, or one with a character that is in no name.
    #[error(
        "auth_to_local rule {} makes an empty name, or one with a special or invisible character or \
         a blank at an end",
        index + 1
    )]
    Unusable {
        /// The rule's place among all rules.
        index: usize,
    },
    /// What rule `index` (from 0) makes of it depends on the version of Java.
    #[error(
        "versions of Java differ in what auth_to_local rule {} makes of this principal's letters \
         beyond ASCII",
        index + 1
    )]
    Ambiguous {
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
    /// entries mean `DEFAULT`, as in Hadoop. `default_realm` is the realm that `DEFAULT` compares with.
    pub fn compile<S: AsRef<str>>(
        entries: &[S],
        mechanism: Mechanism,
        default_realm: &str,
    ) -> Result<Self, Vec<RuleError>> {
        // Sessions cache the name that a set of rules gave: the number tells sets apart.
        static GENERATION: AtomicU64 = AtomicU64::new(1);
        let (mut rules, mut errors) = (Vec::new(), Vec::new());
        let mut number = 0;
        for (entry, rule) in entries.iter().enumerate() {
            for ParsedRule { text, rule } in rule::parse_all(rule.as_ref()) {
                number += 1;
                match rule {
                    Ok(rule) => rules.push(ListedRule { rule, entry, text }),
                    Err(kind) => errors.push(RuleError {
                        entry,
                        number,
                        text: rule::shortened(&text, 80),
                        kind,
                    }),
                }
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        if rules.is_empty() {
            rules.push(ListedRule {
                rule: Rule::Default,
                entry: 0,
                text: "DEFAULT".into(),
            });
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
        // RFC 6111 section 3.1
        if components[0] == "WELLKNOWN" || realm.starts_with("WELLKNOWN:") {
            return Err(NameError::WellKnown);
        }
        let mut parts = components.iter().map(String::as_str).chain([realm]);
        if !parts.all(plain::is_part) {
            return Err(NameError::Malformed);
        }
        if components.len() > 2 {
            return Err(NameError::Components);
        }
        for (index, ListedRule { rule, .. }) in self.rules.iter().enumerate() {
            match rule.apply(components, realm, &self.default_realm) {
                Ok(None) => {}
                Ok(Some(name)) => return self.approved(name, index),
                Err(Unapplied::Ambiguous) => return Err(NameError::Ambiguous { index }),
                Err(Unapplied::Regex(source)) => return Err(NameError::Regex { index, source }),
            }
        }
        match self.mechanism {
            Mechanism::Hadoop => Err(NameError::NoRule),
            Mechanism::Mit => Ok(principal.to_string()),
        }
    }

    /// The result of rule `index`, if it is a name.
    fn approved(&self, name: String, index: usize) -> Result<String, NameError> {
        match self.mechanism {
            Mechanism::Hadoop if name.contains(['/', '@']) => Err(NameError::NotSimple { index }),
            Mechanism::Hadoop | Mechanism::Mit if plain::is_name(&name, false) => Ok(name),
            Mechanism::Hadoop | Mechanism::Mit => Err(NameError::Unusable { index }),
        }
    }

    /// Whether a principal could have this short name, under some rules of this mechanism.
    pub fn can_be(&self, user: &str) -> bool {
        plain::is_name(user, self.mechanism == Mechanism::Hadoop)
    }

    /// A number that no other set of compiled rules of this process has.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }
}

#[cfg(test)]
mod tests;
