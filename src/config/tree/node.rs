//! A value of the tree: what it reads as.

use std::{fmt, net::SocketAddr, ops::RangeInclusive, time::Duration};

use toml::de::DeValue;

use super::{
    super::{
        problem::{Concern, Fault, ValueFault},
        schema::Section,
        units,
    },
    Report, Table, nearest,
};

/// A value at its place.
#[derive(Clone, Debug)]
pub(in crate::config) struct Node<'a> {
    pub(super) report: &'a Report<'a>,
    pub(super) key: String,
    pub(super) offset: usize,
    pub(super) value: &'a DeValue<'a>,
}

impl<'a> Node<'a> {
    /// Its key path.
    pub(in crate::config) fn key(&self) -> &str {
        &self.key
    }

    /// Reports something that concerns this value.
    pub(in crate::config) fn problem(&self, fault: impl Into<Fault>) {
        self.report.problem(&self.key, self.offset, fault);
    }

    /// Warns of something that concerns this value.
    pub(in crate::config) fn warning(&self, concern: Concern) {
        self.report.warning(&self.key, self.offset, concern);
    }

    /// A table.
    pub(in crate::config) fn table(&self, section: &'static Section) -> Option<Table<'a>> {
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
    pub(in crate::config) fn list(&self) -> Option<Vec<Node<'a>>> {
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
    pub(in crate::config) fn one_or_more(&self) -> Vec<Node<'a>> {
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
    pub(in crate::config) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// Whether it is a list without elements.
    pub(in crate::config) fn is_empty_list(&self) -> bool {
        self.value.as_array().is_some_and(|list| list.is_empty())
    }

    /// A string that is not empty.
    pub(in crate::config) fn text(&self) -> Option<&'a str> {
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
    pub(in crate::config) fn boolean(&self) -> Option<bool> {
        self.value.as_bool().or_else(|| self.wrong("true or false"))
    }

    /// A whole number.
    pub(in crate::config) fn integer(&self, bounds: RangeInclusive<u64>) -> Option<u64> {
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
    pub(in crate::config) fn duration(&self, bounds: RangeInclusive<Duration>) -> Option<Duration> {
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
    pub(in crate::config) fn size(&self, most: u64) -> Option<u64> {
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
    pub(in crate::config) fn address(&self) -> Option<SocketAddr> {
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
    pub(in crate::config) fn word<T: Copy>(
        &self,
        words: &[(&'static str, T)],
        later: &[&'static str],
    ) -> Option<T> {
        self.find_word(words, later, |word, text| word == text)
    }

    /// One of a closed list of words, in capitals or not.
    pub(in crate::config) fn word_in_any_case<T: Copy>(
        &self,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        self.find_word(words, &[], str::eq_ignore_ascii_case)
    }

    fn find_word<T: Copy>(
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
