//! Whether a regular expression can match any text that a format makes, with an example.
//!
//! Used only by the check of the configuration. Format and expression are turned into finite automata,
//! whose product is searched from the start. Positions and look-around are taken as empty, and
//! references to groups as any text. [`Overlap::Never`] is therefore always right; an example need not
//! match.

use std::collections::{HashMap, VecDeque};

use super::{
    java::{pattern::Node, set::CharSet},
    rule::Piece,
};

/// The most copies of a repeated piece; a larger number is taken as unlimited.
const COPIES: u32 = 24;
/// The most states of an automaton, and the most pairs of states, that are visited. An expression with
/// nested repetitions has more than can be searched while a configuration is checked.
const MOST_STATES: usize = 20_000;
const MOST_PAIRS: usize = 200_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Overlap {
    /// No text of the format matches.
    Never,
    /// The shortest text that matches.
    Example(String),
    /// The search reached its limit.
    Unknown,
}

/// A nondeterministic automaton; state 0 is the first.
#[derive(Default)]
struct Automaton {
    /// The steps of each state: over a character of the set, or an empty step.
    steps: Vec<Vec<(Option<CharSet>, usize)>>,
}

/// Searches for a text that `format` makes and `pattern` matches. `realm` is the text of `$0`, if it is
/// known. The example consists of `filler` as far as possible.
pub(super) fn overlap(
    format: &[Piece],
    realm: Option<&str>,
    pattern: Option<&Node>,
    filler: char,
) -> Overlap {
    let mut made = Automaton::default();
    let mut end = made.state();
    // A component has none of the characters that `plain::is_part` refuses, so that `$1` does not match
    // `.*@.*`.
    let part = CharSet::pairs("//@@\\\\")
        .negated()
        .intersection(&CharSet::pairs("!~\u{a1}\u{d7ff}"));
    for piece in format {
        end = match (piece, realm) {
            (Piece::Text(text), _) => made.text(end, text),
            (Piece::Reference(0), Some(realm)) => made.text(end, realm),
            (Piece::Reference(_), _) => {
                let next = made.step(end, Some(part.clone()));
                made.steps[next].push((Some(part.clone()), next));
                next
            }
        };
    }
    let mut wanted = Automaton::default();
    let begin = wanted.state();
    let any = CharSet::default().negated();
    let wanted_end = if let Some(node) = pattern {
        wanted.node(begin, node)
    } else {
        wanted.steps[begin].push((Some(any), begin));
        begin
    };
    if made.steps.len().max(wanted.steps.len()) >= MOST_STATES {
        return Overlap::Unknown;
    }
    intersect((&made, end), (&wanted, wanted_end), filler)
}

impl Automaton {
    fn state(&mut self) -> usize {
        self.steps.push(Vec::new());
        self.steps.len() - 1
    }

    fn step(&mut self, from: usize, over: Option<CharSet>) -> usize {
        let to = self.state();
        self.steps[from].push((over, to));
        to
    }

    fn text(&mut self, from: usize, text: &str) -> usize {
        text.chars()
            .fold(from, |at, c| self.step(at, Some(CharSet::of(c))))
    }

    /// Any text, also the empty one.
    fn anything(&mut self, from: usize) -> usize {
        let to = self.step(from, None);
        self.steps[to].push((Some(CharSet::default().negated()), to));
        to
    }

    /// Adds a pattern after `from` and returns its end.
    fn node(&mut self, from: usize, node: &Node) -> usize {
        // The caller sees the size and returns `Unknown`; the automaton is not used.
        if self.steps.len() >= MOST_STATES {
            return from;
        }
        match node {
            Node::Set(set) => self.step(from, Some(set.clone())),
            Node::Start | Node::End | Node::WordBoundary { .. } | Node::Look { .. } => from,
            Node::Reference(_) => self.anything(from),
            Node::Group(node) | Node::Atomic(node) => self.node(from, node),
            Node::Concat(nodes) => nodes.iter().fold(from, |at, node| self.node(at, node)),
            Node::Alternatives(nodes) => {
                let to = self.state();
                for node in nodes {
                    let begin = self.step(from, None);
                    let end = self.node(begin, node);
                    self.steps[end].push((None, to));
                }
                to
            }
            Node::Repeat {
                node,
                min,
                max,
                lazy: _,
            } => {
                let mut at = from;
                for _ in 0..(*min).min(COPIES) {
                    at = self.node(at, node);
                }
                let optional = max.map(|max| max - (*min).min(max));
                match optional.filter(|_| *min <= COPIES) {
                    Some(more) if more <= COPIES => {
                        let to = self.state();
                        for _ in 0..more {
                            self.steps[at].push((None, to));
                            at = self.node(at, node);
                        }
                        self.steps[at].push((None, to));
                        to
                    }
                    Some(_) | None => {
                        let again = self.step(at, None);
                        let end = self.node(again, node);
                        self.steps[end].push((None, again));
                        again
                    }
                }
            }
        }
    }
}

/// The shortest text that both automata accept, by a breadth-first search of their product.
fn intersect(left: (&Automaton, usize), right: (&Automaton, usize), filler: char) -> Overlap {
    type Pair = (usize, usize);
    let mut before: HashMap<Pair, Option<(Pair, Option<char>)>> = HashMap::from([((0, 0), None)]);
    let mut queue = VecDeque::from([(0, 0)]);
    while let Some(pair @ (a, b)) = queue.pop_front() {
        if pair == (left.1, right.1) {
            let mut text = Vec::new();
            let mut at = pair;
            while let Some(Some((earlier, c))) = before.get(&at) {
                text.extend(*c);
                at = *earlier;
            }
            return Overlap::Example(text.into_iter().rev().collect());
        }
        // After the comparison with the end, so that a result that is already known is returned.
        if before.len() > MOST_PAIRS {
            return Overlap::Unknown;
        }
        let mut visit = |to: Pair, c: Option<char>| {
            before.entry(to).or_insert_with(|| {
                queue.push_back(to);
                Some((pair, c))
            });
        };
        for (over, next) in &left.0.steps[a] {
            let Some(over) = over else {
                visit((*next, b), None);
                continue;
            };
            for (other, other_next) in &right.0.steps[b] {
                let Some(other) = other else { continue };
                let both = over.intersection(other);
                let c = Some(filler)
                    .filter(|c| both.contains(*c))
                    .or_else(|| both.any());
                if let Some(c) = c {
                    visit((*next, *other_next), Some(c));
                }
            }
        }
        for (over, next) in &right.0.steps[b] {
            if over.is_none() {
                visit((a, *next), None);
            }
        }
    }
    Overlap::Never
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{java, rule},
        *,
    };

    fn fits(format: &str, pattern: &str) -> Overlap {
        let format = rule::parse_format(format, 2).unwrap();
        let pattern = java::compile_full(pattern).unwrap().pattern;
        overlap(&format, None, Some(&pattern.node), 'x')
    }

    #[test]
    fn an_expression_that_matches_no_text_of_the_format_never_applies() {
        for (format, pattern) in [
            ("$1", ".*@EXAMPLE.COM"),
            ("$1@$0", "alice"),
            ("$1@$0", ".*/.*"),
            ("$1;$2", ".*@.*"),
            ("$1", "[[:alpha:]]+@R"),
            ("$1@$0", "[a-z&&0-9]*"),
            ("$1@$0", "a{3}"),
        ] {
            assert_eq!(fits(format, pattern), Overlap::Never, "{format} {pattern}");
        }
    }

    #[test]
    fn an_example_is_given_for_an_expression_that_applies() {
        assert_eq!(
            fits("$1@$0", ".*@A.COM"),
            Overlap::Example("x@AxCOM".into())
        );
        assert_eq!(
            fits("$1@$0", "(?i)RM@a{2}"),
            Overlap::Example("RM@aa".to_uppercase())
        );
        assert_eq!(fits("$1", "x{2,40}"), Overlap::Example("xx".into()));
        assert_eq!(fits("$1", "(?!root).*"), Overlap::Example("x".into()));
    }

    proptest! {
        #[test]
        fn an_example_matches_and_never_is_right(
            pattern in r"([abx@.]|[abx.][*+?]|[abx]\{1,3\}|\[a-c\]|\[\^@\]+){0,8}",
            name in "[abx]{1,4}", realm in "[abx]{1,3}",
        ) {
            let Ok(compiled) = java::compile_full(&pattern) else { return Ok(()) };
            match fits("$1@$0", &pattern) {
                Overlap::Example(text) => prop_assert!(compiled.regex.is_match(&text).unwrap(), "{pattern} {text}"),
                Overlap::Never => {
                    let text = format!("{name}@{realm}");
                    prop_assert!(!compiled.regex.is_match(&text).unwrap());
                }
                Overlap::Unknown => {}
            }
        }
    }
}
