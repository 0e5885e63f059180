//! Presto with TLS and Kerberos behind the gateway, which is all that clients know: the KDC through
//! it, Presto by the gateway's own name, and as a relay by the coordinator's name.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    process::Command,
    sync::OnceLock,
    time::Instant,
};

use lab::{Desk, Driver, KEYSTORE_PASSWORD, Lab, Server, Stage, Statement, run};

mod under_load;

const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 10, 15);
/// Another address of the gateway's, where it relays and looks into nothing.
const RELAY: Ipv4Addr = Ipv4Addr::new(127, 0, 10, 16);
const KDC_PORT: u16 = 8810;
const CONSOLE: &str = "https://proxy.example.com:7778";
/// The same with a JKS keystore, for tickets that were made for HTTP.
const JKS: &str = "https://proxy.example.com:7779";
const ANSWER: &str = "select current_user, x from unnest(sequence(1, 2)) t (x)";

fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| {
        Stage::with(&[Server::PrestoTls], |gateway, lab| {
            let sections = sections(lab);
            gateway
                .service("presto/proxy.example.com")
                .sections(&sections)
        })
        .unwrap()
    })
}

fn sections(lab: &Lab) -> String {
    let tls = lab.folder().join("tls");
    let tls = tls.display();
    let console = |name: &str, port: u16, keystore: &str, trust: &str, rest: &str| {
        format!(
            "[[console]]\nname = \"{name}\"\nkind = \"presto\"\nlisten = \"{PROXY}:{port}\"\n\
             identity = \"doas\"\n\
             tls = {{ keystore = \"{tls}/{keystore}\", password_file = \"{tls}/password\" }}\n\
             backend_tls = {{ {trust} }}\n\
             backends = [{{ url = \"https://presto.example.com:7778\", \
             spn = \"presto/presto.example.com\" }}]\n{rest}\n"
        )
    };
    let jks = format!("truststore = \"{tls}/trust.jks\", password_file = \"{tls}/password\"");
    let pem = format!("truststore = \"{tls}/presto.pem\"");
    let rule = "become = [{ user = \"bob\", as = [\"alice\"] }]";
    [
        // nothing is to wait for a time-out: one of these would outlast the test
        "[timeouts]\nfirst_byte = \"1h\"\nhold = \"1h\"\n\n".to_owned(),
        console("presto", 7778, "proxy.p12", &jks, ""),
        console("presto-jks", 7779, "proxy.jks", &pem, rule),
        format!(
            "[[stream]]\nname = \"presto-tls\"\nlisten = \"{RELAY}:7778\"\n\
             backends = [\"presto.example.com:7778\"]\nbalance = \"source\"\n\n\
             [[stream]]\nname = \"kdc\"\nkind = \"kdc\"\n\
             listen = [\"{PROXY}:{KDC_PORT}\", \"{RELAY}:{KDC_PORT}\"]\n\
             backends = [\"kdc.example.com:{KDC_PORT}\"]\n"
        ),
    ]
    .concat()
}

/// A machine that knows the gateway by its own name, and nothing else.
fn desk() -> Desk<'static> {
    let kdc = SocketAddrV4::new(PROXY, KDC_PORT);
    let known = [("proxy.example.com", PROXY)];
    stage().lab.far_desk(kdc, &known).unwrap()
}

/// One that takes the gateway for the coordinator, as the field's hosts files do.
fn fooled_desk() -> Desk<'static> {
    let kdc = SocketAddrV4::new(RELAY, KDC_PORT);
    let known = [("presto.example.com", RELAY)];
    stage().lab.far_desk(kdc, &known).unwrap()
}

fn keytab(user: &str) -> String {
    let keytab = stage().lab.realm().principal_with_keytab(user).unwrap();
    keytab.display().to_string()
}

/// presto-cli with Kerberos.
fn cli(desk: &Desk<'_>, server: &str, service: &str, user: &str, sql: &str) -> Command {
    let trust = stage().lab.tls("trust.jks");
    let mut cli = desk.presto_cli().unwrap();
    cli.args(["--server", server, "--user", user, "--execute", sql]);
    cli.args(["--krb5-remote-service-name", service, "--krb5-principal"]);
    cli.args([user, "--krb5-keytab-path", &keytab(user)]);
    cli.arg("--krb5-config-path").arg(desk.krb5_conf());
    cli.arg("--keystore-path").arg(trust);
    cli.args(["--keystore-password", KEYSTORE_PASSWORD]);
    cli
}

/// What Presto's JDBC driver is told, as `user` with the ticket of `principal`.
fn properties(desk: &Desk<'_>, principal: &str, user: &str) -> [(&'static str, String); 8] {
    [
        ("user", user.to_owned()),
        ("SSL", "true".to_owned()),
        (
            "SSLTrustStorePath",
            stage().lab.tls("trust.jks").display().to_string(),
        ),
        ("SSLTrustStorePassword", KEYSTORE_PASSWORD.to_owned()),
        ("KerberosRemoteServiceName", "presto".to_owned()),
        ("KerberosPrincipal", principal.to_owned()),
        ("KerberosConfigPath", desk.krb5_conf().display().to_string()),
        ("KerberosKeytabPath", keytab(principal)),
    ]
}

fn jdbc_url(authority: &str) -> String {
    format!("jdbc:presto://{authority}/system/runtime")
}

/// Statements by Presto's JDBC driver with Kerberos.
fn jdbc(
    desk: &Desk<'_>,
    authority: &str,
    principal: &str,
    user: &str,
    statements: &[&str],
) -> anyhow::Result<String> {
    let properties = properties(desk, principal, user);
    let properties = properties
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    desk.jdbc(
        Driver::Presto,
        &jdbc_url(authority),
        &properties,
        statements,
    )
}

/// curl with alice's ticket.
fn curl() -> anyhow::Result<Command> {
    let mut curl = stage().lab.curl("alice")?;
    curl.arg("--cacert").arg(stage().lab.tls("proxy.pem"));
    Ok(curl)
}

#[test]
fn mit_and_java_log_in_through_the_gateway() {
    let desk = desk();
    desk.kinit("alice", "presto/proxy.example.com").unwrap();
    let said = desk
        .java_login("alice", "presto@proxy.example.com")
        .unwrap();
    assert!(said.starts_with("alice@EXAMPLE.COM "), "{said}");
    let relayed = stage()
        .gateway
        .metric("spnegate_stream_connections_total{stream=\"kdc\"")
        .unwrap();
    assert!(relayed >= 2.0, "{relayed}");
}

#[test]
fn the_cli_and_jdbc_work_with_the_gateways_own_name() {
    let desk = desk();
    for (server, service) in [(CONSOLE, "presto"), (JKS, "HTTP"), (CONSOLE, "HTTP")] {
        let rows = run(cli(&desk, server, service, "alice", ANSWER)).unwrap();
        assert_eq!(
            rows, "\"alice\",\"1\"\n\"alice\",\"2\"\n",
            "{server} {service}"
        );
    }
    let statements = ["select current_user", ANSWER];
    for authority in ["proxy.example.com:7778", "proxy.example.com:7779"] {
        let rows = jdbc(&desk, authority, "alice", "alice", &statements).unwrap();
        assert_eq!(rows, "alice\nalice\t1\nalice\t2\n", "{authority}");
    }
}

#[test]
fn the_user_of_the_ticket_replaces_the_one_the_client_names() {
    let desk = desk();
    let who = ["select current_user"];
    let rows = jdbc(&desk, "proxy.example.com:7778", "bob", "alice", &who).unwrap();
    assert_eq!(rows, "bob\n");
    // the other console lets bob be alice, and alice not bob
    let rows = jdbc(&desk, "proxy.example.com:7779", "bob", "alice", &who).unwrap();
    assert_eq!(rows, "alice\n");
    let rows = jdbc(&desk, "proxy.example.com:7779", "alice", "bob", &who);
    println!("alice as bob: {rows:?}");
    assert!(rows.is_err() || rows.is_ok_and(|rows| rows == "alice\n"));
    // the coordinator's rule has no carol for the gateway
    let error = jdbc(&desk, "proxy.example.com:7778", "carol", "carol", &who).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("cannot become user carol"), "{text}");
}

#[test]
fn every_uri_in_a_response_points_to_the_gateway() {
    let mut statement = Statement::begin(
        curl().unwrap(),
        CONSOLE,
        "select count(*) from unnest(sequence(1, 10000)) a (x) \
         cross join unnest(sequence(1, 10000)) b (y) where (x * y) % 7 = 1",
    )
    .unwrap();
    while statement.step(curl().unwrap()).unwrap() {}
    assert_eq!(statement.error, None);
    // a partial cancel's address is the coordinator's internal one
    assert!(
        statement.uris.iter().any(|uri| uri.contains("/v1/stage/")),
        "{:?}",
        statement.uris
    );
    let strays: Vec<_> = statement
        .uris
        .iter()
        .filter(|uri| !uri.starts_with(&format!("{CONSOLE}/")))
        .collect();
    assert!(strays.is_empty(), "{strays:?}");
}

#[test]
fn clients_that_talk_to_the_coordinators_own_name_are_relayed() {
    let desk = fooled_desk();
    desk.kinit("alice", "presto/presto.example.com").unwrap();
    let server = "https://presto.example.com:7778";
    let rows = run(cli(&desk, server, "presto", "alice", ANSWER)).unwrap();
    assert_eq!(rows, "\"alice\",\"1\"\n\"alice\",\"2\"\n");
    let rows = jdbc(
        &desk,
        "presto.example.com:7778",
        "alice",
        "alice",
        &[ANSWER],
    );
    assert_eq!(rows.unwrap(), "alice\t1\nalice\t2\n");
}

#[test]
fn a_ticket_repeated_with_every_request_is_checked_once() {
    let logins = || {
        let line = "spnegate_logins_total{side=\"client\"";
        stage().gateway.metric(line).unwrap()
    };
    let desk = desk();
    let count = |what: &str, run: &dyn Fn() -> anyhow::Result<String>| {
        let (before, begun) = (logins(), Instant::now());
        assert_eq!(run().unwrap().lines().count(), 20);
        let (made, took) = (logins() - before, begun.elapsed().as_secs_f64());
        println!("20 statements by {what}: {made} logins, {took:.1} s");
        made
    };
    let of_jdbc = count("JDBC", &|| {
        let statements = ["select 1"; 20];
        let authority = "proxy.example.com:7778";
        jdbc(&desk, authority, "alice", "alice", &statements)
    });
    let of_cli = count("presto-cli", &|| {
        let statements = "select 1;".repeat(20);
        run(cli(&desk, CONSOLE, "presto", "alice", &statements))
    });
    // they keep the gateway's cookie
    assert!(of_jdbc < 1.5, "{of_jdbc}");
    assert!(of_cli < 1.5, "{of_cli}");
}
