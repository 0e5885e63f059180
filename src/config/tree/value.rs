//! A value of the tree, and the types that it can be read as.

use std::{
    fmt,
    net::SocketAddr,
    ops::{Range, RangeInclusive},
    time::Duration,
};

use toml::de::DeValue;

use super::{
    super::{
        problem::{ProblemKind, ValueProblem, WarningKind},
        schema::Section,
        units,
    },
    Findings, Table, nearest,
};

#[derive(Clone, Debug)]
pub(in crate::config) struct Value<'a> {
    pub(super) findings: &'a Findings,
    pub(super) key: String,
    pub(super) span: Range<usize>,
    pub(super) toml: &'a DeValue<'a>,
}

impl<'a> Value<'a> {
    pub(in crate::config) fn key(&self) -> &str {
        &self.key
    }

    pub(in crate::config) fn problem(&self, kind: impl Into<ProblemKind>) {
        self.findings.problem(&self.key, self.span.clone(), kind);
    }

    pub(in crate::config) fn warning(&self, kind: WarningKind) {
        self.findings.warning(&self.key, self.span.clone(), kind);
    }

    pub(in crate::config) fn table(&self, section: &'static Section) -> Option<Table<'a>> {
        let DeValue::Table(entries) = self.toml else {
            return self.wrong("a table");
        };
        Some(Table::open(
            self.findings,
            self.key.clone(),
            self.span.clone(),
            section,
            entries,
        ))
    }

    /// The elements of a list.
    pub(in crate::config) fn list(&self) -> Option<Vec<Value<'a>>> {
        let DeValue::Array(items) = self.toml else {
            return self.wrong("a list");
        };
        let element = |(i, item): (usize, &'a toml::Spanned<DeValue<'a>>)| Value {
            findings: self.findings,
            key: format!("{}[{i}]", self.key),
            span: item.span(),
            toml: item.get_ref(),
        };
        Some(items.iter().enumerate().map(element).collect())
    }

    /// The elements of a list, or the value itself: most lists may be written as a single value.
    pub(in crate::config) fn one_or_more(&self) -> Vec<Value<'a>> {
        match self.toml {
            DeValue::Array(_) => self.list().unwrap_or_default(),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Table(_) => vec![self.clone()],
        }
    }

    pub(in crate::config) fn is_table(&self) -> bool {
        self.toml.is_table()
    }

    pub(in crate::config) fn is_empty_list(&self) -> bool {
        self.toml.as_array().is_some_and(|list| list.is_empty())
    }

    /// A string; an empty one is a problem.
    pub(in crate::config) fn text(&self) -> Option<&'a str> {
        let DeValue::String(text) = self.toml else {
            return self.wrong("a string");
        };
        if text.trim().is_empty() {
            self.problem(ValueProblem::Empty {
                cure: "Write a value, or remove the key",
            });
            return None;
        }
        Some(text)
    }

    pub(in crate::config) fn boolean(&self) -> Option<bool> {
        self.toml.as_bool().or_else(|| self.wrong("true or false"))
    }

    pub(in crate::config) fn integer(&self, bounds: RangeInclusive<u64>) -> Option<u64> {
        let DeValue::Integer(number) = self.toml else {
            return self.wrong("a whole number");
        };
        // Fails only for numbers beyond 128 bits, which are out of every range.
        let number = i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(i128::MAX);
        let number = u64::try_from(number).ok().filter(|n| bounds.contains(n));
        if number.is_none() {
            self.out_of_range(bounds.start(), bounds.end());
        }
        number
    }

    pub(in crate::config) fn duration(&self, bounds: RangeInclusive<Duration>) -> Option<Duration> {
        let DeValue::String(text) = self.toml else {
            return self.wrong("a duration in quotes, such as \"8s\"");
        };
        let Some(duration) = units::duration(text) else {
            self.problem(ValueProblem::Duration {
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

    /// A size of at most `most` bytes.
    pub(in crate::config) fn size(&self, most: u64) -> Option<u64> {
        let DeValue::String(text) = self.toml else {
            return self.wrong("a size in quotes, such as \"64KiB\"");
        };
        let Some(size) = units::size(text) else {
            self.problem(ValueProblem::Size {
                text: text.to_string(),
            });
            return None;
        };
        if size > most {
            // All limits of sizes are whole MiB.
            self.out_of_range("0B", format_args!("{}MiB", most >> 20));
            return None;
        }
        Some(size)
    }

    /// An IP address with port; port 0 is accepted with a warning, for tests.
    pub(in crate::config) fn address(&self) -> Option<SocketAddr> {
        let text = self.text()?;
        let Ok(address) = text.parse::<SocketAddr>() else {
            self.problem(ValueProblem::Address {
                text: text.to_owned(),
            });
            return None;
        };
        if address.port() == 0 {
            self.warning(WarningKind::RandomPort);
        }
        Some(address)
    }

    /// One of a closed list of words; those of `later` are reported as not supported yet.
    pub(in crate::config) fn keyword<T: Copy>(
        &self,
        words: &[(&'static str, T)],
        later: &[&'static str],
    ) -> Option<T> {
        self.find_keyword(words, later, |word, text| word == text)
    }

    /// One of a closed list of words, in any case.
    pub(in crate::config) fn keyword_ignoring_case<T: Copy>(
        &self,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        self.find_keyword(words, &[], str::eq_ignore_ascii_case)
    }

    fn find_keyword<T: Copy>(
        &self,
        words: &[(&'static str, T)],
        later: &[&'static str],
        same: impl Fn(&str, &str) -> bool,
    ) -> Option<T> {
        let text = self.text()?;
        if let Some((_, value)) = words.iter().find(|(word, _)| same(word, text)) {
            return Some(*value);
        }
        let known: Vec<&'static str> = words.iter().map(|(word, _)| *word).collect();
        self.problem(if later.contains(&text) {
            ValueProblem::WordNotYet {
                word: text.to_owned(),
                known,
            }
        } else {
            ValueProblem::UnknownWord {
                word: text.to_owned(),
                near: nearest(text, &known),
                known,
            }
        });
        None
    }

    fn out_of_range(&self, least: impl fmt::Display, most: impl fmt::Display) {
        self.problem(ValueProblem::OutOfRange {
            least: least.to_string(),
            most: most.to_string(),
        });
    }

    fn wrong<T>(&self, expected: &'static str) -> Option<T> {
        let found = match self.toml {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.problem(ValueProblem::WrongType { expected, found });
        None
    }
}
