//! The TOML tree with positions: tables and values that know their key path, read themselves, and
//! report what is wrong with them.
//!
//! `serde` stops at the first error. Here, reading goes on after a problem with a default value, so
//! that one run finds every problem of a file.

use std::{cell::RefCell, ops::Range, ops::RangeInclusive, sync::Arc, time::Duration};

use toml::de::{DeTable, DeValue};

use super::{
    problem::{Position, Problem, ProblemKind, Source, ValueProblem, Warning, WarningKind},
    schema::Section,
};

mod value;

pub(super) use value::Value;

/// What the checks have found so far in one file.
#[derive(Debug)]
pub(super) struct Findings {
    source: Arc<Source>,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Warning>>,
}

/// A table whose keys are those of a [`Section`].
#[derive(Clone, Debug)]
pub(super) struct Table<'a> {
    findings: &'a Findings,
    key: String,
    span: Range<usize>,
    section: &'static Section,
    entries: &'a DeTable<'a>,
}

// === impl Findings ===

impl Findings {
    pub(super) fn new(source: Arc<Source>) -> Self {
        Self {
            source,
            problems: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    pub(super) fn top<'a>(
        &'a self,
        entries: &'a DeTable<'a>,
        section: &'static Section,
    ) -> Table<'a> {
        Table::open(self, String::new(), 0..0, section, entries)
    }

    /// Adds a problem; `span` is in bytes of the text.
    pub(super) fn problem(&self, key: &str, span: Range<usize>, kind: impl Into<ProblemKind>) {
        let problem = Problem {
            position: Position::new(Arc::clone(&self.source), key, span),
            kind: kind.into(),
        };
        self.problems.borrow_mut().push(problem);
    }

    /// Adds a warning; `span` is in bytes of the text.
    pub(super) fn warning(&self, key: &str, span: Range<usize>, kind: WarningKind) {
        let warning = Warning {
            position: Position::new(Arc::clone(&self.source), key, span),
            kind,
        };
        self.warnings.borrow_mut().push(warning);
    }

    /// Everything that was found, in the order of the file.
    pub(super) fn into_lists(self) -> (Vec<Problem>, Vec<Warning>) {
        let (mut problems, mut warnings) = (self.problems.into_inner(), self.warnings.into_inner());
        problems.sort_by(|a, b| a.position.order().cmp(&b.position.order()));
        warnings.sort_by(|a, b| a.position.order().cmp(&b.position.order()));
        (problems, warnings)
    }
}

// === impl Table ===

impl<'a> Table<'a> {
    fn open(
        findings: &'a Findings,
        key: String,
        span: Range<usize>,
        section: &'static Section,
        entries: &'a DeTable<'a>,
    ) -> Self {
        let table = Self {
            findings,
            key,
            span,
            section,
            entries,
        };
        for name in entries.keys() {
            let word: &str = name.get_ref();
            if section.keys.contains(&word) {
                continue;
            }
            let unknown = || ValueProblem::UnknownKey {
                near: nearest(word, section.keys),
                known: section.keys,
            };
            let later = section.later.iter().find(|(key, _)| *key == word);
            let problem =
                later.map_or_else(unknown, |(_, instead)| ValueProblem::KeyNotYet { instead });
            findings.problem(&table.path(word), name.span(), problem);
        }
        table
    }

    /// The value of a key of the section.
    pub(super) fn get(&self, name: &'static str) -> Option<Value<'a>> {
        debug_assert!(
            self.section.keys.contains(&name),
            "{name} is not in the schema"
        );
        let (key, value) = self.entries.get_key_value(name)?;
        let span = match value.get_ref() {
            // Tables and lists can be long, and the span of a table with dotted keys is not what
            // the reader sees as the table: the key is the better place to point at.
            DeValue::Table(_) | DeValue::Array(_) => key.span(),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => value.span(),
        };
        Some(Value {
            findings: self.findings,
            key: self.path(name),
            span,
            toml: value.get_ref(),
        })
    }

    /// The value of a required key; reports the key if it is missing.
    pub(super) fn require(&self, name: &'static str, cure: &'static str) -> Option<Value<'a>> {
        let value = self.get(name);
        if value.is_none() {
            self.problem_at(name, ValueProblem::Missing { cure });
        }
        value
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
            .and_then(|value| value.duration(bounds))
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
            .and_then(|value| value.integer(bounds))
            .unwrap_or(default)
    }

    /// Reports a problem at a key, or at the table's header if the key is missing.
    pub(super) fn problem_at(&self, name: &'static str, kind: impl Into<ProblemKind>) {
        match self.get(name) {
            Some(value) => value.problem(kind),
            None => self
                .findings
                .problem(&self.path(name), self.span.clone(), kind),
        }
    }

    /// Warns at a key, or at the table's header if the key is missing.
    pub(super) fn warning_at(&self, name: &'static str, kind: WarningKind) {
        match self.get(name) {
            Some(value) => value.warning(kind),
            None => self
                .findings
                .warning(&self.path(name), self.span.clone(), kind),
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

/// The known word that was probably meant, if one is similar enough.
pub(super) fn nearest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    let word: String = word.chars().take(64).collect::<String>().to_lowercase();
    known
        .iter()
        .map(|k| (strsim::damerau_levenshtein(&word, k), *k))
        .min()
        // One error for each four letters: `workres` is `workers`, but `foo` is not `pool`.
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
        .map(|(_, known)| known)
}
