//! Trino with TLS and Kerberos through the gateway, where there is a JDK that it runs on.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::process::Command;
use std::time::Duration;

use lab::{Gateway, KEYSTORE_PASSWORD, Lab, Server, Statement, home_for_trino, run};

const CONSOLE: &str = "https://proxy.example.com:8443";

/// trino-cli with the keytab of `principal`, as `user`.
fn cli(lab: &Lab, principal: &str, user: &str, sql: &str) -> anyhow::Result<String> {
    let desk = lab.desk();
    let mut cli = desk.trino_cli()?;
    cli.args(["--server", CONSOLE, "--user", user, "--execute", sql]);
    cli.args(["--krb5-remote-service-name", "trino"]);
    cli.args(["--krb5-principal", principal, "--krb5-keytab-path"]);
    cli.arg(lab.realm().principal_with_keytab(principal)?);
    cli.arg("--krb5-config-path").arg(desk.krb5_conf());
    cli.arg("--truststore-path").arg(lab.tls("trust.jks"));
    cli.args(["--truststore-password", KEYSTORE_PASSWORD]);
    run(cli)
}

#[test]
fn clients_are_the_user_of_their_ticket_and_every_uri_comes_back() {
    if let Err(why) = home_for_trino() {
        eprintln!("not tested: {why}");
        return;
    }
    let lab = Lab::builder()
        .with([Server::Trino])
        .wait_for_turn(Duration::from_secs(600))
        .start()
        .unwrap();
    let tls = lab.folder().join("tls");
    let tls = tls.display();
    let sections = format!(
        "[[console]]\nname = \"trino\"\nkind = \"trino\"\nlisten = \"127.0.10.15:8443\"\n\
         identity = \"doas\"\n\
         tls = {{ keystore = \"{tls}/proxy.p12\", password_file = \"{tls}/password\" }}\n\
         backend_tls = {{ truststore = \"{tls}/trust.jks\", password_file = \"{tls}/password\" }}\n\
         backends = [{{ url = \"https://trino.example.com:8443\", \
         spn = \"trino/trino.example.com\" }}]\n"
    );
    let _gateway = Gateway::builder(&lab)
        .service("trino/proxy.example.com")
        .sections(&sections)
        .start()
        .unwrap();

    let sql = "select current_user, x from unnest(sequence(1, 2)) t (x)";
    for user in ["alice", "bob"] {
        let rows = cli(&lab, user, user, sql).unwrap();
        assert_eq!(rows, format!("\"{user}\",\"1\"\n\"{user}\",\"2\"\n"));
    }
    let rows = cli(&lab, "alice", "bob", "select current_user");
    println!("alice as bob: {rows:?}");
    assert!(rows.is_err() || rows.is_ok_and(|rows| rows == "\"alice\"\n"));
    let error = cli(&lab, "carol", "carol", sql).unwrap_err().to_string();
    assert!(error.contains("cannot impersonate user carol"), "{error}");

    let curl = || -> anyhow::Result<Command> {
        let mut curl = lab.curl("alice")?;
        curl.arg("--cacert").arg(lab.tls("proxy.pem"));
        Ok(curl)
    };
    let statement = Statement::run(curl, CONSOLE, sql).unwrap();
    assert_eq!(statement.error, None);
    let own = format!("{CONSOLE}/");
    assert!(!statement.uris.is_empty());
    assert!(
        statement.uris.iter().all(|uri| uri.starts_with(&own)),
        "{:?}",
        statement.uris
    );

    // the Python client asks without a ticket, then with one, and wants the gateway's proof each time
    let desk = lab.desk();
    let ca = lab.tls("proxy.pem");
    for (user, service) in [("alice", "trino"), ("bob", "trino"), ("alice", "HTTP")] {
        let python = |named, statements: &[&str]| {
            desk.trino_python((user, named), service, (CONSOLE, &ca), statements)
        };
        let many =
            "select count(*) from unnest(sequence(1, 1000)) a (x), unnest(sequence(1, 1000)) b (y)";
        let rows = python(user, &[sql, many]).unwrap();
        assert_eq!(
            rows,
            format!("{user}\t1\n{user}\t2\n1000000\n"),
            "{service}"
        );
        let other = python("root", &["select current_user"]);
        println!("{user} as root by Python: {other:?}");
        assert!(other.is_err() || other.is_ok_and(|rows| rows == format!("{user}\n")));
    }
}
