//! Sets of characters, as denoted by Java's character classes.
//!
//! A class of a pattern is expanded here and passed to the regular expression engine as plain ranges.
//! The engine's own rules for classes (POSIX names in brackets, `--`, `~~`, Unicode tables, Unicode
//! case folding) differ from Java's and never apply.

use std::fmt::Write as _;

const LAST: u32 = char::MAX as u32;

/// Sorted ranges that neither overlap nor touch, each with both of its ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::auth::names) struct CharSet(Vec<(u32, u32)>);

impl CharSet {
    pub(in crate::auth::names) fn of(c: char) -> Self {
        Self::range(c, c)
    }

    /// `first` must not be after `last`.
    pub(super) fn range(first: char, last: char) -> Self {
        Self(vec![(first.into(), last.into())])
    }

    /// The ranges between pairs of characters: `"azAZ"` is a to z and A to Z.
    pub(in crate::auth::names) fn pairs(ends: &str) -> Self {
        let ends: Vec<u32> = ends.chars().map(u32::from).collect();
        Self::sorted(
            ends.chunks_exact(2)
                .map(|ends| (ends[0], ends[1]))
                .collect(),
        )
    }

    fn sorted(mut ranges: Vec<(u32, u32)>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => {
                    before.1 = before.1.max(last);
                }
                Some(_) | None => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    pub(in crate::auth::names) fn union(&self, other: &Self) -> Self {
        Self::sorted([self.0.as_slice(), &other.0].concat())
    }

    pub(in crate::auth::names) fn negated(&self) -> Self {
        let mut ranges = Vec::with_capacity(self.0.len() + 1);
        let mut next = 0;
        for &(first, last) in &self.0 {
            if next < first {
                ranges.push((next, first - 1));
            }
            next = last + 1;
        }
        if next <= LAST {
            ranges.push((next, LAST));
        }
        Self(ranges)
    }

    pub(in crate::auth::names) fn intersection(&self, other: &Self) -> Self {
        self.negated().union(&other.negated()).negated()
    }

    /// Adds the other case of each ASCII letter. Java's `(?i)` ignores the case of no other letters.
    pub(super) fn in_any_case(&self) -> Self {
        let shifted = |lower: bool| {
            let (first, last) = if lower { ('a', 'z') } else { ('A', 'Z') };
            let letters = self.intersection(&Self::range(first, last));
            let shift = |c: u32| c ^ 0x20;
            Self(
                letters
                    .0
                    .iter()
                    .map(|&(a, b)| (shift(a), shift(b)))
                    .collect(),
            )
        };
        self.union(&shifted(true)).union(&shifted(false))
    }

    pub(in crate::auth::names) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::auth::names) fn contains(&self, c: char) -> bool {
        let c = u32::from(c);
        self.0
            .iter()
            .any(|&(first, last)| (first..=last).contains(&c))
    }

    /// A character of the set. `None` if it is empty or its ranges begin with surrogates.
    pub(in crate::auth::names) fn any(&self) -> Option<char> {
        self.0.iter().find_map(|&(first, _)| char::from_u32(first))
    }

    /// Writes the set as a class in the engine's syntax.
    pub(super) fn write(&self, out: &mut String) {
        if let [(only, same)] = self.0.as_slice()
            && only == same
            && let Some(c) = char::from_u32(*only).filter(char::is_ascii_alphanumeric)
        {
            out.push(c);
            return;
        }
        if self.is_empty() {
            // The engine does not accept `[]`.
            out.push_str(r"[^\x{0}-\x{10FFFF}]");
            return;
        }
        out.push('[');
        for &(first, last) in &self.0 {
            // To the engine surrogates are not characters, and cannot be the end of a range.
            let first = if (0xD800..=0xDFFF).contains(&first) {
                0xE000
            } else {
                first
            };
            let last = if (0xD800..=0xDFFF).contains(&last) {
                0xD7FF
            } else {
                last
            };
            if first <= last {
                let _ = write!(out, "\\x{{{first:X}}}-\\x{{{last:X}}}");
            }
        }
        out.push(']');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_ascii_letters_get_their_other_case() {
        let k = CharSet::of('k').in_any_case();
        assert!(k.contains('K') && !k.contains('\u{212A}'));
        assert_eq!(CharSet::of('é').in_any_case(), CharSet::of('é'));
        assert_eq!(CharSet::pairs("AZ").in_any_case(), CharSet::pairs("AZaz"));
    }

    #[test]
    fn ranges_that_touch_are_merged() {
        assert_eq!(CharSet::pairs("bcadxx"), CharSet::pairs("adxx"));
        assert_eq!(CharSet::pairs("\0\u{10FFFF}").negated(), CharSet::default());
    }

    proptest! {
        #[test]
        fn operations_are_those_of_sets(a in "[a-h]{0,6}", b in "[a-h]{0,6}", c: char) {
            let set = |text: &str| text.chars().fold(CharSet::default(), |set, c| set.union(&CharSet::of(c)));
            let (left, right) = (set(&a), set(&b));
            for c in ('a'..='j').chain([c]) {
                let (l, r) = (a.contains(c), b.contains(c));
                prop_assert_eq!(left.contains(c), l);
                prop_assert_eq!(left.negated().contains(c), !l);
                prop_assert_eq!(left.union(&right).contains(c), l || r);
                prop_assert_eq!(left.intersection(&right).contains(c), l && r);
            }
        }
    }
}
