//! A cursor over the spanned TOML tree: it knows its key path and position, reads values, and
//! reports what does not read. Reading goes on after a problem with a stand-in value, so that every
//! problem of a file is found in one run.

use std::{cell::RefCell, fmt, net::SocketAddr, ops::RangeInclusive, time::Duration};

use toml::de::{DeTable, DeValue};

use super::{
    problem::{Concern, Fault, Place, Problem, ValueFault, Warning},
    schema::Section,
    units,
};

/// What the checks have found so far in one file.
#[derive(Debug)]
pub(super) struct Report<'a> {
    text: &'a str,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Warning>>,
}

/// A value at its place.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    report: &'a Report<'a>,
    key: String,
    offset: usize,
    value: &'a DeValue<'a>,
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
            let fault = if section.later.contains(&word) {
                ValueFault::NotInThisVersion {
                    instead: "Remove it",
                }
            } else {
                ValueFault::UnknownKey {
                    near: nearest(word, section.keys),
                    known: section.keys,
                }
            };
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

// === impl Node ===

impl<'a> Node<'a> {
    /// Its key path.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Reports something that concerns this value.
    pub(super) fn problem(&self, fault: impl Into<Fault>) {
        self.report.problem(&self.key, self.offset, fault);
    }

    /// Warns of something that concerns this value.
    pub(super) fn warning(&self, concern: Concern) {
        self.report.warning(&self.key, self.offset, concern);
    }

    /// A table.
    pub(super) fn table(&self, section: &'static Section) -> Option<Table<'a>> {
        let DeValue::Table(entries) = self.value else {
            return self.wrong("a table");
        };
        Some(Table::open(
            self.report,
            self.key.clone(),
            self.offset,
            section,
            entries,
        ))
    }

    /// The elements of a list.
    pub(super) fn list(&self) -> Option<Vec<Node<'a>>> {
        let DeValue::Array(items) = self.value else {
            return self.wrong("a list");
        };
        let element = |(i, item): (usize, &'a toml::Spanned<DeValue<'a>>)| Node {
            report: self.report,
            key: format!("{}[{i}]", self.key),
            offset: item.span().start,
            value: item.get_ref(),
        };
        Some(items.iter().enumerate().map(element).collect())
    }

    /// The elements of a list, or the one value that stands for a list of one.
    pub(super) fn one_or_more(&self) -> Vec<Node<'a>> {
        match self.value {
            DeValue::Array(_) => self.list().unwrap_or_default(),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Table(_) => vec![self.clone()],
        }
    }

    /// Whether it is a table (a backend may be one or a string).
    pub(super) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// Whether it is a list without elements.
    pub(super) fn is_empty_list(&self) -> bool {
        self.value.as_array().is_some_and(|list| list.is_empty())
    }

    /// A string that is not empty.
    pub(super) fn text(&self) -> Option<&'a str> {
        let DeValue::String(text) = self.value else {
            return self.wrong("a string");
        };
        if text.trim().is_empty() {
            self.problem(ValueFault::Empty {
                cure: "Write a value, or remove the key",
            });
            return None;
        }
        Some(text)
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self) -> Option<bool> {
        self.value.as_bool().or_else(|| self.wrong("true or false"))
    }

    /// A whole number.
    pub(super) fn integer(&self, bounds: RangeInclusive<u64>) -> Option<u64> {
        let DeValue::Integer(number) = self.value else {
            return self.wrong("a whole number");
        };
        let number = i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(i128::MAX);
        let number = u64::try_from(number).ok().filter(|n| bounds.contains(n));
        if number.is_none() {
            self.out_of_range(bounds.start(), bounds.end());
        }
        number
    }

    /// A duration.
    pub(super) fn duration(&self, bounds: RangeInclusive<Duration>) -> Option<Duration> {
        let DeValue::String(text) = self.value else {
            return self.wrong("a duration in quotes, such as \"8s\"");
        };
        let Some(duration) = units::duration(text) else {
            self.problem(ValueFault::Duration {
                text: text.to_string(),
            });
            return None;
        };
        if bounds.contains(&duration) {
            return Some(duration);
        }
        self.out_of_range(
            format_args!("{:?}", bounds.start()),
            format_args!("{:?}", bounds.end()),
        );
        None
    }

    /// A size in bytes, at most `most`.
    pub(super) fn size(&self, most: u64) -> Option<u64> {
        let DeValue::String(text) = self.value else {
            return self.wrong("a size in quotes, such as \"64KiB\"");
        };
        let Some(size) = units::size(text) else {
            self.problem(ValueFault::Size {
                text: text.to_string(),
            });
            return None;
        };
        if size > most {
            self.out_of_range("0B", format_args!("{}MiB", most >> 20));
            return None;
        }
        Some(size)
    }

    /// An IP address with port; port 0 is taken with a warning.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        let text = self.text()?;
        let address = text.parse().ok();
        match address {
            None => self.problem(ValueFault::Address {
                text: text.to_owned(),
            }),
            Some(SocketAddr::V4(_) | SocketAddr::V6(_)) => {}
        }
        if address.is_some_and(|a| a.port() == 0) {
            self.warning(Concern::RandomPort);
        }
        address
    }

    /// One of a closed list of words.
    pub(super) fn word<T: Copy>(
        &self,
        words: &[(&'static str, T)],
        later: &[&'static str],
    ) -> Option<T> {
        let text = self.text()?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let known: Vec<&'static str> = words.iter().map(|(word, _)| *word).collect();
        self.problem(if later.contains(&text) {
            ValueFault::WordLater {
                word: text.to_owned(),
                known,
            }
        } else {
            ValueFault::UnknownWord {
                word: text.to_owned(),
                near: nearest(text, &known),
                known,
            }
        });
        None
    }

    fn out_of_range(&self, least: impl fmt::Display, most: impl fmt::Display) {
        self.problem(ValueFault::OutOfRange {
            least: least.to_string(),
            most: most.to_string(),
        });
    }

    fn wrong<T>(&self, expected: &'static str) -> Option<T> {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.problem(ValueFault::WrongType { expected, found });
        None
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
