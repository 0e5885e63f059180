//! Warnings about rules that compile but probably do not do what was intended.
//!
//! Used by `spnegate check`. A rule is applied to examples that are generated from its own format and
//! regular expression, so no list of known mistakes is needed.

use super::{
    AuthToLocal, ListedRule, Mechanism,
    java::{pattern::Node, set::CharSet},
    overlap::{Overlap, overlap},
    plain,
    rule::{Mapping, Rule},
};

/// What may be wrong with a rule. Numbers of rules begin at 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleWarning {
    /// The rule is for no components, or for more than two.
    #[error("never applies: names of users and services have one component or two")]
    Components,
    /// The expression matches no text of the format.
    #[error(
        "never applies: its regular expression matches no text that `{format}` makes, and it has to \
         match the whole text"
    )]
    NeverFits {
        /// The format.
        format: Box<str>,
    },
    /// An earlier rule applies to every principal that this one could apply to.
    #[error("never applies: rule {by} already applies to every name that it could apply to")]
    Unreachable {
        /// The number of the earlier rule.
        by: usize,
    },
    /// Users of different realms get the same names.
    #[error(
        "gives users of every trusted realm the same names, so that alice of another realm is the \
         local alice; let it match the realm too, as in [1:$1@$0](.*@EXAMPLE\\.COM)s/@.*//"
    )]
    AnyRealm,
    /// The result has a blank.
    #[error("writes a blank into the name; account names have none")]
    Blank,
    /// The result is not a valid name.
    #[error("makes `{name}` of {principal}, which is not a valid name: the login is refused")]
    NoName {
        /// The result.
        name: Box<str>,
        /// An example.
        principal: Box<str>,
    },
}

/// Two letters that rules hardly treat differently. A bad name is reported only if the rule makes one
/// with both, so that a rule about one letter (`s/x/y/`) is not taken for one about all names.
const FILLERS: [char; 2] = ['x', 'q'];
/// Realms that cannot exist: RFC 2606 reserves `.INVALID`.
const REALMS: [&str; 2] = ["A.INVALID", "B.INVALID"];

impl AuthToLocal {
    /// Reviews each rule. A warning comes with the rule's entry (from 0), number (from 1) and text.
    pub fn review(&self) -> Vec<(usize, usize, &str, RuleWarning)> {
        let mut warnings = Vec::new();
        for (index, listed) in self.rules.iter().enumerate() {
            let warning = self.review_rule(index, listed);
            let found = warning.map(|warning| (listed.entry, index + 1, &*listed.text, warning));
            warnings.extend(found);
        }
        warnings
    }

    fn review_rule(&self, index: usize, listed: &ListedRule) -> Option<RuleWarning> {
        // At most one warning for a rule, and first the one that makes all others pointless.
        if let Some(earlier) = self.shadow(index, listed) {
            return Some(RuleWarning::Unreachable { by: earlier + 1 });
        }
        let Rule::Mapping(mapping) = &listed.rule else {
            return None;
        };
        if !(1..=2).contains(&mapping.components) {
            return Some(RuleWarning::Components);
        }
        if mapping.writes_blank() {
            return Some(RuleWarning::Blank);
        }
        let fits: Vec<Overlap> = FILLERS.map(|filler| mapping.overlap(None, filler)).into();
        if fits.contains(&Overlap::Never) {
            let format = listed.text.split(']').next().unwrap_or_default();
            let format = format.trim_start_matches("RULE:");
            return Some(RuleWarning::NeverFits {
                format: format!("{format}]").into(),
            });
        }
        let made = |fit: &Overlap| match fit {
            Overlap::Example(base) => Some((base.clone(), mapping.finish(base.clone()).ok()??)),
            Overlap::Never | Overlap::Unknown => None,
        };
        let made: Vec<(String, String)> = fits.iter().filter_map(made).collect();
        let simple = self.mechanism == Mechanism::Hadoop;
        let blank = |(_, name): &(String, String)| name.contains(char::is_whitespace);
        if !made.is_empty() && made.iter().all(blank) {
            return Some(RuleWarning::Blank);
        }
        let bad = |(_, name): &(String, String)| !plain::is_name(name, simple);
        if let Some((base, name)) = made.first()
            && made.iter().all(bad)
        {
            return Some(RuleWarning::NoName {
                name: name.as_str().into(),
                principal: base.as_str().into(),
            });
        }
        mapping.admits_any_realm().then_some(RuleWarning::AnyRealm)
    }

    /// The index of the earlier rule after which this one can never apply.
    fn shadow(&self, index: usize, listed: &ListedRule) -> Option<usize> {
        let earlier = &self.rules[..index];
        let takes_all = |components| {
            earlier.iter().position(|other| match &other.rule {
                Rule::Mapping(other) => other.components == components && other.takes_all(),
                Rule::Default => false,
            })
        };
        let same = earlier.iter().position(|other| other.text == listed.text);
        same.or_else(|| match &listed.rule {
            Rule::Mapping(mapping) => takes_all(mapping.components),
            // `DEFAULT` applies to one and to two components, so both have to be taken.
            Rule::Default => takes_all(1).and_then(|one| Some(one.max(takes_all(2)?))),
        })
    }
}

impl Mapping {
    fn overlap(&self, realm: Option<&str>, filler: char) -> Overlap {
        let pattern = self.full_match.as_ref().map(|full| &full.pattern.node);
        overlap(&self.format, realm, pattern, filler)
    }

    fn takes_all(&self) -> bool {
        let pattern = self.full_match.as_ref().map(|full| &full.pattern.node);
        pattern.is_none_or(is_anything)
    }

    /// Whether principals of two unknown realms get the same name.
    fn admits_any_realm(&self) -> bool {
        let name = |realm: &str| match self.overlap(Some(realm), FILLERS[0]) {
            Overlap::Example(base) => self.finish(base).ok().flatten(),
            Overlap::Never | Overlap::Unknown => None,
        };
        let [one, other] = REALMS.map(name);
        one.is_some() && one == other
    }
}

/// Whether a pattern matches every text, like `.*`. `.+` counts too, because components are not empty.
fn is_anything(node: &Node) -> bool {
    let everything = CharSet::pairs(" ~\u{a0}\u{2027}\u{202a}\u{d7ff}");
    match node {
        Node::Repeat {
            node,
            min: 0 | 1,
            max: None,
            ..
        } => {
            matches!(&**node, Node::Set(set) if everything.intersection(&set.negated()).is_empty())
        }
        Node::Concat(nodes) => {
            let positions = |node: &&Node| !matches!(node, Node::Start | Node::End);
            let mut rest = nodes.iter().filter(positions);
            rest.next().is_some_and(is_anything) && rest.next().is_none()
        }
        Node::Set(_)
        | Node::Start
        | Node::End
        | Node::WordBoundary { .. }
        | Node::Group(_)
        | Node::Look { .. }
        | Node::Atomic(_)
        | Node::Reference(_)
        | Node::Alternatives(_)
        | Node::Repeat { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(rules: &[&str]) -> Vec<(usize, RuleWarning)> {
        let names = AuthToLocal::compile(rules, Mechanism::Hadoop, "EXAMPLE.COM").unwrap();
        let all = names.review().into_iter();
        all.map(|(_, number, _, warning)| (number, warning))
            .collect()
    }

    fn only(rule: &str) -> RuleWarning {
        let mut warnings = warnings(&[rule]);
        assert_eq!(warnings.len(), 1, "{rule}: {warnings:?}");
        warnings.remove(0).1
    }

    #[test]
    fn rules_of_real_clusters_get_no_warning() {
        let none: [(usize, RuleWarning); 0] = [];
        for rules in [
            &["DEFAULT"][..],
            &[
                "RULE:[1:$1@$0](.*@CORP\\.EXAMPLE\\.COM)s/@.*///L",
                "DEFAULT",
            ],
            &[
                "RULE:[2:$1@$0](rm@EXAMPLE.COM)s/.*/yarn/ RULE:[2:$1@$0](nm@EXAMPLE.COM)s/.*/yarn/ DEFAULT",
            ],
            &[
                "RULE:[1:$1@$0](.*@\\QCORP.COM\\E$)s/@\\QCORP.COM\\E$//",
                "DEFAULT",
            ],
            &["RULE:[1:$1@$0](^.*@.*\\.EXAMPLE\\.COM$)s/^(.*)@.*$/$1/g"],
            &["RULE:[1:$1@$0](.*)s/@/_/"],
        ] {
            assert_eq!(warnings(rules), none, "{rules:?}");
        }
    }

    #[test]
    fn a_rule_that_can_never_apply_gets_a_warning() {
        assert!(matches!(
            only("RULE:[1:$1](.*@EXAMPLE.COM)s/@.*//"),
            RuleWarning::NeverFits { .. }
        ));
        assert!(matches!(
            only("RULE:[1:$1@$0](alice)"),
            RuleWarning::NeverFits { .. }
        ));
        assert_eq!(only("RULE:[3:$1@$0](.*@A)s/@.*//"), RuleWarning::Components);
        assert_eq!(only("RULE:[0:root]"), RuleWarning::Components);
        let by = |by| RuleWarning::Unreachable { by };
        let any = |number| (number, RuleWarning::AnyRealm);
        assert_eq!(
            warnings(&["RULE:[1:$1]", "RULE:[1:$1@$0](.*@A)s/@.*//"]),
            [any(1), (2, by(1))]
        );
        assert_eq!(
            warnings(&["RULE:[1:$1](.*)", "RULE:[2:$1]", "DEFAULT"]),
            [any(1), any(2), (3, by(2))]
        );
        assert_eq!(warnings(&["DEFAULT", "DEFAULT"]), [(2, by(1))]);
    }

    #[test]
    fn a_rule_that_admits_any_realm_gets_a_warning() {
        for rule in [
            "RULE:[1:$1]",
            "RULE:[2:$1]",
            "RULE:[2:$1](johndoe)s/^.*$/guest/",
            "RULE:[1:$1@$0](.*)s/@.*//",
            "RULE:[1:$1@$0](.*@.*)s/@.*///L",
            "RULE:[1:$1@$0](.*@[A-Z.]+)s/@.*//",
            "RULE:[2:$1@$0](rm@.*)s/.*/yarn/",
        ] {
            assert_eq!(only(rule), RuleWarning::AnyRealm, "{rule}");
        }
    }

    #[test]
    fn a_result_that_is_not_a_valid_name_gets_a_warning() {
        assert_eq!(only("RULE:[1:$1@$0](.*@A)s/@.*/ /"), RuleWarning::Blank);
        assert_eq!(only("RULE:[2:$1 $2]"), RuleWarning::Blank);
        assert_eq!(only("RULE:[2:$1 $2]s/x/y/"), RuleWarning::Blank);
        for rule in [
            "RULE:[1:$1@$0](.*@A)",
            "RULE:[1:$1@$0](.*@A)s/.*//",
            "RULE:[2:$1/$2]",
        ] {
            assert!(matches!(only(rule), RuleWarning::NoName { .. }), "{rule}");
        }
    }
}
