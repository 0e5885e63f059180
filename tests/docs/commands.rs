//! Commands in the documents: those of the gateway are compared with its command line, and run where
//! that needs no cluster.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::{blocks, configurations, document, documents, inline_code, root};

fn gateway() -> Command {
    Command::new(env!("CARGO_BIN_EXE_spnegate"))
}

/// The help text of a command.
fn help(words: &[&str]) -> String {
    let output = gateway().args(words).arg("--help").output().unwrap();
    assert!(output.status.success(), "spnegate {words:?} --help");
    String::from_utf8(output.stdout).unwrap()
}

/// The subcommands that a help text lists.
fn subcommands(help: &str) -> Vec<String> {
    let list = help.split_once("Commands:\n").map_or("", |(_, list)| list);
    let lines = list.lines().take_while(|line| line.starts_with("  "));
    let names = lines.filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// The words of every `spnegate …` command in the documents, without comments and prompts.
fn commands() -> Vec<Vec<String>> {
    let mut lines = Vec::new();
    for block in blocks() {
        if ["sh", "console"].contains(&block.language.as_str()) {
            let text = block.text.replace("\\\n", " ");
            lines.extend(text.lines().map(str::to_owned));
        }
    }
    for document in documents() {
        // the changelog keeps the commands of its time
        if document.path != Path::new("CHANGELOG.md") {
            lines.extend(inline_code(&document.text));
        }
    }
    let commands = lines.iter().filter_map(|line| {
        let line = line.trim_start().trim_start_matches("$ ");
        let line = line.split(" #").next().unwrap();
        let words = line.strip_prefix("spnegate ")?.split_whitespace();
        Some(words.map(str::to_owned).collect())
    });
    commands.collect()
}

#[test]
fn every_command_of_the_gateway_exists_with_its_options() {
    let commands = commands();
    assert!(commands.len() > 20, "found {}", commands.len());
    for words in commands {
        if words[0] == "help" || words[0] == "--version" {
            continue;
        }
        let mut path: Vec<&str> = Vec::new();
        let mut text = help(&path);
        for word in &words {
            if !subcommands(&text).contains(word) {
                break;
            }
            path.push(word);
            text = help(&path);
        }
        assert!(!path.is_empty(), "no command: spnegate {words:?}");
        let complete = subcommands(&text).is_empty() || path.len() == words.len();
        assert!(complete, "no command: spnegate {words:?}");
        for option in words.iter().filter(|word| word.starts_with('-')) {
            let named = text.split([' ', ',', '\n']).any(|word| word == option);
            assert!(named, "spnegate {path:?} has no {option}");
        }
    }
}

#[test]
fn the_reference_has_every_command() {
    let page = document("docs/reference/commands.md");
    for command in subcommands(&help(&[])) {
        let below = subcommands(&help(&[&command]));
        if below.is_empty() {
            assert!(
                page.contains(&format!("| `spnegate {command}")),
                "{command}"
            );
        }
        for second in below {
            let row = format!("| `spnegate {command} {second}");
            assert!(page.contains(&row), "{row}");
        }
    }
}

/// `check` on the examples, and `keytab list` and `merge` as they are written.
#[test]
fn commands_that_need_no_cluster_succeed() {
    let folder = tempfile::tempdir().unwrap();
    configurations::files(folder.path());
    for name in [
        "FILE",
        "A",
        "B",
        "a.keytab",
        "b.keytab",
        "http.keytab",
        "new.keytab",
    ] {
        fs::copy(
            folder.path().join("merged.keytab"),
            folder.path().join(name),
        )
        .unwrap();
    }
    let mut run = 0;
    for words in commands() {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let ["keytab", "list" | "merge", first, ..] = words.as_slice() else {
            continue;
        };
        // a name in prose, such as `spnegate keytab merge -o FILE …`, is run as well as a block
        let words = words.iter().filter(|word| **word != "…");
        let words = words.map(|word| word.strip_prefix("/etc/spnegate/").unwrap_or(word));
        let output = gateway()
            .args(words)
            .current_dir(folder.path())
            .output()
            .unwrap();
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{first}: {problem}");
        run += 1;
    }
    assert!(run >= 4, "ran {run}");
}

#[test]
fn shell_blocks_are_valid_shell() {
    for block in blocks().iter().filter(|block| block.language == "sh") {
        let status = Command::new("bash")
            .args(["-n", "-c", &block.text])
            .stdin(Stdio::null())
            .status()
            .unwrap();
        assert!(
            status.success(),
            "{}:\n{}",
            block.document.display(),
            block.text
        );
    }
}

#[test]
fn every_make_target_that_a_document_names_exists() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let mut lines = Vec::new();
    for block in blocks().into_iter().filter(|block| block.language == "sh") {
        lines.extend(block.text.lines().map(str::to_owned));
    }
    for document in documents() {
        lines.extend(inline_code(&document.text));
    }
    for line in lines {
        let Some(words) = line.trim_start().strip_prefix("make ") else {
            continue;
        };
        let target = words.split_whitespace().next().unwrap();
        if target.contains('=') {
            continue;
        }
        let rule = makefile
            .lines()
            .any(|line| line.starts_with(&format!("{target}:")));
        assert!(rule, "make {target}");
    }
}
