//! Tables of the book that are complete: reasons, metrics, errors.

use std::{collections::BTreeSet, fs};

use spnegate::testing::{Reason, Refusal};

use crate::{below, document, root};

const REASONS: &str = "docs/operate/reasons.md";

#[test]
fn every_reason_is_listed_with_its_status_and_no_other() {
    let page = document(REASONS);
    let (requests, _) = page.split_once("\n## Streams").unwrap();
    let mut words = BTreeSet::new();
    for refusal in Refusal::ALL {
        let row = format!("| `{}` | {} |", refusal.reason(), refusal.status().as_u16());
        assert!(requests.contains(&row), "the table of reasons lacks {row}");
        words.insert(refusal.reason());
    }
    for row in requests.lines().filter_map(|line| line.strip_prefix("| `")) {
        let word = row.split('`').next().unwrap();
        assert!(words.contains(word), "no refusal has the reason {word}");
    }
}

#[test]
fn every_reason_of_a_stream_is_listed() {
    let page = document(REASONS);
    let (_, streams) = page.split_once("\n## Streams").unwrap();
    for reason in Reason::ALL {
        let row = format!("| `{}` |", reason.as_str());
        assert!(streams.contains(&row), "the table of reasons lacks {row}");
    }
}

/// The product's source files.
fn sources() -> Vec<String> {
    let mut paths = Vec::new();
    below(&root().join("src"), "rs", &mut paths);
    let texts = paths
        .into_iter()
        .map(|path| fs::read_to_string(path).unwrap());
    texts.collect()
}

#[test]
fn every_metric_is_listed_and_no_other() {
    let mut code = BTreeSet::new();
    for text in sources() {
        let constants = text.lines().filter(|line| line.contains("const "));
        code.extend(constants.filter_map(|line| {
            let name = line.split_once("&str = \"")?.1.strip_suffix("\";")?;
            name.starts_with("spnegate_").then(|| name.to_owned())
        }));
    }
    let page = document("docs/operate/metrics.md");
    let table: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `spnegate_")?.split('`').next())
        .map(|rest| format!("spnegate_{rest}"))
        .collect();
    assert_eq!(code, table);
}

/// A text as the user sees it: without the breaks of Rust's string literals, and with `…` for what
/// is filled in.
fn shown(source: &str) -> String {
    let mut text = String::new();
    let mut rest = source;
    while let Some((before, after)) = rest.split_once("\\\n") {
        text.push_str(before);
        rest = after.trim_start();
    }
    text.push_str(rest);
    let text = text.replace("\\\"", "\"");
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        plain.push_str(before);
        // an argument ends on its line, other braces are those of code
        match after.split_once('}') {
            Some((argument, after)) if !argument.contains(['\n', '{', ';']) => {
                plain.push('…');
                rest = after;
            }
            _ => {
                plain.push('{');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[test]
fn every_error_that_is_listed_is_one_of_the_code() {
    let code: String = sources().iter().map(|text| shown(text)).collect();
    let page = document("docs/operate/errors.md");
    let mut missing = Vec::new();
    let mut count = 0;
    for line in page.lines() {
        let Some(row) = line.strip_prefix("| `") else {
            continue;
        };
        let text = match row.strip_prefix('`') {
            Some(row) => row.split_once("`` |").unwrap().0.trim(),
            None => row.split_once("` |").unwrap().0,
        };
        if !code.contains(text) {
            missing.push(text);
        }
        count += 1;
    }
    assert!(
        missing.is_empty(),
        "no message has these texts: {missing:#?}"
    );
    assert!(count > 60, "found {count} errors");
}
