//! `[log]`

use tracing_subscriber::EnvFilter;

use super::{
    super::{
        AccessLog, LogConfig, LogFormat, problem::ValueFault, schema, tree::Node, tree::Table,
    },
    Surroundings, files,
};

pub(super) fn check(top: &Table<'_>, surroundings: &Surroundings<'_>) -> LogConfig {
    let mut values = LogConfig {
        level: "info".into(),
        format: LogFormat::Text,
        access: AccessLog::Stdout,
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

fn level(node: &Node<'_>) -> Option<String> {
    let text = node.text()?;
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
fn access(node: &Node<'_>, surroundings: &Surroundings<'_>) -> Option<AccessLog> {
    let text = node.text()?;
    if !text.contains('/') {
        let words = [("stdout", true), ("off", false)];
        let stdout = node.word(&words, &[])?;
        return Some(if stdout {
            AccessLog::Stdout
        } else {
            AccessLog::Off
        });
    }
    let file = surroundings.path(text);
    files::must_be_writable(node, &file);
    Some(AccessLog::File(file))
}
