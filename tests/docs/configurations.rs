//! Configurations in the documents are accepted by the parser, and every key they name exists.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use spnegate::{
    Config,
    gss::{Keytab, Principal},
    parse,
    testing::{Enctype, Entry, Refusal, schema},
};
use toml::de::{DeTable, DeValue};

use crate::{Block, blocks, document, documents, inline_code, root};

const KERBEROS: &str = "[kerberos]\n\
    keytab = \"/etc/spnegate/merged.keytab\"\n\
    principal = \"spnegate/proxy.example.com@EXAMPLE.COM\"\n";
const CONSOLE: &str = "[[console]]\n\
    name = \"any\"\n\
    kind = \"generic\"\n\
    listen = \"0.0.0.0:8080\"\n\
    backends = [\"http://any.example.com:8080\"]\n\
    identity = \"service\"\n";

/// Blocks that are whole configurations, or whole sections of one.
fn sections() -> Vec<Block> {
    let mut blocks = blocks();
    blocks.retain(|block| block.language == "toml");
    blocks
}

/// A block with the sections that every file needs.
fn completed(block: &str) -> String {
    let mut text = String::new();
    if !block.contains("[kerberos]") {
        text += KERBEROS;
    }
    text = text + block + "\n";
    if !block.contains("[[console]]") {
        text += CONSOLE;
    }
    text
}

fn keytab() -> Vec<u8> {
    let names = [
        "HTTP/proxy.example.com",
        "spnegate/proxy.example.com",
        "svc-spnegate",
    ];
    let entries = names.map(|name| Entry {
        principal: format!("{name}@EXAMPLE.COM").parse::<Principal>().unwrap(),
        name_type: 1,
        timestamp: 0,
        kvno: 1,
        enctype: Enctype(18),
        key: vec![1; 32].into(),
    });
    let keytab = Keytab {
        entries: entries.into(),
    };
    keytab.to_bytes().to_vec()
}

/// Writes the files that the configurations name.
pub(crate) fn files(folder: &Path) {
    for name in ["merged.keytab", "gateway.keytab"] {
        fs::write(folder.join(name), keytab()).unwrap();
    }
    fs::write(folder.join("secret"), [7; 32]).unwrap();
    let certified = rcgen::generate_simple_self_signed(["proxy.example.com".into()]).unwrap();
    fs::write(folder.join("tls.crt"), certified.cert.pem()).unwrap();
    let key = certified.signing_key.serialize_pem();
    fs::write(folder.join("tls.key"), key).unwrap();
}

/// Parses as on a machine where the files are in `folder`.
fn must_parse(text: &str, folder: &str) -> Config {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    files(here);
    let text = text.replace(folder, here.to_str().unwrap());
    match parse(&text, &here.join("spnegate.toml")) {
        Ok((config, _warnings)) => config,
        Err(problems) => panic!("{problems}\n{text}"),
    }
}

#[test]
fn every_configuration_is_accepted() {
    let sections = sections();
    assert!(sections.len() >= 12, "found {}", sections.len());
    for section in sections {
        must_parse(&completed(&section.text), "/etc/spnegate");
    }
}

/// Fragments are marked `toml,fragment`: a key or two, or paths that only the reader has.
#[test]
fn every_fragment_is_toml_with_known_keys() {
    let mut blocks = blocks();
    blocks.retain(|block| block.language == "toml,fragment");
    assert!(blocks.len() >= 2, "found {}", blocks.len());
    let known: BTreeSet<_> = schema::SECTIONS
        .iter()
        .flat_map(|section| section.keys.iter().copied())
        .collect();
    for block in blocks {
        let table = DeTable::parse(&block.text)
            .unwrap_or_else(|error| panic!("{}: {error}", block.document.display()));
        let mut keys = BTreeSet::new();
        names(&DeValue::Table(table.into_inner()), &mut keys);
        for key in keys {
            assert!(known.contains(key.as_str()), "unknown key {key}");
        }
    }
}

fn names(value: &DeValue<'_>, found: &mut BTreeSet<String>) {
    match value {
        DeValue::Table(table) => {
            for (key, value) in table {
                found.insert(key.get_ref().to_string());
                names(value.get_ref(), found);
            }
        }
        DeValue::Array(values) => {
            for value in values {
                names(value.get_ref(), found);
            }
        }
        _ => {}
    }
}

#[test]
fn every_block_of_configuration_is_marked_as_such() {
    for block in blocks() {
        let looks = block.text.contains("[[console]]") || block.text.contains("backends = [");
        assert!(
            !looks || block.language.starts_with("toml"),
            "{}: {}",
            block.document.display(),
            block.language
        );
    }
}

/// Keys in the text, such as `timeouts.hold` or `console.queue.length`, or `queue.length` for short.
#[test]
fn every_key_in_the_text_exists() {
    let mut sections: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for section in schema::SECTIONS {
        let last = section.name.rsplit('.').next().unwrap();
        let later = section.later.iter().map(|(key, _)| *key);
        let keys = section.keys.iter().copied().chain(later);
        sections.entry(last).or_default().extend(keys);
    }
    let mut count = 0;
    for document in documents() {
        for code in inline_code(&document.text) {
            let words: Vec<_> = code.split('.').collect();
            let [.., section, key] = words.as_slice() else {
                continue;
            };
            let plain = key
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            // `console.log`, `alice.keytab` and the like are no keys: only known sections count
            let Some(keys) = sections.get(section) else {
                continue;
            };
            if plain
                && !section.is_empty()
                && words.len() <= 3
                && !["toml", "rs", "md"].contains(key)
            {
                assert!(keys.contains(key), "{}: `{code}`", document.path.display());
                count += 1;
            }
        }
    }
    assert!(count > 30, "found {count} keys");
}

/// The parser names the valid kinds when it refuses another one.
#[test]
fn every_kind_of_console_has_its_page() {
    let text = completed(&CONSOLE.replace("generic", "unheard-of"));
    let directory = tempfile::tempdir().unwrap();
    files(directory.path());
    let text = text.replace("/etc/spnegate", directory.path().to_str().unwrap());
    let problems = parse(&text, &directory.path().join("spnegate.toml"))
        .err()
        .unwrap()
        .to_string();
    let (_, kinds) = problems.split_once("Valid: ").unwrap();
    let kinds: BTreeSet<_> = kinds
        .lines()
        .next()
        .unwrap()
        .split(", ")
        .map(str::trim)
        .collect();
    assert!(kinds.len() >= 10, "{kinds:?}");
    for kind in kinds {
        let page = format!("docs/consoles/{kind}.md");
        assert!(root().join(&page).exists(), "{page} is missing");
    }
}

#[test]
fn no_rules_that_are_shown_map_two_users_to_one() {
    let mut shown: Vec<_> = sections().into_iter().map(|block| block.text).collect();
    shown.push(document("conf/oozie.toml"));
    shown.retain(|text| text.contains("CORP"));
    assert!(shown.len() >= 4, "{shown:?}");
    for text in shown {
        let config = must_parse(&completed(&text), "/etc/spnegate");
        let user = |name: &str| {
            let principal = name.parse().unwrap();
            spnegate::testing::auth_to_local(&config)
                .map(&principal)
                .ok()
        };
        let corp = user("alice@CORP.EXAMPLE.COM");
        assert!(
            corp.is_some() && corp != user("alice@EXAMPLE.COM"),
            "{text}"
        );
    }
}

#[test]
fn the_configuration_of_the_compose_demo_is_accepted() {
    must_parse(&document("docker/demo.toml"), "/lab");
}

#[test]
fn every_limit_that_a_page_names_is_a_key_of_the_reference() {
    let reference = document("conf/reference.toml");
    let named: Vec<_> = Refusal::ALL
        .iter()
        .filter_map(|refusal| refusal.setting())
        .collect();
    assert!(named.len() > 8, "{named:?}");
    for key in named {
        // `console.queue.length` is written `queue = { length = 500, … }`
        let words: Vec<_> = key.split('.').collect();
        let last = format!("{} = ", words.last().unwrap());
        assert!(reference.contains(&last), "{key}");
        for section in &words[..words.len() - 1] {
            let header = format!("[{section}]");
            let table = format!("{section} = {{");
            assert!(
                reference.contains(&header) || reference.contains(&table),
                "{key}"
            );
        }
    }
}
