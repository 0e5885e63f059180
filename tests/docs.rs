//! What is written about the gateway is true of it: the README's configurations are taken, its
//! tables are complete, and so is the demo's configuration.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{collections::BTreeSet, fs, path::Path};

use spnegate::{
    Config,
    gss::{Keytab, Principal},
    parse,
    testing::{Enctype, Entry, Reason, Refusal},
};

const README: &str = include_str!("../README.md");
const ACTIVE_DIRECTORY: &str = include_str!("../docs/active-directory.md");
const DEMO: &str = include_str!("../docker/demo.toml");

const KERBEROS: &str = "[kerberos]\n\
    keytab = \"/etc/spnegate/merged.keytab\"\n\
    principal = \"spnegate/proxy.example.com@EXAMPLE.COM\"\n";
const CONSOLE: &str = "[[console]]\n\
    name = \"any\"\n\
    kind = \"generic\"\n\
    listen = \"0.0.0.0:8080\"\n\
    backends = [\"http://any.example.com:8080\"]\n\
    identity = \"service\"\n";

/// The code blocks of README and pages in `language`, indented or not.
fn blocks(language: &str) -> Vec<String> {
    let texts = [README, ACTIVE_DIRECTORY].into_iter();
    let mut lines = texts.flat_map(str::lines).map(str::trim_start);
    let mut blocks = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(found) = line.strip_prefix("```") {
            let body: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            if found == language {
                blocks.push(body.join("\n"));
            }
        }
    }
    blocks
}

/// A fragment with the sections that every file needs.
fn completed(fragment: &str) -> String {
    let mut text = String::new();
    if !fragment.contains("[kerberos]") {
        text += KERBEROS;
    }
    text = text + fragment + "\n";
    if !fragment.contains("[[console]]") {
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

/// Parses as on a machine where the keytab and the secret lie in `folder`.
fn must_parse(text: &str, folder: &str) -> Config {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    for name in ["merged.keytab", "gateway.keytab"] {
        fs::write(here.join(name), keytab()).unwrap();
    }
    fs::write(here.join("secret"), [7; 32]).unwrap();
    let certified = rcgen::generate_simple_self_signed(["proxy.example.com".into()]).unwrap();
    fs::write(here.join("tls.crt"), certified.cert.pem()).unwrap();
    fs::write(here.join("tls.key"), certified.signing_key.serialize_pem()).unwrap();
    let text = text.replace(folder, here.to_str().unwrap());
    match parse(&text, &here.join("spnegate.toml")) {
        Ok((config, _warnings)) => config,
        Err(problems) => panic!("{problems}\n{text}"),
    }
}

#[test]
fn every_configuration_of_readme_and_pages_is_taken() {
    let blocks = blocks("toml");
    assert!(blocks.len() >= 5, "found {}", blocks.len());
    for block in blocks {
        must_parse(&completed(&block), "/etc/spnegate");
    }
}

#[test]
fn no_rules_that_are_shown_make_one_user_of_two() {
    let example = include_str!("../conf/oozie.toml");
    let mut shown = blocks("toml");
    shown.push(example.to_owned());
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
fn the_configuration_of_the_compose_demo_is_taken() {
    must_parse(DEMO, "/lab");
}

#[test]
fn every_reason_word_is_in_the_readme_with_its_status() {
    for refusal in Refusal::ALL {
        let row = format!("| `{}` | {} |", refusal.reason(), refusal.status().as_u16());
        assert!(README.contains(&row), "the table of reasons lacks {row}");
    }
}

#[test]
fn every_limit_that_a_page_names_is_a_key_of_the_reference() {
    let reference = include_str!("../conf/reference.toml");
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

#[test]
fn every_reason_word_of_a_stream_is_in_the_readme() {
    for reason in Reason::ALL {
        let row = format!("| `{}` |", reason.as_str());
        assert!(README.contains(&row), "the table of reasons lacks {row}");
    }
}

#[test]
fn every_metric_is_in_the_readme_and_no_other() {
    let mut code = BTreeSet::new();
    collect(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut code,
    );
    let table: BTreeSet<_> = README
        .lines()
        .filter_map(|line| line.strip_prefix("| `spnegate_")?.split('`').next())
        .map(|rest| format!("spnegate_{rest}"))
        .collect();
    assert_eq!(code, table);
}

/// The metric names that stand as constants in the sources below a folder.
fn collect(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, names);
            continue;
        }
        let text = fs::read_to_string(path).unwrap();
        let constants = text.lines().filter(|line| line.contains("const "));
        names.extend(constants.filter_map(|line| {
            let name = line.split_once("&str = \"")?.1.strip_suffix("\";")?;
            name.starts_with("spnegate_").then(|| name.to_owned())
        }));
    }
}
