//! The command as operators use it: exit codes and messages.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{Command, Output},
};

use spnegate::{
    gss::Keytab,
    testing::{Enctype, Entry},
};

fn spnegate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_spnegate"))
        .args(arguments)
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_wrong_command_line_is_ex_usage() {
    for arguments in [
        &["serv"] as &[_],
        &["check", "--cnofig", "f"],
        &[],
        &["check", "extra"],
    ] {
        let output = spnegate(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(
            stderr(&output).contains("Usage"),
            "{arguments:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn help_and_version_succeed() {
    let output = spnegate(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.starts_with(b"spnegate 0."));
    assert_eq!(spnegate(&["--help"]).status.code(), Some(0));
}

#[test]
fn a_bad_configuration_is_ex_config_and_every_problem_is_shown_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bad.toml");
    fs::write(&file, "[server]\nworkres = 2\n[log]\nformat = \"xml\"\n").unwrap();
    let name = file.to_str().unwrap();
    for command in ["check", "serve"] {
        let output = spnegate(&[command, "--config", name]);
        assert_eq!(output.status.code(), Some(78));
        assert!(output.stdout.is_empty());
        let lines = stderr(&output);
        for expected in [
            format!(
                "\
error: server.workres: unknown key
 --> {name}:2:1
  |
2 | workres = 2
  | ^^^^^^^
  |
  = help: Did you mean `workers`? Valid: workers, max_connections, max_connections_per_address, \
                requests_per_second_per_address\n"
            ),
            format!(
                "\
error: log.format: invalid value `xml`
 --> {name}:4:10
  |
4 | format = \"xml\"
  |          ^^^^^
  |
  = help: Valid: text, json\n"
            ),
            format!("error: kerberos: missing\n--> {name}:1:1\n = help: Add a [kerberos] section"),
            format!("error: console: missing\n--> {name}:1:1\n = help: Add a [[console]] section"),
        ] {
            assert!(lines.contains(&expected), "{lines}");
        }
    }
}

#[test]
fn a_file_that_is_missing_or_not_utf_8_is_ex_config() {
    let output = spnegate(&["check", "--config", "/nonexistent/spnegate.toml"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).contains("/nonexistent/spnegate.toml: cannot read"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("latin1.toml");
    fs::write(&file, b"# ok\n# \xe9\n").unwrap();
    let output = spnegate(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(78));
    assert!(
        stderr(&output).contains("latin1.toml:2:1: the file is not valid UTF-8"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_good_configuration_is_confirmed_on_standard_output() {
    let directory = tempfile::tempdir().unwrap();
    let entry = |name: &str| Entry {
        principal: name.parse().unwrap(),
        name_type: 1,
        timestamp: 0,
        kvno: 1,
        enctype: Enctype(18),
        key: vec![1; 32].into(),
    };
    let keytab = Keytab {
        entries: vec![entry("HTTP/proxy.example.com@R"), entry("gate@R")],
    };
    fs::write(directory.path().join("k"), keytab.to_bytes()).unwrap();
    let file = directory.path().join("good.toml");
    let text = "[kerberos]\nkeytab = \"k\"\nprincipal = \"gate@R\"\n\
                [[console]]\nname = \"a\"\nkind = \"generic\"\nlisten = \"127.0.0.1:8088\"\n\
                identity = \"service\"\n\
                backends = [{ url = \"http://127.0.0.2:8088\", spn = \"HTTP/rm.example.com\" }]\n";
    fs::write(&file, text).unwrap();
    let output = spnegate(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(output.stdout, b"configuration ok: 1 console\n");
    assert!(stderr(&output).contains("warning: session: the session secret is random"));
}

/// An admin listener that accepts one request, and the request line that it received.
fn admin() -> (String, std::thread::JoinHandle<String>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = std::thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(&tcp).lines();
        let first = lines.next().unwrap().unwrap();
        let rest = lines.take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()));
        assert!(rest.count() > 0);
        (&tcp).write_all(b"HTTP/1.0 200 OK\r\n\r\ndone\n").unwrap();
        first
    });
    (address, asked)
}

#[test]
fn a_backend_is_named_as_in_the_configuration_file_or_by_host_and_port() {
    for backend in [
        "http://nn1.example.com:50070",
        "nn1.example.com:50070",
        "http://nn1.example.com:50070/",
    ] {
        let (address, asked) = admin();
        let output = spnegate(&["backend", "drain", "nn", backend, "--admin", &address]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(
            asked.join().unwrap(),
            "POST /backends/nn/nn1.example.com:50070/drain HTTP/1.0"
        );
    }
}

#[test]
fn an_invalid_backend_is_refused_in_terms_of_the_command_line() {
    for (console, backend) in [
        ("nn", "ftp://nn1:21"),
        ("nn", "http://nn1:80/dfs"),
        ("nn", "nn1 80"),
        ("n/n", "nn1:80"),
        ("nn", ""),
    ] {
        let output = spnegate(&[
            "backend",
            "drain",
            console,
            backend,
            "--admin",
            "127.0.0.1:1",
        ]);
        assert_eq!(
            output.status.code(),
            Some(64),
            "{backend}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains("configuration file") && !stderr(&output).contains("POST")
        );
    }
}
