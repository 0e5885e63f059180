//! The map of the crate is true: `lib.rs` lists the modules from top to bottom, and no module
//! imports one that stands above it, so that the modules form no ring.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The modules in the order of the table in `lib.rs`.
fn layers() -> Vec<String> {
    let map = fs::read_to_string(source().join("lib.rs")).unwrap();
    let rows = map.lines().filter_map(|line| line.strip_prefix("//! | "));
    let names = rows.filter_map(|row| {
        let name = row.split('|').next().unwrap().trim();
        let name = name.trim_matches(['[', ']']).strip_prefix('`')?;
        name.strip_suffix('`').map(str::to_owned)
    });
    names.collect()
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension() == Some("rs".as_ref()) {
            found.push(path);
        }
    }
}

/// The text of a file without its comments and unit tests.
fn code(text: &str) -> String {
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = product.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// The top-level modules that a piece of code names with `crate::`, also in a group in braces.
fn imports(code: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        text[..end.unwrap_or(text.len())].to_owned()
    };
    let mut found = BTreeSet::new();
    for (at, matched) in code.match_indices("crate::") {
        let rest = &code[at + matched.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(word(rest));
            continue;
        };
        let mut depth = 0_usize;
        let mut begins = true;
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                c if begins && !c.is_whitespace() => {
                    found.insert(word(&group[at..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    found
}

/// The top-level module of a file, and what it imports.
fn arrows() -> Vec<(PathBuf, String, BTreeSet<String>)> {
    let mut found = Vec::new();
    files(&source(), &mut found);
    let mut arrows = Vec::new();
    for file in found {
        let inside = file.strip_prefix(source()).unwrap().to_owned();
        let is_test = inside
            .components()
            .any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs");
        let first = inside.components().next().unwrap().as_os_str();
        let module = first.to_str().unwrap().trim_end_matches(".rs").to_owned();
        if !is_test && !["lib", "main", "testing"].contains(&module.as_str()) {
            let text = fs::read_to_string(&file).unwrap();
            arrows.push((inside, module, imports(&code(&text))));
        }
    }
    arrows
}

#[test]
fn the_map_lists_every_module() {
    let listed: BTreeSet<String> = layers().into_iter().collect();
    let present: BTreeSet<String> = arrows().into_iter().map(|(_, module, _)| module).collect();
    assert_eq!(listed, present);
}

#[test]
fn no_module_imports_one_that_stands_above_it() {
    let layers = layers();
    let level = |name: &str| layers.iter().position(|layer| layer == name);
    let mut upward = Vec::new();
    for (file, module, imported) in arrows() {
        for name in imported {
            if level(&name).is_some_and(|there| there < level(&module).unwrap()) {
                upward.push(format!("{} imports {name}", file.display()));
            }
        }
    }
    assert!(upward.is_empty(), "{}", upward.join("\n"));
}

#[test]
fn imports_are_read_in_all_their_forms() {
    let text = "
        use crate::gss::{Keytab, Principal};
        use crate::{
            auth::{session::Session, spnego},
            refusal::Refusal,
        };
        // crate::gateway is mentioned
        fn f(_: &crate::tls::Trust) {}
        #[cfg(test)]\nmod tests {
            use crate::runtime;
        }";
    let text = text.replace("        #[cfg(test)]", "#[cfg(test)]");
    let found = imports(&code(&text));
    assert_eq!(
        Vec::from_iter(found),
        ["auth", "gss", "refusal", "tls"].map(str::to_owned)
    );
}
