//! Keys and processes change under load: no login and no request fails.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::{
    fs,
    io::ErrorKind,
    path::Path,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use lab::{Client, Console, Gateway, Lab, Load, SERVICE, Server, Turn, World, wait};

/// The tests take the one place for a lab in turn, and share what the first has started.
static LAB: Mutex<Option<Lab>> = Mutex::new(None);

fn with_lab(test: impl FnOnce(&Lab)) {
    let mut lab = LAB
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let lab = lab.get_or_insert_with(|| {
        Lab::builder()
            .with([Server::Nn1])
            .wait_for_turn(Duration::from_secs(600))
            .start()
            .unwrap()
    });
    test(lab);
}

const PATH: &str = "/webhdfs/v1/?op=GETHOMEDIRECTORY";

/// One login by curl; `tickets` is what it has in its cache.
fn login(world: &World, tickets: &Path) -> Turn {
    let mut curl: Command = world.clone().with_tickets(tickets).command("curl");
    curl.args([
        "-sS",
        "--max-time",
        "60",
        "--negotiate",
        "-u",
        ":",
        "-w",
        " %{http_code}",
    ]);
    curl.arg(Gateway::url(Console::NameNode, PATH));
    let output = curl.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if said.ends_with(" 200") && said.contains("/user/alice") {
        Turn::Done
    } else {
        Turn::Failed(said + &String::from_utf8_lossy(&output.stderr))
    }
}

#[test]
fn no_login_fails_during_a_key_change_or_with_an_unreadable_keytab() {
    with_lab(|lab| {
        let gateway = Gateway::builder(lab)
            .console(Console::NameNode)
            .start()
            .unwrap();
        // A cache with the login alone: each client that starts from it asks the KDC for a fresh
        // service ticket, with the newest key.
        let fresh = lab.realm().kinit("alice").unwrap();
        let only_tgt = lab.folder().join("tgt");
        fs::copy(&fresh, &only_tgt).unwrap();
        // And one that keeps the service ticket it has, with the oldest key.
        let kept = lab.folder().join("kept");
        fs::copy(&fresh, &kept).unwrap();
        assert!(matches!(login(&lab.world(), &kept), Turn::Done));

        let number = AtomicU64::new(0);
        let turns = (0..3).map(|thread| {
            let (world, only_tgt, kept) = (lab.world(), only_tgt.clone(), kept.clone());
            let number = number.fetch_add(1, Ordering::Relaxed);
            let own = lab.folder().join(format!("tickets-{number}"));
            move || {
                if thread == 0 {
                    return login(&world, &kept);
                }
                fs::copy(&only_tgt, &own).unwrap();
                login(&world, &own)
            }
        });
        let load = Load::start(turns.collect::<Vec<_>>());
        load.wait_more(30).unwrap();

        for round in 1..=2 {
            let (change, append) = follow(lab, &gateway, &load);
            load.wait_more(30).unwrap();
            println!(
                "key changed, round {round}: the KDC had it {:.0} ms before the file did",
                (append - change).as_secs_f64() * 1e3
            );
        }
        break_and_mend(&gateway, || load.wait_more(30).unwrap());
        let tally = load.stop();
        println!(
            "logins over two key changes and a broken file: {}",
            tally.line()
        );
        assert_eq!(tally.failures, [""; 0]);
        assert_eq!(gateway.status().unwrap()["keytab"]["valid"], true);
    });
}

/// The KDC receives the new key first; the file follows by a rename and contains the old keys too.
/// Returns the times of both changes.
fn follow(lab: &Lab, gateway: &Gateway, load: &Load) -> (Instant, Instant) {
    let next = gateway.keytab().with_extension("next");
    fs::copy(gateway.keytab(), &next).unwrap();
    let begun = Instant::now();
    lab.realm()
        .kadmin(&[
            format!("cpw -randkey {SERVICE}"),
            format!("ktadd -norandkey -k {} {SERVICE}", next.display()),
        ])
        .unwrap();
    // clients with a new ticket wait in the meantime, the one with an old ticket continues
    load.wait_more(2).unwrap();
    fs::rename(&next, gateway.keytab()).unwrap();
    (begun, Instant::now())
}

/// The file is invalid until the gateway has reported it, and then valid again.
fn break_and_mend(gateway: &Gateway, meanwhile: impl Fn()) {
    let whole = fs::read(gateway.keytab()).unwrap();
    fs::write(gateway.keytab(), b"no keytab").unwrap();
    let noticed = |valid: bool| {
        let what = format!("the gateway has seen that the file is valid: {valid}");
        wait::until(&what, Duration::from_secs(60), || {
            let status = gateway.status()?;
            Ok((status["keytab"]["valid"] == valid).then_some(()))
        })
        .unwrap();
    };
    noticed(false);
    meanwhile();
    fs::write(gateway.keytab(), whole).unwrap();
    noticed(true);
    meanwhile();
}

/// As Ambari and Cloudera Manager do it: the server's keytab is created again and the server
/// restarted while the gateway holds a ticket for the old key.
#[test]
fn requests_succeed_after_a_namenode_has_changed_its_key() {
    const SPN: &str = "HTTP/nn1.example.com";
    with_lab(|lab| {
        let gateway = Gateway::builder(lab)
            .console(Console::NameNode)
            .start()
            .unwrap();
        let tickets = lab.realm().kinit("alice").unwrap();
        assert!(matches!(login(&lab.world(), &tickets), Turn::Done));
        lab.realm().change_key(SPN).unwrap();
        lab.realm().replace_keytab(SPN).unwrap();
        // a server that loses its signing secret no longer accepts its cookies
        fs::write(
            lab.folder().join("http-secret"),
            "another secret of the lab",
        )
        .unwrap();
        lab.kill9(Server::Nn1).unwrap();
        lab.start(Server::Nn1).unwrap();
        let url = Server::Nn1.url().unwrap();
        let begun = Instant::now();
        gateway.wait_backend("namenode", &url, "active").unwrap();
        println!(
            "new key of the NameNode: active at the gateway {:.1} s after the restart",
            begun.elapsed().as_secs_f64()
        );
        assert!(matches!(login(&lab.world(), &tickets), Turn::Done));
        let log = gateway.log_lines().unwrap().join("\n");
        assert!(log.contains("its key may have changed"), "{log}");
        assert!(
            !log.contains("cannot log in to the backend: the backend refused"),
            "{log}"
        );
    });
}

#[test]
fn no_request_fails_when_the_gateway_receives_sigterm() {
    with_lab(|lab| {
        let gateway = Gateway::builder(lab)
            .console(Console::NameNode)
            .start()
            .unwrap();
        let session = lab.session(
            "alice",
            &Gateway::url(Console::NameNode, "/.spnegate/whoami"),
        );
        let session = session.unwrap();
        let turns = (0..8).map(|thread| {
            let client = || Gateway::client(Console::NameNode).header("Cookie", &session);
            let mut client = client();
            // half of them come anew for every request
            if thread % 2 == 1 {
                client = client.header("Connection", "close");
            }
            move || one(&mut client)
        });
        let load = Load::start(turns.collect::<Vec<_>>());
        load.wait_more(200).unwrap();
        let begun = Instant::now();
        gateway.term().unwrap();
        // every thread ends when nobody listens any more
        let tally = load.wait_over();
        let status = gateway.wait_ended().unwrap();
        println!(
            "SIGTERM under load: ended after {:.2} s, {}",
            begun.elapsed().as_secs_f64(),
            tally.line()
        );
        assert!(status.success(), "{status}");
        assert_eq!(tally.failures, [""; 0]);
    });
}

/// One request; a refused connection ends the thread, every other error is a failure.
fn one(client: &mut Client) -> Turn {
    match client.connect() {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Turn::Over,
        Err(error) => return Turn::Failed(format!("connect: {error}")),
        Ok(()) => {}
    }
    match client.get(PATH) {
        Ok(reply) if reply.status == 200 => Turn::Done,
        Ok(reply) => Turn::Failed(format!("{} {}", reply.status, reply.text())),
        Err(error) => Turn::Failed(error.to_string()),
    }
}
