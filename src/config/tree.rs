//! A cursor over the spanned TOML tree: it knows its key path and position, reads values, and
//! reports what does not read. Reading goes on after a problem with a stand-in value, so that every
//! problem of a file is found in one run.

use std::{cell::RefCell, ops::RangeInclusive, time::Duration};

use toml::de::{DeTable, DeValue};

use super::{
    problem::{Concern, Fault, Place, Problem, ValueFault, Warning},
    schema::Section,
};

mod node;

pub(super) use node::Node;

/// What the checks have found so far in one file.
#[derive(Debug)]
pub(super) struct Report<'a> {
    text: &'a str,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Warning>>,
}

/// A table whose keys are those of a [`Section`].
#[derive(Clone, Debug)]
pub(super) struct Table<'a> {
    report: &'a Report<'a>,
    key: String,
    offset: usize,
    section: &'static Section,
    entries: &'a DeTable<'a>,
}

// === impl Report ===

impl<'a> Report<'a> {
    /// Begins a report on `text`.
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            problems: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    /// The file's top table.
    pub(super) fn top(&'a self, entries: &'a DeTable<'a>, section: &'static Section) -> Table<'a> {
        Table::open(self, String::new(), 0, section, entries)
    }

    /// Adds a problem at a byte of the text.
    pub(super) fn problem(&self, key: &str, offset: usize, fault: impl Into<Fault>) {
        let problem = Problem {
            place: self.place(key, offset),
            fault: fault.into(),
        };
        self.problems.borrow_mut().push(problem);
    }

    /// Adds a warning at a byte of the text.
    pub(super) fn warning(&self, key: &str, offset: usize, concern: Concern) {
        let warning = Warning {
            place: self.place(key, offset),
            concern,
        };
        self.warnings.borrow_mut().push(warning);
    }

    /// What was found, in the order of the lines.
    pub(super) fn into_findings(self) -> (Vec<Problem>, Vec<Warning>) {
        let (mut problems, mut warnings) = (self.problems.into_inner(), self.warnings.into_inner());
        problems.sort_by(|a, b| a.place.cmp(&b.place));
        warnings.sort_by(|a, b| a.place.cmp(&b.place));
        (problems, warnings)
    }

    fn place(&self, key: &str, offset: usize) -> Place {
        let before = self
            .text
            .get(..offset.min(self.text.len()))
            .unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            line: before.matches('\n').count() + 1,
            column: before.get(start..).unwrap_or_default().chars().count() + 1,
            key: key.to_owned(),
        }
    }
}

// === impl Table ===

impl<'a> Table<'a> {
    fn open(
        report: &'a Report<'a>,
        key: String,
        offset: usize,
        section: &'static Section,
        entries: &'a DeTable<'a>,
    ) -> Self {
        let table = Self {
            report,
            key,
            offset,
            section,
            entries,
        };
        for name in entries.keys() {
            let word: &str = name.get_ref();
            if section.keys.contains(&word) {
                continue;
            }
            let unknown = || ValueFault::UnknownKey {
                near: nearest(word, section.keys),
                known: section.keys,
            };
            let later = section.later.iter().find(|(key, _)| *key == word);
            let fault = later.map_or_else(unknown, |(_, instead)| ValueFault::NotInThisVersion {
                instead,
            });
            report.problem(&table.path(word), name.span().start, fault);
        }
        table
    }

    /// The value of a key of the section.
    pub(super) fn get(&self, name: &'static str) -> Option<Node<'a>> {
        debug_assert!(
            self.section.keys.contains(&name),
            "{name} is not in the schema"
        );
        let (key, value) = self.entries.get_key_value(name)?;
        let span = match value.get_ref() {
            // the span of `[table]` headers and dotted keys is the key's business
            DeValue::Table(_) | DeValue::Array(_) => key.span(),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => value.span(),
        };
        Some(Node {
            report: self.report,
            key: self.path(name),
            offset: span.start,
            value: value.get_ref(),
        })
    }

    /// The value of a key that must be there.
    pub(super) fn require(&self, name: &'static str, cure: &'static str) -> Option<Node<'a>> {
        let node = self.get(name);
        if node.is_none() {
            self.problem_at(name, ValueFault::Missing { cure });
        }
        node
    }

    /// A table below this one.
    pub(super) fn table(&self, name: &'static str, section: &'static Section) -> Option<Table<'a>> {
        self.get(name)?.table(section)
    }

    /// A duration within bounds, or the default.
    pub(super) fn duration(
        &self,
        name: &'static str,
        default: Duration,
        bounds: RangeInclusive<Duration>,
    ) -> Duration {
        self.get(name)
            .and_then(|node| node.duration(bounds))
            .unwrap_or(default)
    }

    /// A whole number within bounds, or the default.
    pub(super) fn integer(
        &self,
        name: &'static str,
        default: u64,
        bounds: RangeInclusive<u64>,
    ) -> u64 {
        self.get(name)
            .and_then(|node| node.integer(bounds))
            .unwrap_or(default)
    }

    /// Reports something that concerns a key of this table that may not be there.
    pub(super) fn problem_at(&self, name: &'static str, fault: impl Into<Fault>) {
        match self.get(name) {
            Some(node) => node.problem(fault),
            None => self.report.problem(&self.path(name), self.offset, fault),
        }
    }

    /// Warns of something that concerns a key of this table that may not be there.
    pub(super) fn warning_at(&self, name: &'static str, concern: Concern) {
        match self.get(name) {
            Some(node) => node.warning(concern),
            None => self.report.warning(&self.path(name), self.offset, concern),
        }
    }

    fn path(&self, name: &str) -> String {
        if self.key.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.key)
        }
    }
}

/// The known word that was probably meant, if one is near enough.
pub(super) fn nearest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    let word: String = word.chars().take(64).collect::<String>().to_lowercase();
    known
        .iter()
        .map(|k| (strsim::damerau_levenshtein(&word, k), *k))
        .min()
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
        .map(|(_, known)| known)
}
