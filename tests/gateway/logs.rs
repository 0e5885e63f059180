//! The contents of the access log, and secrets that no log may contain.

use spnegate::testing::Refusal;

use crate::{
    backend::{Logins, backend, reply},
    proxy::gateway,
    realm::eventually,
    world::world,
};

#[test]
fn the_access_log_contains_users_and_reasons_and_no_secret() {
    for format in ["text", "json"] {
        let datanode = backend().logins(Logins::Open);
        let place = format!(
            "{}/webhdfs/v1/f?op=OPEN&delegation=tokenneedle",
            datanode.url()
        );
        let namenode = backend().responds(move |seen| match seen.path() {
            "/webhdfs/v1/f" => reply(307).with("Location", &place),
            _ => reply(200).body("page"),
        });
        let file = world().file("access");
        let (host, port) = (datanode.address().ip(), datanode.address().port());
        let gateway = gateway()
            .console("namenode")
            .identity("doas")
            .backend(&namenode)
            .with(&format!(
                "nodes = {{ hosts = [\"{host}\"], ports = [{port}] }}"
            ))
            .set(
                "log",
                &format!("access = \"{}\"\nformat = \"{format}\"", file.display()),
            )
            .run();
        let token = world().authorization("bob");
        let login = gateway
            .ask("GET /page")
            .header("Authorization", &token)
            .response();
        let session = login.session().unwrap();
        gateway
            .ask("GET /page?doAs=doasneedle&delegation=queryneedle&user.name=nameneedle")
            .header("Cookie", &session)
            .response()
            .is_ok("page");
        let answer = gateway
            .ask("GET /webhdfs/v1/f?op=OPEN")
            .by("alice")
            .response();
        let link = answer.header("location").unwrap();
        let path = &link[link.find("/.spnegate").unwrap()..];
        assert_eq!(
            gateway
                .ask(&format!("GET {path}"))
                .by("alice")
                .response()
                .status,
            200
        );
        let line_break = gateway
            .ask("GET /a/../b")
            .header("User-Agent", "a\"\\ b {\"user\":\"root\"}")
            .header("Referer", "http://x/?delegation=refererneedle")
            .response();
        line_break.is(Refusal::BadPath);
        let mut log = String::new();
        eventually("five lines are written", || {
            log = std::fs::read_to_string(&file).unwrap_or_default();
            log.lines().count() >= 5
        });
        assert!(log.contains("bob") && log.contains("alice"), "{log}");
        assert!(log.contains(Refusal::BadPath.reason()), "{log}");
        let value = session.strip_prefix("spnegate=").unwrap();
        let token = token.strip_prefix("Negotiate ").unwrap();
        for secret in [value, token, "tokenneedle", "queryneedle", "hadoop.auth"] {
            assert!(!log.contains(secret), "{secret} in {log}");
        }
        if format == "json" {
            for line in log.lines() {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                assert!(line["user"] != "root", "{line}");
            }
        }
    }
}
