//! Problems and warnings of a configuration file: what is wrong, where, and what to do about it.
//!
//! The checks collect them; `spnegate check` and `spnegate serve` print them, each with the line of
//! the file that it is about.

use std::{borrow::Cow, fmt, ops::Range, path::PathBuf, sync::Arc};

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};

mod console;
mod kerberos;
mod stream;
mod value;
mod warning;

pub(super) use self::{
    console::ConsoleProblem, kerberos::KerberosProblem, stream::StreamProblem, value::ValueProblem,
    warning::WarningKind,
};

/// A configuration file: its path as given on the command line, and its text.
///
/// The text is printed beside problems. It has no secrets, because keys and passwords are always in
/// files of their own.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// A key of a configuration file, and where the key or its value is.
#[derive(Clone, Debug)]
pub(super) struct Position {
    pub(super) source: Arc<Source>,
    /// Key path, with indices from 0: `console[1].backends[0].url`; empty for the file as a whole.
    pub(super) key: String,
    /// Bytes of the text; always within it and at the borders of characters.
    pub(super) span: Range<usize>,
}

/// One thing that is wrong; the gateway does not start with such a file.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(super) position: Position,
    pub(super) kind: ProblemKind,
}

/// Something that works but is probably not intended.
#[derive(Debug)]
pub struct Warning {
    pub(super) position: Position,
    pub(super) kind: WarningKind,
}

/// What can be wrong, by the section that the check belongs to.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) enum ProblemKind {
    Value(#[from] ValueProblem),
    Kerberos(#[from] KerberosProblem),
    Console(#[from] ConsoleProblem),
    /// `[[stream]]` and `[[kdc_proxy]]`.
    Stream(#[from] StreamProblem),
}

/// All problems of one file, in the order of its lines; never empty.
#[derive(Debug, thiserror::Error)]
pub struct Problems {
    pub(crate) list: Vec<Problem>,
    /// Warnings about the same file.
    pub(crate) warnings: Vec<Warning>,
}

// === impl Position ===

impl Position {
    pub(super) fn new(source: Arc<Source>, key: &str, span: Range<usize>) -> Self {
        // The TOML parser may report an error behind the end of the text.
        let boundary = |at: usize| {
            (0..=at.min(source.text.len()))
                .rev()
                .find(|at| source.text.is_char_boundary(*at))
                .unwrap_or_default()
        };
        let (start, end) = (boundary(span.start), boundary(span.end.max(span.start)));
        // One line is enough to find a value that has several.
        let line = source.text.get(start..end).unwrap_or_default();
        let end = start + line.find('\n').unwrap_or(line.len());
        Self {
            source,
            key: key.to_owned(),
            span: start..end,
        }
    }

    /// From 1.
    pub(super) fn line(&self) -> usize {
        let before = self.source.text.get(..self.span.start).unwrap_or_default();
        before.matches('\n').count() + 1
    }

    /// The order of the file.
    pub(super) fn order(&self) -> (usize, &str) {
        (self.span.start, &self.key)
    }

    /// Renders a message in the format of rustc: title, line of the file, cure.
    ///
    /// `annotate-snippets` escapes control characters, so that a file cannot send escape sequences
    /// to an operator's terminal.
    fn render(&self, level: Level<'_>, message: &str, cure: Option<String>) -> String {
        let title: Cow<'_, str> = match self.key.as_str() {
            "" => message.into(),
            key => format!("{key}: {message}").into(),
        };
        let path = self.source.path.display().to_string();
        let title = level.primary_title(title);
        let group = if self.span.is_empty() && self.span.start == 0 {
            // A section that is missing has no line to show.
            title.element(Origin::path(path).line(1).char_column(1))
        } else {
            let annotation = AnnotationKind::Primary.span(self.span.clone());
            title.element(
                Snippet::source(&self.source.text)
                    .path(path)
                    .annotation(annotation),
            )
        };
        let group = match cure {
            Some(cure) => group.element(Level::HELP.message(cure)),
            None => group,
        };
        Renderer::plain().render(&[group])
    }
}

// === impl Problem ===

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (message, cure) = (self.kind.to_string(), self.kind.cure());
        f.write_str(&self.position.render(Level::ERROR, &message, Some(cure)))
    }
}

impl ProblemKind {
    /// What to do about it.
    fn cure(&self) -> String {
        match self {
            Self::Value(problem) => problem.cure(),
            Self::Kerberos(problem) => problem.cure(),
            Self::Console(problem) => problem.cure(),
            Self::Stream(problem) => problem.cure(),
        }
    }
}

// === impl Warning ===

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (message, cure) = (self.kind.to_string(), self.kind.cure());
        f.write_str(&self.position.render(Level::WARNING, &message, cure))
    }
}

// === impl Problems ===

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.list.iter().enumerate() {
            if i > 0 {
                f.write_str("\n\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}
