//! `auth_to_local`: principals to short names, by the rules of Hadoop's `KerberosName`.
//!
//! On the request path this runs once per login and once per session that is not cached; its result
//! is the user that is sent to backends. It therefore refuses every principal and rule that does not
//! give one unambiguous name: characters that servers treat differently (`plain`), expressions that
//! Java reads differently (`java`).

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
    /// A result with `/` or `@`, and a principal that no rule matches, are errors.
    #[default]
    Hadoop,
    /// Results may hold `/` and `@`; a principal that no rule matches is its own name.
    Mit,
}

/// The compiled rules, with the mechanism and the default realm that they are applied with.
#[derive(Debug)]
pub struct AuthToLocal {
    rules: Vec<ListedRule>,
    mechanism: Mechanism,
    default_realm: String,
    generation: u64,
}

/// A rule, and its position and text in the configuration.
#[derive(Debug)]
struct ListedRule {
    rule: Rule,
    /// The entry of the list, from 0.
    entry: usize,
    text: Box<str>,
}

/// A rule that cannot be compiled.
#[derive(Debug, thiserror::Error)]
#[error("rule {number} `{text}`: {kind}")]
pub struct RuleError {
    /// The entry of the list, from 0.
    pub entry: usize,
    /// The rule's number among those of all entries, from 1.
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
    /// A component or the realm holds `/`, `@`, `\`, or a character that no name may have; enterprise
    /// names (`alice\@example.com@REALM`) are of this form. Hadoop: "Malformed Kerberos name".
    #[error(
        "the principal has a special or invisible character, or begins or ends with a blank: no rule \
         is applied to it"
    )]
    Malformed,
    /// A well-known name of RFC 6111, such as that of anonymous clients (RFC 8062); it names no user.
    #[error(
        "the principal is a well-known name, such as that of anonymous clients, and not that of a user"
    )]
    WellKnown,
    /// More than two components, which Hadoop's `KerberosName` does not accept.
    #[error("the principal has more than two components")]
    Components,
    /// No rule matches (Hadoop: "No rules applied to").
    #[error("no auth_to_local rule fits this principal")]
    NoRule,
    /// Rule `index` (from 0) made a name with `/` or `@` (Hadoop: "Non-simple name").
    #[error("auth_to_local rule {} leaves `/` or `@` in the name", index + 1)]
    NotSimple {
        /// The rule's place among all rules.
        index: usize,
    },
    /// Rule `index` (from 0) made an empty name, or one with a character that no name may have.
    #[error(
        "auth_to_local rule {} makes an empty name, or one with a special or invisible character or \
         a blank at an end",
        index + 1
    )]
    Unusable {
        /// The rule's place among all rules.
        index: usize,
    },
    /// The result of rule `index` (from 0) depends on the version of Java.
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
        /// The error of the regular expression engine.
        #[source]
        source: Box<fancy_regex::Error>,
    },
}

impl AuthToLocal {
    /// Compiles the entries of `kerberos.auth_to_local`; every invalid rule is reported.
    ///
    /// An entry holds one rule or, as in `core-site.xml`, several with white space between. No
    /// entries mean `DEFAULT`, as in Hadoop. `default_realm` is the realm that `DEFAULT` compares with.
    pub fn compile<S: AsRef<str>>(
        entries: &[S],
        mechanism: Mechanism,
        default_realm: &str,
    ) -> Result<Self, Vec<RuleError>> {
        // Sessions cache the name that a set of rules gave. After a reload they must not keep it, so
        // each set has a number of its own.
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

    /// The short name of a principal: that of the first rule that matches.
    pub fn map(&self, principal: &Principal) -> Result<String, NameError> {
        let (components, realm) = (principal.components(), principal.realm());
        // RFC 6111 section 3.1 reserves these names. `RULE:[2:$2]` would make the user ANONYMOUS of a
        // client that the KDC has not authenticated.
        if components[0] == "WELLKNOWN" || realm.starts_with("WELLKNOWN:") {
            return Err(NameError::WellKnown);
        }
        // Before any rule: a rule may remove the realm, and with it the character that makes the
        // principal ambiguous.
        let mut parts = components.iter().map(String::as_str).chain([realm]);
        if !parts.all(plain::is_part) {
            return Err(NameError::Malformed);
        }
        if components.len() > 2 {
            // With either mechanism: the pattern of Hadoop's `KerberosName` has no third component.
            return Err(NameError::Components);
        }
        for (index, ListedRule { rule, .. }) in self.rules.iter().enumerate() {
            match rule.apply(components, realm, &self.default_realm) {
                Ok(None) => {}
                // An unusable result is final, as a non-simple one is in Hadoop: a later rule could
                // make another user of the principal.
                Ok(Some(name)) => return self.checked(name, index),
                Err(Unapplied::Ambiguous) => return Err(NameError::Ambiguous { index }),
                Err(Unapplied::Regex(source)) => return Err(NameError::Regex { index, source }),
            }
        }
        match self.mechanism {
            Mechanism::Hadoop => Err(NameError::NoRule),
            Mechanism::Mit => Ok(principal.to_string()),
        }
    }

    /// The result of rule `index`, if it is a valid name.
    fn checked(&self, name: String, index: usize) -> Result<String, NameError> {
        match self.mechanism {
            Mechanism::Hadoop if name.contains(['/', '@']) => Err(NameError::NotSimple { index }),
            Mechanism::Hadoop | Mechanism::Mit if plain::is_name(&name, false) => Ok(name),
            Mechanism::Hadoop | Mechanism::Mit => Err(NameError::Unusable { index }),
        }
    }

    /// Whether some rules of this mechanism could give this short name.
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
