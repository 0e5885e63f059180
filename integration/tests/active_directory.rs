//! The gateway in an Active Directory (Samba's): changing keys, locked accounts, aliases, and SPNs
//! that share a key.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddrV4,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use lab::{Client, Domain, Gateway, Process, World, names, run, wait};
use serde_json::Value;
use spnegate::gss::Keytab;

const SERVICE: &str = "HTTP/proxy.example.com";
const OTHER: &str = "HTTP/other.example.com";
const ACCOUNT: &str = "websvc@EXAMPLE.COM";
/// Longer than the gateway's third attempt with a refused key takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The consoles: one sets a cookie at the login, one requires a login with every request.
const CONSOLES: [(&str, u16, bool); 2] = [("cookie", 8081, true), ("tokens", 8082, false)];

/// A domain with the gateway's account, that of the consoles, and the user alice.
struct Stage {
    domain: Domain,
    consoles: Vec<Process>,
    /// A counter for passwords, so that none is used twice.
    number: u32,
}

/// All tests use the one domain in turn. It ends with the process.
static STAGE: Mutex<Option<Stage>> = Mutex::new(None);

struct Turn(MutexGuard<'static, Option<Stage>>);

impl Turn {
    fn take() -> Turn {
        let mut stage = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
        stage.get_or_insert_with(Stage::set);
        Turn(stage)
    }

    fn stage(&mut self) -> &mut Stage {
        self.0.as_mut().unwrap()
    }
}

impl Stage {
    fn set() -> Stage {
        let folder = lab::default_folder();
        let domain = Domain::start(&folder, Duration::from_secs(600)).unwrap();
        domain
            .run(
                "user alice Alice-pass1\n\
                 account websvc Web-pass1 HTTP/proxy.example.com HTTP/other.example.com\n\
                 account console Console-pass1 HTTP/backend.example.com\n",
            )
            .unwrap();
        let mut stage = Stage {
            domain,
            consoles: Vec::new(),
            number: 0,
        };
        stage.restart_consoles();
        stage
    }

    /// Consoles that have only the current key.
    fn restart_consoles(&mut self) {
        for mut console in self.consoles.drain(..) {
            console.kill().unwrap();
        }
        let keytab = self
            .domain
            .keytab("console.keytab", &["HTTP/backend.example.com"])
            .unwrap();
        for (_, port, cookies) in CONSOLES {
            let console = self.domain.console(port, &keytab, cookies).unwrap();
            self.consoles.push(console);
        }
    }

    fn change_password(&mut self, account: &str) {
        self.number += 1;
        let line = format!("password {account} Other-pass{}\n", self.number);
        self.domain.run(&line).unwrap();
    }

    fn alice(&self) -> PathBuf {
        self.domain.kinit("alice", "Alice-pass1").unwrap()
    }

    /// Starts a gateway that logs in to the consoles as `principal` and probes them once per
    /// `interval`; it need not be ready.
    fn serve_with(&self, world: &World, keytab: &Path, principal: &str, interval: &str) -> Gateway {
        let folder = self.domain.folder().join("gateway");
        fs::create_dir_all(&folder).unwrap();
        let proxy = names::address("proxy").unwrap();
        let mut text = format!(
            "[kerberos]\nkeytab = \"{}\"\nprincipal = \"{principal}\"\nreplay_cache = \
             \"{}/rcache\"\n[admin]\nlisten = \"{proxy}:9095\"\n",
            keytab.display(),
            folder.display(),
        );
        for (name, port, _) in CONSOLES {
            let _ = write!(
                text,
                "[[console]]\nname = \"{name}\"\nkind = \"generic\"\nlisten = \"{proxy}:{port}\"\n\
                 backends = [\"http://backend.example.com:{port}\"]\nidentity = \"service\"\n\
                 hosts = [\"proxy.example.com\"]\nprobe = {{ interval = \"{interval}\" }}\n",
            );
        }
        let config = folder.join("spnegate.toml");
        fs::write(&config, text).unwrap();
        let log = self.domain.folder().join("logs/gateway.log");
        Gateway::serve(world, config, keytab.to_owned(), log).unwrap()
    }

    /// A gateway that probes the consoles every second.
    fn serve(&self, world: &World, keytab: &Path, principal: &str) -> Gateway {
        self.serve_with(world, keytab, principal, "1s")
    }

    /// The gateway's principal as a console sees it.
    fn seen_by(&self, port: u16, tickets: &Path) -> String {
        let url = format!("http://proxy.example.com:{port}/");
        let answer = self.domain.get(tickets, &url).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    /// `spnegate keytab verify`: each principal's finding.
    fn verify(&self, keytab: &Path) -> String {
        let mut tool = Gateway::tool(&self.domain.world()).unwrap();
        let output = tool
            .args(["keytab", "verify"])
            .arg(keytab)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

fn own_login(gateway: &Gateway) -> Option<Value> {
    let status = gateway.status().ok()?;
    status["own_logins"].as_array()?.first().cloned()
}

/// Changes the entries of a keytab file atomically.
fn edit(path: &Path, change: impl FnOnce(&mut Keytab)) {
    let mut keytab = Keytab::load(path).unwrap();
    change(&mut keytab);
    let new = path.with_extension("edited");
    fs::write(&new, keytab.to_bytes()).unwrap();
    fs::rename(new, path).unwrap();
}

#[test]
fn requests_succeed_after_a_console_has_changed_its_key() {
    let mut turn = Turn::take();
    let stage = turn.stage();
    let keytab = stage.domain.keytab("gateway.keytab", &[SERVICE, "websvc"]);
    // requests reach the console with the new key before the probe does
    let gateway = stage.serve_with(&stage.domain.world(), &keytab.unwrap(), ACCOUNT, "1h");
    gateway.wait_ready().unwrap();
    let alice = stage.alice();
    for _ in 0..2 {
        for (_, port, _) in CONSOLES {
            assert_eq!(stage.seen_by(port, &alice), ACCOUNT);
        }
    }
    stage.change_password("console");
    stage.restart_consoles();
    for (name, port, _) in CONSOLES {
        let begun = Instant::now();
        assert_eq!(stage.seen_by(port, &alice), ACCOUNT);
        println!(
            "new key of the console {name}: the first request took {:.0} ms",
            begun.elapsed().as_secs_f64() * 1e3
        );
        assert_eq!(stage.seen_by(port, &alice), ACCOUNT);
    }
    let refused = "its key may have changed";
    let log = gateway.log_lines().unwrap().join("\n");
    assert!(log.contains(refused), "{log}");
    // a login without a cookie is neither a warning nor a failure
    assert!(!log.contains("cannot log in"), "{log}");
}

#[test]
fn an_outdated_key_does_not_lock_the_account() {
    let mut turn = Turn::take();
    let stage = turn.stage();
    stage.domain.run("lockout 5\n").unwrap();
    let keytab = stage.domain.keytab("gateway.keytab", &[SERVICE, "websvc"]);
    let keytab = keytab.unwrap();
    stage.change_password("websvc");
    let begun = Instant::now();
    let gateway = stage.serve(&stage.domain.world(), &keytab, ACCOUNT);
    let refused = wait::until("the gateway has given up for a while", PATIENCE, || {
        Ok(own_login(&gateway).filter(|login| login["next_try_seconds"].as_u64() > Some(60)))
    });
    let refused = refused.unwrap();
    let problem = refused["problem"].as_str().unwrap();
    assert!(problem.contains("export the keytab again"), "{problem}");
    let bad = stage.domain.attribute("websvc", "badPwdCount").unwrap();
    println!(
        "outdated key: {bad} tries in {:.0} s, the next in {} s",
        begun.elapsed().as_secs_f64(),
        refused["next_try_seconds"]
    );
    assert_eq!(bad, "3");
    // users still get tickets for the account's SPN
    let mut kvno = stage
        .domain
        .world()
        .with_tickets(&stage.alice())
        .command("kvno");
    kvno.arg(SERVICE);
    run(kvno).unwrap();
    // the new key is used without a restart
    let begun = Instant::now();
    stage
        .domain
        .keytab("gateway.keytab", &[SERVICE, "websvc"])
        .unwrap();
    gateway.wait_ready().unwrap();
    println!(
        "new keytab: logged in after {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    assert_eq!(stage.seen_by(8081, &stage.alice()), ACCOUNT);
    assert_eq!(own_login(&gateway).unwrap()["logged_in"], true);
    let bad = stage.domain.attribute("websvc", "badPwdCount").unwrap();
    assert_eq!(bad, "0");
    stage.domain.run("lockout 0\n").unwrap();
}

#[test]
fn aliases_log_in_whatever_name_the_kdc_returns() {
    let mut turn = Turn::take();
    let stage = turn.stage();
    let upn = format!("set websvc userPrincipalName {SERVICE}@EXAMPLE.COM\n");
    stage.domain.run(&upn).unwrap();
    let keytab = stage.domain.keytab("gateway.keytab", &[SERVICE, "websvc"]);
    let keytab = keytab.unwrap();
    edit(&keytab, |keytab| {
        for entry in keytab.entries.clone() {
            if entry.principal.to_string() == ACCOUNT {
                let principal = "WEBSVC@EXAMPLE.COM".parse().unwrap();
                keytab
                    .entries
                    .push(spnegate::testing::Entry { principal, ..entry });
            }
        }
    });
    let plain = stage.domain.world();
    let canonical = stage
        .domain
        .world_with("canonical", "canonicalize = true")
        .unwrap();
    let alias = format!("{SERVICE}@EXAMPLE.COM");
    for (world, principal, seen) in [
        (&plain, &*alias, &*alias),
        (&canonical, &alias, ACCOUNT),
        (&canonical, "WEBSVC@EXAMPLE.COM", ACCOUNT),
    ] {
        let gateway = stage.serve(world, &keytab, principal);
        gateway.wait_ready().unwrap();
        assert_eq!(stage.seen_by(8081, &stage.alice()), seen);
        let login = own_login(&gateway).unwrap();
        let other = (seen != principal).then_some(seen);
        assert_eq!(login["known_as"].as_str(), other, "{login}");
    }
    stage.domain.run("set websvc userPrincipalName\n").unwrap();
}

/// One client request with a token; its status.
fn log_in(authorization: &str) -> u16 {
    let address = SocketAddrV4::new(names::address("proxy").unwrap(), 8081);
    let client = Client::new(address, "proxy.example.com");
    let mut client = client.header("Authorization", authorization);
    client.get("/.spnegate/whoami").unwrap().status
}

#[test]
fn a_ticket_is_accepted_by_its_service_name_in_any_case_and_key_order() {
    let mut turn = Turn::take();
    let stage = turn.stage();
    let alice = stage.domain.keytab("alice.keytab", &["alice"]).unwrap();
    let asked = [
        ("HTTP/proxy.example.com@EXAMPLE.COM", 200),
        ("HTTP/PROXY.EXAMPLE.COM@EXAMPLE.COM", 200),
        ("http/Proxy.example.com@EXAMPLE.COM", 200),
        ("HTTP/other.example.com@EXAMPLE.COM", 403),
        ("HTTP/OTHER.example.com@EXAMPLE.COM", 403),
    ];
    for order in [
        [SERVICE, OTHER, "websvc"],
        [OTHER, SERVICE, "websvc"],
        ["websvc", OTHER, SERVICE],
    ] {
        let keytab = stage.domain.keytab("gateway.keytab", &order).unwrap();
        let gateway = stage.serve(&stage.domain.world(), &keytab, ACCOUNT);
        gateway.wait_ready().unwrap();
        let services = asked.map(|(service, _)| service);
        let tokens = stage.domain.tokens(&alice, "alice@EXAMPLE.COM", &services);
        for ((service, status), token) in asked.iter().zip(tokens.unwrap()) {
            assert_eq!(log_in(&token), *status, "{service} {order:?}");
        }
    }
}

#[test]
fn keytab_verify_reports_the_cure() {
    let mut turn = Turn::take();
    let stage = turn.stage();
    let names = [
        "good", "weak", "outdated", "renamed", "off", "expired", "old",
    ];
    for name in names {
        stage
            .domain
            .run(&format!(
                "account {name} First-pass1 HTTP/{name}.example.com\n"
            ))
            .unwrap();
    }
    stage
        .domain
        .run("set old userAccountControl 512\nset old pwdLastSet 0\n")
        .unwrap();
    let files: Vec<PathBuf> = names
        .iter()
        .map(|name| {
            let spn = format!("HTTP/{name}.example.com");
            let file = format!("{name}.keytab");
            stage.domain.keytab(&file, &[&spn, name]).unwrap()
        })
        .collect();
    // the procedure of operators that allow only AES in their keytabs
    edit(&files[1], |keytab| {
        keytab.entries.retain(|entry| !entry.enctype.is_weak());
    });
    stage.change_password("outdated");
    stage
        .domain
        .run(
            "set weak msDS-SupportedEncryptionTypes\nset renamed userPrincipalName\n\
             set renamed sAMAccountName successor\nset off userAccountControl 66050\n\
             set expired accountExpires 132000000000000000\n",
        )
        .unwrap();
    for (file, words) in files.iter().zip([
        [
            "HTTP/good.example.com@EXAMPLE.COM: ok, kvno 2",
            "good@EXAMPLE.COM: ok, as a client",
        ],
        [
            "NO KEY OF THIS TYPE: the KDC makes arcfour-hmac tickets",
            "msDS-SupportedEncryptionTypes",
        ],
        [
            "outdated@EXAMPLE.COM, which could request a ticket, has an old or wrong key",
            "WRONG KEY OR OLD KVNO",
        ],
        [
            "renamed@EXAMPLE.COM, which could request a ticket, is not in",
            "renamed@EXAMPLE.COM: UNKNOWN PRINCIPAL",
        ],
        ["DISABLED", "Enable-ADAccount"],
        ["EXPIRED", "Clear-ADAccountExpiration"],
        ["PASSWORD EXPIRED", "-PasswordNeverExpires"],
    ]) {
        let said = stage.verify(file);
        for word in words {
            assert!(said.contains(word), "{word} is not in:\n{said}");
        }
    }
    // one wrong password locks the account
    stage.domain.run("lockout 1\n").unwrap();
    assert!(stage.domain.kinit("good", "Wrong-pass1").is_err());
    let said = stage.verify(&files[0]);
    assert!(said.contains("Unlock-ADAccount"), "{said}");
    stage.domain.run("lockout 0\nunlock good\n").unwrap();
    assert!(stage.verify(&files[0]).contains("ok, as a client"));
}
