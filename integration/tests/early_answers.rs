//! A response that is sent before the end of an upload reaches its client over HTTP/2 and HTTP/1.1
//! at any size: the NameNode's redirect to a DataNode (307), and the gateway's challenge (401).
//! Most clients continue to send for a while, and some read nothing until they have sent
//! everything.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use lab::{Console, Lab, Server, Stage, run};

const PROXY: &str = "127.0.10.15";
const PORT: u16 = 8443;
const MIB: u64 = 1 << 20;
/// Sizes of the uploads, in MiB.
const SIZES: [u64; 3] = [4, 64, 512];
/// Maximum growth of the gateway's memory for all uploads.
const BOUND: u64 = 64 * MIB;

fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| {
        Stage::with(Server::HDFS, |gateway, lab| {
            gateway.sections(&secure_console(lab))
        })
        .unwrap()
    })
}

/// The NameNodes once more, behind TLS.
fn secure_console(lab: &Lab) -> String {
    let (cert, key) = (
        lab.folder().join("proxy.pem"),
        lab.folder().join("proxy.key"),
    );
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
    ]);
    openssl.args(["-subj", "/CN=proxy.example.com"]);
    openssl.args(["-addext", "subjectAltName=DNS:proxy.example.com"]);
    openssl.arg("-out").arg(&cert).arg("-keyout").arg(&key);
    run(openssl).unwrap();
    format!(
        "[[console]]\nname = \"secure\"\nkind = \"namenode\"\nidentity = \"doas\"\n\
         listen = \"{PROXY}:{PORT}\"\nbackends = {:?}\n\
         nodes = {{ hosts = [\"*.example.com\"], ports = [50075] }}\n\
         tls = {{ cert = \"{}\", key = \"{}\" }}\n",
        Console::NameNode.backends(lab),
        cert.display(),
        key.display()
    )
}

fn url(path: &str) -> String {
    format!("https://proxy.example.com:{PORT}{path}")
}

/// alice's session, by TLS.
fn session() -> &'static str {
    static SESSION: OnceLock<String> = OnceLock::new();
    SESSION.get_or_init(|| {
        let mut curl = stage().lab.curl("alice").unwrap();
        curl.args(["-k", "-o", "/dev/null", "-D", "-"]);
        curl.arg(url("/.spnegate/whoami"));
        let heads = run(curl).unwrap();
        let mut cookies = heads.lines().filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("set-cookie")
                .then(|| value.trim())
        });
        let cookie = cookies.next().unwrap().split(';').next().unwrap();
        cookie.to_owned()
    })
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn files() -> Vec<PathBuf> {
    let file = |size: &u64| {
        let path = stage().lab.folder().join(format!("{size}MiB"));
        File::create(&path).unwrap().set_len(size * MIB).unwrap();
        path
    };
    SIZES.iter().map(file).collect()
}

/// Both responses, by a program that uploads files over HTTP/2 and then over HTTP/1.1, and prints
/// the version and status of each response on a line.
fn every_upload_is_answered(client: &str, program: impl Fn() -> Command) {
    let gateway = &stage().gateway;
    let create = url("/webhdfs/v1/user/alice/early?op=CREATE&overwrite=true");
    let cookie = session();
    let before = gateway.rss().unwrap();
    gateway.forget_peak().unwrap();
    for (cookie, status) in [(cookie, 307), ("", 401)] {
        let mut program = program();
        program.arg(&create).arg(cookie).args(files());
        let said = run(program).unwrap();
        let expected: String = ["2", "1.1"]
            .into_iter()
            .flat_map(|version| SIZES.map(|_| format!("{version} {status}\n")))
            .collect();
        assert_eq!(said, expected, "{client}");
    }
    let grown = gateway.peak().unwrap().saturating_sub(before);
    println!(
        "{client}: uploads of {SIZES:?} MiB answered by 307 and 401 before their end, over HTTP/2 and \
         HTTP/1.1; the gateway grew by {} MiB",
        grown / MIB
    );
    assert!(grown < BOUND, "memory is not bounded");
}

#[test]
fn curl_reads_a_response_sent_before_the_end_of_its_upload() {
    const PUT: &str = "url=$1 cookie=$2; shift 2; for version in --http2 --http1.1; do for file; do \
        curl -sSk --max-time 120 $version -H \"Cookie: $cookie\" -T $file -o /dev/null \
        -w '%{http_version} %{http_code}\\n' \"$url\" || exit; done; done";
    every_upload_is_answered("curl", || {
        let mut shell = stage().lab.command("sh");
        shell.args(["-c", PUT, "sh"]);
        shell
    });
}

#[test]
fn httpx_reads_a_response_sent_before_the_end_of_its_upload() {
    every_upload_is_answered("httpx", || {
        let program = lab::httpx_python().unwrap();
        let mut python = stage().lab.command(program.to_str().unwrap());
        python.arg(source("python/upload.py"));
        python
    });
}

#[test]
fn java_reads_a_response_sent_before_the_end_of_its_upload() {
    let mut homes = vec![("Java 17", lab::java_home().unwrap())];
    match lab::home_for_trino() {
        Ok(home) => homes.push(("a later Java", home)),
        Err(error) => println!("not tried with a later Java: {error}"),
    }
    for (name, home) in homes {
        every_upload_is_answered(name, || {
            let program = home.join("bin/java");
            let mut java = stage().lab.command(program.to_str().unwrap());
            let hosts = stage().lab.folder().join("jvm-hosts");
            java.arg(format!("-Djdk.net.hosts.file={}", hosts.display()));
            java.arg(source("java/Upload.java"));
            java
        });
    }
}

#[test]
fn go_reads_a_response_sent_before_the_end_of_its_upload() {
    if Command::new("go").arg("version").output().is_err() {
        println!("not tried with Go: there is no `go` on this machine");
        return;
    }
    let folder = stage().lab.folder().join("go");
    let program = folder.join("upload");
    let mut build = Command::new("go");
    build
        .args(["build", "-o"])
        .arg(&program)
        .arg(source("go/upload.go"));
    run(build).unwrap();
    every_upload_is_answered("Go", || {
        let mut go = stage().lab.command(program.to_str().unwrap());
        go.env("UPLOAD_TO", format!("{PROXY}:{PORT}"));
        go
    });
}
