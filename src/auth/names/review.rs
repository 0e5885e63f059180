//! Warnings for rules that compile and probably do not do what was intended.
//!
//! For `spnegate check`. A rule is tried on examples that are generated from its own regular expression,
//! so no list of known mistakes is needed.

use super::{
    AuthToLocal, ListedRule, Mechanism,
    java::{pattern::Node, set::CharSet},
    overlap::{Overlap, overlap},
    plain,
    rule::{Mapping, Rule},
};

/// What may be wrong with rule `number` (from 1).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleWarning {
    /// Its number of components.
    #[error("never applies: names of users and services have one component or two")]
    Components,
    /// No text of the format matches the expression.
    #[error(
        "never applies: its regular expression matches nothing that `{format}` makes, and it has to \
         match all of it"
    )]
    NeverFits {
        /// The format.
        format: Box<str>,
    },
    /// An earlier rule takes everything.
    #[error("never applies: rule {by} takes every name that it could apply to")]
    Unreachable {
        /// The number of the other one.
        by: usize,
    },
    /// Users of two realms become one.
    #[error(
        "gives users of every trusted realm the same names, so that alice of another realm is the \
         local alice; let it match the realm too, as in [1:$1@$0](.*@EXAMPLE\\.COM)s/@.*//"
    )]
    AnyRealm,
    /// A blank in the result.
    #[error("writes a blank into the name, which no account has")]
    Blank,
    /// The result is no name.
    #[error("makes `{name}` of {principal}, which is not a name: the login is refused")]
    NoName {
        /// The result.
        name: Box<str>,
        /// An example.
        principal: Box<str>,
    },
}

/// Two letters that rules hardly treat differently: what happens to both happens to all.
const FILLERS: [char; 2] = ['x', 'q'];
/// Realms that nobody has (RFC 2606).
const REALMS: [&str; 2] = ["A.INVALID", "B.INVALID"];

impl AuthToLocal {
    /// What may be wrong with each rule: its entry (from 0), its number (from 1) and its text.
    pub fn review(&self) -> Vec<(usize, usize, &str, RuleWarning)> {
        let mut remarks = Vec::new();
        for (index, placed) in self.rules.iter().enumerate() {
            let remark = self.of_rule(index, placed);
            let found = remark.map(|remark| (placed.entry, index + 1, &*placed.text, remark));
            remarks.extend(found);
        }
        remarks
    }

    fn of_rule(&self, index: usize, placed: &ListedRule) -> Option<RuleWarning> {
        if let Some(earlier) = self.shadow(index, placed) {
            return Some(RuleWarning::Unreachable { by: earlier + 1 });
        }
        let Rule::Mapping(mapping) = &placed.rule else {
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
            let format = placed.text.split(']').next().unwrap_or_default();
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

    /// The earlier rule that leaves nothing for this one.
    fn shadow(&self, index: usize, placed: &ListedRule) -> Option<usize> {
        let earlier = &self.rules[..index];
        let takes_all = |components| {
            earlier.iter().position(|other| match &other.rule {
                Rule::Mapping(other) => other.components == components && other.takes_all(),
                Rule::Default => false,
            })
        };
        let same = earlier.iter().position(|other| other.text == placed.text);
        same.or_else(|| match &placed.rule {
            Rule::Mapping(mapping) => takes_all(mapping.components),
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

    /// Whether principals of two unknown realms get one name.
    fn admits_any_realm(&self) -> bool {
        let name = |realm: &str| match self.overlap(Some(realm), FILLERS[0]) {
            Overlap::Example(base) => self.finish(base).ok().flatten(),
            Overlap::Never | Overlap::Unknown => None,
        };
        let [one, other] = REALMS.map(name);
        one.is_some() && one == other
    }
}

/// Whether it is `.*` or the like.
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

    fn remarks(rules: &[&str]) -> Vec<(usize, RuleWarning)> {
        let names = AuthToLocal::compile(rules, Mechanism::Hadoop, "EXAMPLE.COM").unwrap();
        let all = names.review().into_iter();
        all.map(|(_, number, _, remark)| (number, remark)).collect()
    }

    fn only(rule: &str) -> RuleWarning {
        let mut remarks = remarks(&[rule]);
        assert_eq!(remarks.len(), 1, "{rule}: {remarks:?}");
        remarks.remove(0).1
    }

    #[test]
    fn rules_as_clusters_have_them_pass() {
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
            assert_eq!(remarks(rules), none, "{rules:?}");
        }
    }

    #[test]
    fn a_rule_that_can_never_apply_is_named() {
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
            remarks(&["RULE:[1:$1]", "RULE:[1:$1@$0](.*@A)s/@.*//"]),
            [any(1), (2, by(1))]
        );
        assert_eq!(
            remarks(&["RULE:[1:$1](.*)", "RULE:[2:$1]", "DEFAULT"]),
            [any(1), any(2), (3, by(2))]
        );
        assert_eq!(remarks(&["DEFAULT", "DEFAULT"]), [(2, by(1))]);
    }

    #[test]
    fn a_rule_that_admits_any_realm_is_named() {
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
    fn a_result_that_is_no_name_is_named() {
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
