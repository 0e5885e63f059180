//! `[log]`

use tracing_subscriber::EnvFilter;

use super::{
    super::{
        AccessLogTarget, LogConfig, LogFormat,
        problem::ValueProblem,
        schema,
        tree::{Table, Value, nearest},
    },
    Environment, files,
};

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

pub(super) fn check(top: &Table<'_>, environment: &Environment<'_>) -> LogConfig {
    let mut values = LogConfig {
        level: "info".into(),
        format: LogFormat::Text,
        access: AccessLogTarget::Stdout,
    };
    let Some(table) = top.table("log", &schema::LOG) else {
        return values;
    };
    if let Some(level) = table.get("level").and_then(|value| level(&value)) {
        values.level = level;
    }
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    if let Some(format) = table
        .get("format")
        .and_then(|value| value.keyword(&formats, &[]))
    {
        values.format = format;
    }
    if let Some(access) = table
        .get("access")
        .and_then(|value| access(&value, environment))
    {
        values.access = access;
    }
    values
}

/// A `tracing` filter in which a bare word has to be a level.
fn level(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    // `tracing` would take a misspelt `inof` for the name of a module and log nothing else. Words with
    // `=` or `[` are directives for a target or span.
    for word in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.contains(['=', '[']))
    {
        if !LEVELS.contains(&word) {
            let (word, near, known) = (word.to_owned(), nearest(word, &LEVELS), LEVELS.to_vec());
            value.problem(ValueProblem::UnknownWord { word, near, known });
            return None;
        }
    }
    match EnvFilter::builder().parse(text) {
        Ok(_) => Some(text.to_owned()),
        Err(source) => {
            value.problem(ValueProblem::LogFilter {
                text: text.to_owned(),
                source,
            });
            None
        }
    }
}

fn access(value: &Value<'_>, environment: &Environment<'_>) -> Option<AccessLogTarget> {
    let text = value.text()?;
    // A file needs a slash, so that a misspelt `"of"` does not become one.
    if !text.contains('/') {
        let words = [("stdout", true), ("off", false)];
        let stdout = value.keyword(&words, &[])?;
        return Some(if stdout {
            AccessLogTarget::Stdout
        } else {
            AccessLogTarget::Off
        });
    }
    let file = environment.path(text);
    if let Err(source) = files::writable(&file) {
        value.problem(ValueProblem::Unwritable {
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
    fn a_misspelt_level_or_target_is_refused() {
        let only = |lines, expected: &str| assert_eq!(problems(&section(lines)), [expected]);
        only("level = \"inof\"", "7: log.level: invalid value `inof`");
        only("access = \"of\"", "7: log.access: invalid value `of`");
        only("format = \"JSON\"", "7: log.format: invalid value `JSON`");
        let found = problems(&section("level = \"info,a=b=c\""));
        assert!(
            found[0].starts_with("7: log.level: invalid log filter `info,a=b=c`"),
            "{found:?}"
        );
        let found = problems(&section("access = \"/nonexistent/access.log\""));
        assert!(
            found[0].starts_with("7: log.access: cannot write"),
            "{found:?}"
        );
    }

    #[test]
    fn filters_by_module_are_accepted() {
        let text = section("level = \"info,spnegate::auth=debug\"\naccess = \"off\"");
        assert_eq!(
            check(&text).unwrap().0.log.level,
            "info,spnegate::auth=debug"
        );
    }
}
