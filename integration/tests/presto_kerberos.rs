//! Presto with TLS and Kerberos behind the gateway, which is all that clients know: the KDC through
//! it, Presto by the gateway's own name, and as a relay by the coordinator's name.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use lab::{
    Desk, Driver, Gateway, KEYSTORE_PASSWORD, Lab, Load, Server, Statement, Turn, run, wait,
};

const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 10, 15);
/// Another address of the gateway's, where it relays and looks into nothing.
const RELAY: Ipv4Addr = Ipv4Addr::new(127, 0, 10, 16);
const KDC_PORT: u16 = 8810;
const CONSOLE: &str = "https://proxy.example.com:7778";
/// The same with a JKS keystore, for tickets that were made for HTTP.
const JKS: &str = "https://proxy.example.com:7779";
const ANSWER: &str = "select current_user, x from unnest(sequence(1, 2)) t (x)";

struct World {
    lab: Lab,
    gateway: Gateway,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let lab = Lab::builder()
            .with([Server::PrestoTls])
            .wait_for_turn(Duration::from_secs(600))
            .start()
            .unwrap();
        let gateway = Gateway::builder(&lab)
            .service("presto/proxy.example.com")
            .sections(&sections(&lab))
            .start()
            .unwrap();
        World { lab, gateway }
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
    world().lab.far_desk(kdc, &known).unwrap()
}

/// One that takes the gateway for the coordinator, as the field's hosts files do.
fn fooled_desk() -> Desk<'static> {
    let kdc = SocketAddrV4::new(RELAY, KDC_PORT);
    let known = [("presto.example.com", RELAY)];
    world().lab.far_desk(kdc, &known).unwrap()
}

fn keytab(user: &str) -> String {
    let keytab = world().lab.realm().principal_with_keytab(user).unwrap();
    keytab.display().to_string()
}

/// presto-cli with Kerberos.
fn cli(desk: &Desk<'_>, server: &str, service: &str, user: &str, sql: &str) -> Command {
    let trust = world().lab.tls("trust.jks");
    let mut cli = desk.presto_cli().unwrap();
    cli.args(["--server", server, "--user", user, "--execute", sql]);
    cli.args(["--krb5-remote-service-name", service, "--krb5-principal"]);
    cli.args([user, "--krb5-keytab-path", &keytab(user)]);
    cli.arg("--krb5-config-path").arg(desk.krb5_conf());
    cli.arg("--keystore-path").arg(trust);
    cli.args(["--keystore-password", KEYSTORE_PASSWORD]);
    cli
}

/// Presto's JDBC driver with Kerberos, as `user` with the ticket of `principal`.
fn jdbc(
    desk: &Desk<'_>,
    authority: &str,
    principal: &str,
    user: &str,
    statements: &[&str],
) -> anyhow::Result<String> {
    let trust = world().lab.tls("trust.jks").display().to_string();
    let conf = desk.krb5_conf().display().to_string();
    let properties = [
        ("user", user),
        ("SSL", "true"),
        ("SSLTrustStorePath", &*trust),
        ("SSLTrustStorePassword", KEYSTORE_PASSWORD),
        ("KerberosRemoteServiceName", "presto"),
        ("KerberosPrincipal", principal),
        ("KerberosConfigPath", &*conf),
        ("KerberosKeytabPath", &*keytab(principal)),
    ];
    let url = format!("jdbc:presto://{authority}/system/runtime");
    desk.jdbc(Driver::Presto, &url, &properties, statements)
}

/// curl with alice's ticket.
fn curl() -> anyhow::Result<Command> {
    let mut curl = world().lab.curl("alice")?;
    curl.arg("--cacert").arg(world().lab.tls("proxy.pem"));
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
    let relayed = world()
        .gateway
        .metric("spnegate_stream_connections_total{stream=\"kdc\"")
        .unwrap();
    assert!(relayed >= 2.0, "{relayed}");
}

fn until_it_is(state: &str) {
    let what = format!("the coordinator is {state}");
    wait::until(&what, Duration::from_secs(60), || {
        let states = world().gateway.backends_of("presto")?;
        Ok((states["https://presto.example.com:7778"] == state).then_some(()))
    })
    .unwrap();
}

/// A query while there is no coordinator: told at once.
fn refused() -> String {
    let trust = world().lab.tls("proxy.pem").display().to_string();
    let url = format!("{CONSOLE}/v1/statement");
    let json = "Accept: application/json";
    // by HTTP/1.1, as Presto's clients speak: curl 7.88 gives up an upload whose stream ends early
    let how = ["--http1.1", "--cacert", &trust, "-H", json];
    let arguments = [&how[..], &["--data", ANSWER, &url]].concat();
    let fetched = world().lab.fetch("alice", &arguments).unwrap();
    assert_eq!(fetched.status, 503, "{fetched:?}");
    fetched.body
}

#[test]
fn a_coordinator_that_hangs_or_dies_is_told_at_once_and_used_again() {
    let World { lab, .. } = world();
    let works = || {
        let rows = Statement::run(curl, CONSOLE, ANSWER).unwrap().rows;
        assert_eq!(rows.len(), 2, "{rows:?}");
    };
    works();
    lab.pause(Server::PrestoTls).unwrap();
    until_it_is("down");
    assert!(refused().contains("backend_down"));
    lab.resume(Server::PrestoTls).unwrap();
    until_it_is("active");
    works();
    lab.kill9(Server::PrestoTls).unwrap();
    until_it_is("down");
    assert!(refused().contains("backend_down"));
    lab.start(Server::PrestoTls).unwrap();
    until_it_is("active");
    works();
}

/// Runs last, for the truststores of the others know the first certificate alone.
#[test]
fn zz_a_certificate_is_swapped_under_load() {
    let World { lab, .. } = world();
    let old = std::fs::read_to_string(lab.tls("proxy.pem")).unwrap();
    let both = lab.tls("both.pem");
    std::fs::write(&both, &old).unwrap();
    let with = |trust: std::path::PathBuf| {
        move || {
            let mut curl = world().lab.curl("alice")?;
            curl.arg("--cacert").arg(&trust);
            Ok(curl)
        }
    };
    let work = Load::start((0..2).map(|_| {
        let curl = with(both.clone());
        move || match Statement::run(&curl, CONSOLE, ANSWER) {
            Ok(statement) if statement.rows.len() == 2 => Turn::Done,
            Ok(statement) => Turn::Failed(format!("{statement:?}")),
            Err(error) => Turn::Failed(error.to_string()),
        }
    }));
    work.wait_more(10).unwrap();
    lab.renew_certificate("proxy", |renewed| {
        let apart = lab.tls("both.new");
        std::fs::write(&apart, format!("{old}{renewed}")).unwrap();
        std::fs::rename(apart, &both).unwrap();
    })
    .unwrap();
    let only_new = with(lab.tls("proxy-renewed.pem"));
    wait::until(
        "the new certificate is shown",
        Duration::from_secs(30),
        || Ok(Statement::run(&only_new, CONSOLE, ANSWER).ok()),
    )
    .unwrap();
    work.wait_more(10).unwrap();
    let tally = work.stop();
    println!("a certificate is swapped: {}", tally.line());
    assert_eq!(tally.failures, [""; 0]);
}

#[test]
fn the_cli_and_jdbc_dial_the_gateways_own_name() {
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
fn the_user_is_the_tickets_whatever_the_client_says() {
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
fn every_uri_in_the_answers_comes_back_to_the_gateway() {
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
fn clients_send_a_ticket_with_every_request_and_one_is_looked_at() {
    let logins = || {
        let line = "spnegate_logins_total{side=\"client\"";
        world().gateway.metric(line).unwrap()
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
