//! Every console through the gateway by curl: the effective user, refusals, and that nothing of the
//! gateway's own login reaches the client.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::{fs, sync::OnceLock};

use lab::{Console, Fetched, Gateway, Server, Stage};
use serde_json::Value;

/// One lab and one gateway for all tests of this file; they end with the process.
fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| Stage::set(Server::HADOOP, "").unwrap())
}

fn get(user: &str, console: Console, path: &str) -> Fetched {
    let fetched = stage().lab.fetch(user, &[&Gateway::url(console, path)]);
    fetched.unwrap()
}

/// A page of each console, and what it says.
const PAGES: &[(Console, &str, &str)] = &[
    (
        Console::NameNode,
        "/jmx?qry=java.lang:type=Runtime",
        "beans",
    ),
    (Console::NameNode, "/dfshealth.html", "NameNode"),
    (
        Console::NameNode,
        "/webhdfs/v1/user/alice?op=GETFILESTATUS",
        "\"owner\":\"alice\"",
    ),
    (Console::ResourceManager, "/cluster", "Logged in as: alice"),
    (Console::ResourceManager, "/ws/v1/cluster/apps", "apps"),
    (Console::JobHistory, "/jobhistory", "Logged in as: alice"),
    (Console::JobHistory, "/ws/v1/history/info", "historyInfo"),
    (Console::Oozie, "/oozie/v1/admin/status", "NORMAL"),
    (Console::Oozie, "/oozie/v1/jobs", "workflows"),
    (
        Console::HttpFs,
        "/webhdfs/v1/user/alice?op=GETFILESTATUS",
        "\"owner\":\"alice\"",
    ),
];

#[test]
fn alice_reads_every_console_and_receives_nothing_of_the_gateways_login() {
    for (console, path, words) in PAGES {
        let fetched = get("alice", *console, path);
        assert_eq!(fetched.status, 200, "{console:?} {path}: {fetched:?}");
        assert!(
            fetched.body.contains(words),
            "{console:?} {path}: {fetched:?}"
        );
        assert!(!fetched.heads.contains("hadoop.auth"), "{fetched:?}");
        let cookies = fetched.headers("set-cookie");
        let ours = cookies
            .iter()
            .filter(|cookie| cookie.starts_with("spnegate="));
        assert_eq!(ours.count(), 1, "{fetched:?}");
        // the gateway's own mutual token for the client
        let tokens = fetched.headers("www-authenticate");
        assert_eq!(tokens.len(), 1, "{fetched:?}");
        assert!(tokens[0].len() > "Negotiate ".len(), "{fetched:?}");
    }
}

#[test]
fn a_session_opens_every_console_with_one_login() {
    let Stage { lab, gateway } = stage();
    let jar = lab.folder().join("jar");
    let jar = jar.display().to_string();
    let _ = fs::remove_file(&jar);
    let logins = || {
        gateway
            .metric("spnegate_logins_total{side=\"client\"")
            .unwrap()
    };
    let before = logins();
    let first = Gateway::url(Console::NameNode, "/jmx?qry=java.lang:type=Runtime");
    assert_eq!(
        lab.fetch("alice", &["-c", &jar, &first]).unwrap().status,
        200
    );
    for (console, path, words) in PAGES {
        let url = Gateway::url(*console, path);
        let fetched = lab
            .fetch_without_ticket(&["-b", &jar, "-c", &jar, &url])
            .unwrap();
        assert_eq!(fetched.status, 200, "{fetched:?}");
        assert!(fetched.body.contains(words), "{fetched:?}");
        assert!(
            fetched.headers("www-authenticate").is_empty(),
            "{fetched:?}"
        );
        assert!(!fetched.heads.contains("hadoop.auth"), "{fetched:?}");
    }
    let count = logins() - before;
    println!(
        "{} requests on {} consoles, {count} login",
        PAGES.len() + 1,
        Console::ALL.len()
    );
    assert!((count - 1.0).abs() < 0.5);
}

#[test]
fn hdfs_acts_as_alice() {
    let lab = &stage().lab;
    for (console, name) in [
        (Console::NameNode, "by-namenode"),
        (Console::HttpFs, "by-httpfs"),
    ] {
        let path = format!("/webhdfs/v1/user/alice/{name}");
        let url = Gateway::url(console, &format!("{path}?op=MKDIRS"));
        let made = lab.fetch("alice", &["-X", "PUT", &url]).unwrap();
        assert_eq!(made.status, 200, "{made:?}");
        let listed = get("alice", console, &format!("{path}?op=GETFILESTATUS"));
        assert!(listed.body.contains("\"owner\":\"alice\""), "{listed:?}");
    }
    // carol's home directory has mode 750
    let foreign = get(
        "alice",
        Console::NameNode,
        "/webhdfs/v1/user/carol?op=LISTSTATUS",
    );
    assert_eq!(foreign.status, 403, "{foreign:?}");
    assert!(foreign.body.contains("user=alice"), "{foreign:?}");
}

#[test]
fn no_spelling_of_doas_changes_the_user() {
    for name in ["doas", "doAs", "DOAS", "do%41s", "user.name"] {
        for console in [Console::NameNode, Console::HttpFs] {
            let path = format!("/webhdfs/v1/?{name}=bob&op=GETHOMEDIRECTORY");
            let mut fetched = get("alice", console, &path);
            fetched.body = fetched.body.replace("\\/", "/");
            assert!(!fetched.body.contains("/user/bob"), "{name}: {fetched:?}");
            if fetched.status == 200 {
                assert!(fetched.body.contains("/user/alice"), "{name}: {fetched:?}");
            }
        }
    }
}

#[test]
fn yarn_acts_as_alice() {
    let lab = &stage().lab;
    let json = "Content-Type: application/json";
    let new = Gateway::url(
        Console::ResourceManager,
        "/ws/v1/cluster/apps/new-application",
    );
    let fresh = lab.fetch("alice", &["-X", "POST", &new]).unwrap();
    assert_eq!(fresh.status, 200, "{fresh:?}");
    let fresh: Value = serde_json::from_str(&fresh.body).unwrap();
    let id = fresh["application-id"].as_str().unwrap();
    let app = serde_json::json!({
        "application-id": id,
        "application-name": "hello",
        "application-type": "YARN",
        "am-container-spec": { "commands": { "command": "true" } },
        "max-app-attempts": 1,
        "resource": { "memory": 128, "vCores": 1 },
    });
    let apps = Gateway::url(Console::ResourceManager, "/ws/v1/cluster/apps");
    let body = app.to_string();
    let submitted = lab
        .fetch("alice", &["-H", json, "-d", &body, &apps])
        .unwrap();
    assert_eq!(submitted.status, 202, "{submitted:?}");
    let known = get(
        "alice",
        Console::ResourceManager,
        &format!("/ws/v1/cluster/apps/{id}"),
    );
    let known: Value = serde_json::from_str(&known.body).unwrap();
    assert_eq!(known["app"]["user"], "alice", "{known}");
    println!("YARN: {id} is alice's");
}

#[test]
fn oozie_acts_as_alice() {
    let lab = &stage().lab;
    let folder = lab.folder().join("workflow");
    fs::create_dir_all(&folder).unwrap();
    fs::write(
        folder.join("workflow.xml"),
        "<workflow-app xmlns='uri:oozie:workflow:0.5' name='hello'>\
         <start to='end'/><end name='end'/></workflow-app>",
    )
    .unwrap();
    // the user in a job's configuration is ignored
    let job = format!(
        "<configuration>\
         <property><name>user.name</name><value>alice</value></property>\
         <property><name>oozie.wf.application.path</name><value>file://{}</value></property>\
         </configuration>",
        folder.display()
    );
    let url = Gateway::url(Console::Oozie, "/oozie/v1/jobs?action=start");
    let xml = "Content-Type: application/xml;charset=UTF-8";
    let submitted = lab.fetch("alice", &["-H", xml, "-d", &job, &url]).unwrap();
    assert_eq!(submitted.status, 201, "{submitted:?}");
    let submitted: Value = serde_json::from_str(&submitted.body).unwrap();
    let id = submitted["id"].as_str().unwrap();
    let known = get(
        "alice",
        Console::Oozie,
        &format!("/oozie/v1/job/{id}?show=info"),
    );
    let known: Value = serde_json::from_str(&known.body).unwrap();
    assert_eq!(known["user"], "alice", "{known}");
    println!("Oozie: {id} is alice's");
}

/// curl labels `--data-binary` as a form, whatever the data are.
#[test]
fn large_bodies_in_curls_default_type_reach_the_server_unless_they_name_a_user() {
    let lab = &stage().lab;
    let file = lab.folder().join("large");
    let data = format!("@{}", file.display());
    let url = Gateway::url(Console::Oozie, "/oozie/v1/jobs");
    let post = |text: String| {
        fs::write(&file, text).unwrap();
        lab.fetch("alice", &["--data-binary", &data, &url]).unwrap()
    };
    // Jetty accepts forms up to 200,000 bytes for Oozie, and reports larger ones itself
    for (unit, size, words) in [
        ("name=value ", 150_000, "E0300"),
        ("{\"a\": [1, 2, 3]},\n", 150_000, "E0300"),
        ("name=value ", 4_000_000, "Unable to parse form content"),
    ] {
        let text = unit.repeat(size / unit.len());
        let fetched = post(text.clone());
        println!(
            "{size} bytes of {unit:?}: {} {}",
            fetched.status, fetched.body
        );
        assert!(fetched.body.contains(words), "{fetched:?}");
        let fetched = post(text + "&doAs=bob");
        // unless the server has answered before
        let refused = fetched.body.contains("bad_form");
        assert!(refused || size > 200_000, "{fetched:?}");
        assert_eq!(fetched.status, 400, "{fetched:?}");
    }
}

#[test]
fn every_console_refuses_carol_after_her_login_without_a_loop() {
    let oozie = "oozie.service.ProxyUserService.proxyuser.spnegate.";
    for (console, path, property) in [
        (
            Console::NameNode,
            "/webhdfs/v1/?op=LISTSTATUS",
            "hadoop.proxyuser.spnegate.",
        ),
        (
            Console::ResourceManager,
            "/ws/v1/cluster/apps",
            "hadoop.proxyuser.spnegate.",
        ),
        (
            Console::ResourceManager,
            "/cluster",
            "hadoop.proxyuser.spnegate.",
        ),
        (
            Console::JobHistory,
            "/ws/v1/history/info",
            "hadoop.proxyuser.spnegate.",
        ),
        (Console::Oozie, "/oozie/v1/jobs", oozie),
        (
            Console::HttpFs,
            "/webhdfs/v1/?op=LISTSTATUS",
            "httpfs.proxyuser.spnegate.",
        ),
    ] {
        let before = backend_logins();
        for _ in 0..3 {
            let fetched = get("carol", console, path);
            assert_eq!(fetched.status, 403, "{console:?}: {fetched:?}");
            assert!(!fetched.heads.contains("hadoop.auth"), "{fetched:?}");
            let said = format!("{}{}", fetched.heads, fetched.body);
            assert!(said.contains("carol"), "{console:?}: {fetched:?}");
            assert_eq!(
                fetched.headers("x-spnegate-reason"),
                ["impersonation_denied"],
                "{console:?}: {fetched:?}"
            );
            let rule = format!("{property}groups must name a group of carol");
            assert!(said.contains(&rule), "{console:?}: {fetched:?}");
        }
        assert!(
            backend_logins() - before < 1.5,
            "{console:?}: a loop of logins"
        );
    }
}

/// `hdfs dfs` parses a `RemoteException`; its `Accept` names HTML first.
#[test]
fn hadoops_client_prints_the_missing_proxyuser_setting() {
    let lab = &stage().lab;
    let port = Console::NameNode.port();
    let url = format!("webhdfs://proxy.example.com:{port}/");
    let mut ls = lab.hadoop("carol", "fs").unwrap();
    let output = ls.args(["-ls", &url]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    println!("hdfs dfs -ls as carol: {said}");
    assert!(!output.status.success());
    assert!(
        said.contains("spnegate is not allowed to impersonate carol"),
        "{said}"
    );
    assert!(
        said.contains("hadoop.proxyuser.spnegate.groups must name a group of carol"),
        "{said}"
    );
    assert!(
        said.contains("hdfs dfsadmin -refreshSuperUserGroupsConfiguration"),
        "{said}"
    );
}

fn backend_logins() -> f64 {
    let gateway = &stage().gateway;
    gateway
        .metric("spnegate_logins_total{side=\"backend\"")
        .unwrap()
}

#[test]
fn without_a_ticket_the_page_explains_how_to_log_in() {
    let lab = &stage().lab;
    for console in Console::ALL {
        let url = Gateway::url(*console, "/");
        let page = lab
            .fetch_without_ticket(&["-H", "Accept: text/html", &url])
            .unwrap();
        assert_eq!(page.status, 401);
        assert_eq!(page.headers("www-authenticate"), ["Negotiate"]);
        assert!(page.body.contains("AuthServerAllowlist"), "{page:?}");
        assert!(page.body.contains("proxy.example.com"), "{page:?}");
    }
}

#[test]
fn a_ticket_for_another_service_is_refused() {
    let lab = &stage().lab;
    let url = Gateway::url(Console::NameNode, "/jmx");
    // the gateway's own principal is in the same keytab
    let other = lab
        .fetch("alice", &["--service-name", "spnegate", &url])
        .unwrap();
    assert_eq!(other.status, 403, "{other:?}");
    assert!(other.body.contains("wrong_service"), "{other:?}");
    // a NameNode's is not
    let other = lab.fetch(
        "alice",
        &[
            "--connect-to",
            "nn1.example.com:50070:proxy.example.com:50070",
            "-H",
            "Host: proxy.example.com:50070",
            "http://nn1.example.com:50070/jmx",
        ],
    );
    let other = other.unwrap();
    assert_eq!(other.status, 401, "{other:?}");
    assert!(other.headers("set-cookie").is_empty(), "{other:?}");
}

#[test]
fn every_method_logs_in_like_get() {
    let lab = &stage().lab;
    let url = Gateway::url(Console::NameNode, "/jmx?qry=java.lang:type=Runtime");
    let head = lab.fetch("alice", &["-I", &url]).unwrap();
    assert_eq!(head.status, 200, "{head:?}");
    assert_eq!(head.headers("set-cookie").len(), 1, "{head:?}");
    // Oozie's own client starts with this method
    let url = Gateway::url(Console::Oozie, "/oozie/versions");
    let options = lab.fetch("alice", &["-X", "OPTIONS", &url]).unwrap();
    assert_eq!(options.status, 200, "{options:?}");
    let options = lab.fetch_without_ticket(&["-X", "OPTIONS", &url]).unwrap();
    assert_eq!(options.status, 401, "{options:?}");
    let url = Gateway::url(
        Console::ResourceManager,
        "/ws/v1/cluster/apps/new-application",
    );
    let post = lab.fetch_without_ticket(&["-X", "POST", &url]).unwrap();
    assert_eq!(post.status, 401, "{post:?}");
}
