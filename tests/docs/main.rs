//! The documents agree with the code: the book in `docs/`, the README and the other documents of the
//! repository.
//!
//! `make docs` builds the book with mdbook; these tests check it without mdbook.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    fs,
    path::{Path, PathBuf},
};

mod commands;
mod configurations;
mod links;
mod tables;

/// A Markdown file of the repository.
pub(crate) struct Document {
    /// Relative to the root of the repository.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// A fenced code block.
pub(crate) struct Block {
    pub(crate) document: PathBuf,
    /// All that follows the fence, such as `toml,fragment`.
    pub(crate) language: String,
    pub(crate) text: String,
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The pages of the book and the documents beside it.
pub(crate) fn documents() -> Vec<Document> {
    let mut paths = Vec::new();
    below(&root().join("docs"), "md", &mut paths);
    let at_root = fs::read_dir(root()).unwrap();
    let at_root = at_root.map(|entry| entry.unwrap().path());
    paths.extend(at_root.filter(|path| path.extension() == Some("md".as_ref())));
    paths.sort();
    let documents = paths.into_iter().map(|path| Document {
        text: fs::read_to_string(&path).unwrap(),
        path: path.strip_prefix(root()).unwrap().to_owned(),
    });
    documents.collect()
}

/// The text of one document.
pub(crate) fn document(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Every file below a folder with this extension.
pub(crate) fn below(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            below(&path, extension, found);
        } else if path.extension() == Some(extension.as_ref()) {
            found.push(path);
        }
    }
}

/// The code blocks of all documents, indented or not.
pub(crate) fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    for Document { path, text } in documents() {
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let Some(language) = line.trim_start().strip_prefix("```") else {
                continue;
            };
            let indent = line.len() - line.trim_start().len();
            let body = lines
                .by_ref()
                .take_while(|line| line.trim_start() != "```")
                .map(|line| line.get(indent..).unwrap_or_default());
            blocks.push(Block {
                document: path.clone(),
                language: language.to_owned(),
                text: body.collect::<Vec<_>>().join("\n"),
            });
        }
    }
    blocks
}

/// A document without its code blocks, the marker lines included.
pub(crate) fn prose(text: &str) -> String {
    let mut in_block = false;
    let lines = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        in_block ^= fence;
        !in_block && !fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The inline code of a document's prose. A span may go over the end of a line.
pub(crate) fn inline_code(text: &str) -> Vec<String> {
    let prose = prose(text).replace('\n', " ");
    let spans = prose.split('`').skip(1).step_by(2);
    spans.map(str::to_owned).collect()
}

#[test]
fn the_readme_fits_on_three_screens() {
    let lines = document("README.md").lines().count();
    assert!(lines <= 150, "{lines} lines");
}
