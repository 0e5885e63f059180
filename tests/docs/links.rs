//! Links between documents, and the table of contents.

use std::{collections::BTreeSet, fs, path::Path};

use crate::{Document, document, documents, prose, root};

/// The anchors of a page as GitHub and mdbook make them from its headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let prose = prose(text);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| anchor(line.trim_start_matches('#').trim()))
        .collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
        _ => None,
    });
    kept.collect()
}

/// The targets of the links in a document, without those in code.
fn targets(text: &str) -> Vec<String> {
    let prose = prose(text);
    let words: String = prose.split('`').step_by(2).collect();
    let links = words.split("](").skip(1);
    links
        .filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
        .collect()
}

#[test]
fn every_link_between_documents_leads_to_a_file_and_a_heading() {
    let mut count = 0;
    for Document { path, text } in documents() {
        for target in targets(&text) {
            if target.starts_with("https://") || target.starts_with("http://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((&target, ""));
            let linked = if file.is_empty() {
                root().join(&path)
            } else {
                root().join(path.parent().unwrap()).join(file)
            };
            assert!(linked.exists(), "{}: {target}", path.display());
            if !heading.is_empty() {
                let found = anchors(&fs::read_to_string(&linked).unwrap());
                let all = format!("{found:?}");
                assert!(
                    found.contains(heading),
                    "{}: {target}: {all}",
                    path.display()
                );
            }
            count += 1;
        }
    }
    assert!(count > 80, "found {count} links");
}

#[test]
fn the_table_of_contents_has_every_page_of_the_book_once() {
    let listed = targets(&document("docs/SUMMARY.md"));
    let set: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(listed.len(), set.len(), "a page is listed twice");
    let pages: BTreeSet<_> = documents()
        .into_iter()
        .filter_map(|document| {
            let page = document.path.strip_prefix("docs").ok()?.to_owned();
            (page != Path::new("SUMMARY.md")).then(|| page.to_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(set, pages);
}

#[test]
fn every_page_begins_with_its_title() {
    for Document { path, text } in documents() {
        assert!(text.starts_with("# "), "{}", path.display());
    }
}

#[test]
fn every_path_of_the_repository_that_a_document_names_exists() {
    let folders = [
        "src/",
        "tests/",
        "conf/",
        "docs/",
        "docker/",
        "benches/",
        "fuzz/",
        "integration/",
        "examples/",
        ".github/",
    ];
    for Document { path, text } in documents() {
        // the changelog names files of the release that it describes
        if path == Path::new("CHANGELOG.md") {
            continue;
        }
        for code in crate::inline_code(&text) {
            // a test is written as file::name; its name is checked below
            let named = code.split("::").next().unwrap();
            let is_path = folders.iter().any(|folder| named.starts_with(folder))
                && !named.contains(['*', '{', '<', '…', ' ']);
            if is_path {
                let place = root().join(named);
                assert!(place.exists(), "{}: {code}", path.display());
            }
        }
    }
}

/// A threat is answered by a test: `tests/gateway/links.rs::name_of_the_test`.
#[test]
fn every_test_that_a_document_names_exists() {
    let mut count = 0;
    for Document { path, text } in documents() {
        for code in crate::inline_code(&text) {
            let Some((file, test)) = code.split_once(".rs::") else {
                continue;
            };
            let file = root().join(format!("{file}.rs"));
            let source = fs::read_to_string(&file)
                .unwrap_or_else(|error| panic!("{}: {code}: {error}", path.display()));
            let found = source.contains(&format!("fn {test}("));
            assert!(found, "{}: {code}", path.display());
            count += 1;
        }
    }
    let threats = root().join("docs/security.md").exists();
    assert!(!threats || count >= 20, "found {count} tests");
}
