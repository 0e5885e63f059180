//! HTTP/2 clients: curl and Chromium, which differ in how they log in.

use spnegate::gss::Keytab;

use super::{Secure, secure};
use crate::{
    backend::{AfterResponse, Backend, Logins, backend, reply},
    proxy::Setup,
    world::world,
};

/// Runs curl with alice's ticket over HTTP/2, and returns its output.
fn curl(secure: &Secure, arguments: &[&str], path: &str) -> String {
    let cache = world().file("cc");
    let (users, alice) = (
        world().users.to_str().unwrap(),
        world().realm.principal("alice"),
    );
    let cache_name = cache.to_str().unwrap();
    world().realm.run(
        "kinit",
        &["-k", "-t", users, "-c", cache_name, &alice.to_string()],
    );
    let (host, port) = (&world().proxy, secure.gateway.address().port());
    let output = std::process::Command::new("curl")
        .env("KRB5CCNAME", &cache)
        .args([
            "-sS",
            "--max-time",
            "20",
            "--http2",
            "--negotiate",
            "-u",
            ":",
        ])
        .arg("--cacert")
        .arg(secure.ca.path("ca.pem"))
        .args(["--resolve", &format!("{host}:{port}:127.0.0.1")])
        .args(["-w", " %{http_version} %{http_code}"])
        .args(arguments)
        .arg(format!("https://{host}:{port}{path}"))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8(said).unwrap()
}

#[test]
fn curl_logs_in_over_http_2() {
    let backend = backend();
    let secure = secure(|s| s, &backend);
    let said = curl(&secure, &[], "/.spnegate/whoami");
    assert!(
        said.contains("\"alice\"") && said.ends_with(" 2 200"),
        "{said}"
    );
}

#[test]
fn uploads_of_curl_that_are_refused_immediately_end_cleanly() {
    const MANY: usize = 2000;
    let backend = backend();
    let secure = secure(|s| s, &backend);
    let body = world().file("body");
    std::fs::write(&body, vec![b'x'; 100_000]).unwrap();
    let (host, port) = (&world().proxy, secure.gateway.address().port());
    let output = std::process::Command::new("curl")
        .args(["-sS", "--http2", "--max-time", "60", "--cacert"])
        .arg(secure.ca.path("ca.pem"))
        .args(["--resolve", &format!("{host}:{port}:127.0.0.1")])
        .arg("--data-binary")
        .arg(format!("@{}", body.display()))
        .args([
            "-o",
            "/dev/null",
            "-w",
            "%{exitcode} %{http_version} %{http_code}\n",
        ])
        .arg(format!("https://{host}:{port}/x?[1-{MANY}]"))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let well = said.lines().filter(|line| *line == "0 2 401").count();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(well, MANY, "{said}{errors}");
    assert!(backend.seen().is_empty());
}

/// Chromium uses HTTP/2 until it is challenged and then stays on HTTP/1.1, because it binds
/// Negotiate to a connection.
#[test]
fn a_browser_that_falls_back_to_http_1_1_after_the_challenge_is_served() {
    let backend = backend();
    let log = world().file("log");
    let access = format!("access = \"{}\"", log.display());
    let realm = &world().realm;
    let service = realm.principal("HTTP/127.0.0.1");
    let mut keys = Keytab::load(&world().keytab).unwrap();
    let own = realm.add_with_keytab("address.keytab", &[&service]);
    keys.entries.extend(Keytab::load(&own).unwrap().entries);
    let merged = world().file("keytab");
    std::fs::write(&merged, keys.to_bytes()).unwrap();
    let set = |setup: Setup| {
        let setup = setup.set("log", &access).keytab(merged);
        setup.with("hosts = [\"127.0.0.1\"]")
    };
    let secure = secure(set, &backend);
    let (home, cache) = (world().file("home"), world().file("cc"));
    let (users, alice) = (world().users.to_str().unwrap(), realm.principal("alice"));
    let cache_name = cache.to_str().unwrap();
    let kinit = ["-k", "-t", users, "-c", cache_name, &alice.to_string()];
    realm.run("kinit", &kinit);
    let mut page = String::new();
    // the first start of a new profile never logs in: Chromium loads GSSAPI only if the profile
    // remembers Negotiate
    for _ in 0..4 {
        let output = std::process::Command::new("timeout")
            .args([
                "60",
                "chromium",
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
            ])
            .args([
                "--disable-quic",
                "--disable-dev-shm-usage",
                "--no-first-run",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
            ])
            .args([
                "--disable-sync",
                "--ignore-certificate-errors",
                "--dump-dom",
            ])
            .arg("--auth-server-allowlist=127.0.0.1")
            .arg(format!("--user-data-dir={}", home.display()))
            .arg(format!(
                "https://{}/.spnegate/whoami",
                secure.gateway.address()
            ))
            .env("HOME", &home)
            .env("KRB5CCNAME", &cache)
            .output()
            .expect("timeout of coreutils, and chromium (Debian package chromium)");
        page = String::from_utf8_lossy(&output.stdout).into_owned();
        if page.contains("alice") {
            break;
        }
    }
    let log = std::fs::read_to_string(log).unwrap();
    assert!(page.contains("alice"), "{page}\n{log}");
    assert!(log.contains("whoami HTTP/2.0\" 401"), "{log}");
    assert!(log.contains("whoami HTTP/1.1\" 200"), "{log}");
}

/// Sizes, in MiB, of uploads that are answered before their end.
const SIZES: [u64; 3] = [4, 64, 512];

/// Answers a PUT after its head and reads nothing more.
fn hasty() -> Backend {
    backend()
        .responds_early(|seen| {
            let answer = reply(307).with("Location", "/next").body("elsewhere");
            (seen.method == "PUT")
                .then(|| answer.with("Connection", "close").then(AfterResponse::Hang))
        })
        .responds(|_| reply(200).with("Content-Type", "text/html").body(UPLOADS))
}

/// Uploads a blob of each size and prints the results. Each blob consists of one repeated part:
/// Chromium sometimes refuses to hold 512 MiB before it has sent a request.
const UPLOADS: &str = "<pre>none</pre><script>(async () => {\
    const said = [], piece = new Blob([new Uint8Array(1 << 20)]);\
    for (const size of [4, 64, 512]) {\
        const body = new Blob(Array(size).fill(piece));\
        const sent = { method: 'PUT', body, redirect: 'manual' };\
        said.push(await fetch('/upload', sent).then((a) => a.type, (e) => String(e)));\
    }\
    document.querySelector('pre').textContent = said.join(' ');\
})();</script>";

#[test]
fn curl_receives_a_response_sent_before_the_end_of_its_upload() {
    let backend = hasty();
    let secure = secure(|s| s, &backend);
    for size in SIZES {
        let body = world().file("body");
        let file = std::fs::File::create(&body).unwrap();
        file.set_len(size << 20).unwrap();
        let said = curl(&secure, &["-T", body.to_str().unwrap()], "/upload");
        assert!(said.ends_with("elsewhere 2 307"), "{size} MiB: {said}");
    }
}

#[test]
fn a_browser_receives_a_response_sent_before_the_end_of_its_upload() {
    let backend = hasty().logins(Logins::Open);
    let log = world().file("log");
    let access = format!("access = \"{}\"", log.display());
    let secure = secure(|s| s.identity("none").set("log", &access), &backend);
    let home = world().file("home");
    let address = secure.gateway.address();
    let output = std::process::Command::new("timeout")
        .args([
            "120",
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
        ])
        .args([
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-quic",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
        ])
        .args([
            "--disable-sync",
            "--ignore-certificate-errors",
            "--dump-dom",
        ])
        .arg("--virtual-time-budget=100000")
        .arg(format!(
            "--host-resolver-rules=MAP {} 127.0.0.1",
            world().proxy
        ))
        .arg(format!("--user-data-dir={}", home.display()))
        .arg(format!("https://{}:{}/page", world().proxy, address.port()))
        .env("HOME", &home)
        .output()
        .expect("timeout of coreutils, and chromium (Debian package chromium)");
    let page = String::from_utf8_lossy(&output.stdout);
    // the status of a redirect that is not followed
    let expected = SIZES.map(|_| "opaqueredirect").join(" ");
    let log = std::fs::read_to_string(log).unwrap();
    assert!(
        page.contains(&format!("<pre>{expected}</pre>")),
        "{page}\n{log}"
    );
    let uploads = log.matches("PUT /upload HTTP/2.0\" 307").count();
    assert_eq!(uploads, SIZES.len(), "{log}");
}
