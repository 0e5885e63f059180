//! `[log]`

use tracing_subscriber::EnvFilter;

use super::{
    super::{
        AccessLogTarget, LogConfig, LogFormat,
        problem::ValueFault,
        schema,
        tree::{Node, Table, nearest},
    },
    Surroundings, files,
};

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

pub(super) fn check(top: &Table<'_>, surroundings: &Surroundings<'_>) -> LogConfig {
    let mut values = LogConfig {
        level: "info".into(),
        format: LogFormat::Text,
        access: AccessLogTarget::Stdout,
    };
    let Some(table) = top.table("log", &schema::LOG) else {
        return values;
    };
    if let Some(level) = table.get("level").and_then(|node| level(&node)) {
        values.level = level;
    }
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    if let Some(format) = table
        .get("format")
        .and_then(|node| node.word(&formats, &[]))
    {
        values.format = format;
    }
    if let Some(access) = table
        .get("access")
        .and_then(|node| access(&node, surroundings))
    {
        values.access = access;
    }
    values
}

/// A `tracing` filter. A bare word is a level: `tracing` would read a misspelt `inof` as the name of
/// a module and log nothing else.
fn level(node: &Node<'_>) -> Option<String> {
    let text = node.text()?;
    for word in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.contains(['=', '[']))
    {
        if !LEVELS.contains(&word) {
            let (word, near, known) = (word.to_owned(), nearest(word, &LEVELS), LEVELS.to_vec());
            node.problem(ValueFault::UnknownWord { word, near, known });
            return None;
        }
    }
    match EnvFilter::builder().parse(text) {
        Ok(_) => Some(text.to_owned()),
        Err(source) => {
            node.problem(ValueFault::LogFilter {
                text: text.to_owned(),
                source,
            });
            None
        }
    }
}

/// A word without a slash is a word, so that a misspelt `"of"` does not become a file.
fn access(node: &Node<'_>, surroundings: &Surroundings<'_>) -> Option<AccessLogTarget> {
    let text = node.text()?;
    if !text.contains('/') {
        let words = [("stdout", true), ("off", false)];
        let stdout = node.word(&words, &[])?;
        return Some(if stdout {
            AccessLogTarget::Stdout
        } else {
            AccessLogTarget::Off
        });
    }
    let file = surroundings.path(text);
    if let Err(source) = files::writable(&file) {
        node.problem(ValueFault::Unwritable {
            file: file.clone(),
            source,
        });
    }
    Some(AccessLogTarget::File(file))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, problems, with};

    fn section(lines: &str) -> String {
        with("[[console]]", &format!("[log]\n{lines}\n[[console]]"))
    }

    #[test]
    fn a_misspelt_word_does_not_become_a_module_or_a_file() {
        let only = |lines, expected: &str| assert_eq!(problems(&section(lines)), [expected]);
        only("level = \"inof\"", "7: log.level: `inof` is not known here");
        only("access = \"of\"", "7: log.access: `of` is not known here");
        only(
            "format = \"JSON\"",
            "7: log.format: `JSON` is not known here",
        );
        let found = problems(&section("level = \"info,a=b=c\""));
        assert!(
            found[0].starts_with("7: log.level: `info,a=b=c` is no log filter"),
            "{found:?}"
        );
        let found = problems(&section("access = \"/nonexistent/access.log\""));
        assert!(
            found[0].starts_with("7: log.access: cannot write"),
            "{found:?}"
        );
    }

    #[test]
    fn filters_of_modules_are_taken() {
        let text = section("level = \"info,spnegate::auth=debug\"\naccess = \"off\"");
        assert_eq!(
            check(&text).unwrap().0.log.level,
            "info,spnegate::auth=debug"
        );
    }
}
