//! Addresses in JSON that programs follow: those of YARN and Oozie.

use serde_json::Value;

use crate::{
    backend::{Role, backend, raw, reply, second},
    proxy::{Gateway, gateway},
};

fn origin(gateway: &Gateway, index: usize) -> String {
    let port = gateway.addresses()[index].port();
    format!("http://{}:{port}", gateway.world.proxy)
}

fn json(gateway: &Gateway, path: &str) -> Value {
    let answer = gateway
        .ask(&format!("GET {path}"))
        .by("alice")
        .header("Accept-Encoding", "gzip")
        .response();
    assert_eq!(answer.status, 200, "{}", answer.all_text());
    serde_json::from_slice(&answer.body).unwrap()
}

/// A `ResourceManager`, the `JobHistoryServer` of another console, and a NodeManager that belongs
/// to no console.
#[test]
fn yarn_addresses_in_json_point_to_the_consoles_of_their_servers() {
    let jhs = second();
    let history = format!("{}/jobhistory/job/job_1_1", jhs.url());
    let rm = backend().role(Role::Active);
    let own = rm.url();
    let rm = rm.responds(move |seen| {
        let app = format!(
            r#"{{"app":{{"id":"application_1_1","trackingUrl":"{own}/proxy/application_1_1/?doAs=alice","amContainerLogs":"http://nm1.example.com:8042/node/containerlogs/container_1","amHostHttpAddress":"nm1.example.com:8042","applicationTags":"","history":"{history}","log":["{own}/a","{own}"]}}}}"#
        );
        let kind = if seen.path().ends_with("_xml") {
            "application/xml"
        } else {
            "application/json;charset=utf-8"
        };
        reply(200).with("Content-Type", kind).body(app)
    });
    let gateway = gateway()
        .console("resourcemanager")
        .backend(&rm)
        .console("jobhistory")
        .listen("127.0.0.4:0")
        .backend(&jhs)
        .run();
    let here = origin(&gateway, 0);
    for path in [
        "/ws/v1/cluster/apps/application_1_1",
        "/proxy/application_1_1/ws/v1/mapreduce/jobs",
    ] {
        let app = &json(&gateway, path)["app"];
        assert_eq!(app["trackingUrl"], format!("{here}/proxy/application_1_1/"));
        assert_eq!(app["log"][0], format!("{here}/a"));
        assert_eq!(app["log"][1], format!("{here}/"));
        // these are not rewritten, since the gateway could not serve the resulting link
        let logs = "http://nm1.example.com:8042/node/containerlogs/container_1";
        assert_eq!(app["amContainerLogs"], logs);
        assert_eq!(app["amHostHttpAddress"], "nm1.example.com:8042");
        let seen = rm.seen();
        assert_eq!(seen.last().unwrap().header("accept-encoding"), None);
    }
    // a job's configuration is data, and so is JSON from outside the REST interface
    for path in [
        "/ws/v1/history/mapreduce/jobs/job_1_1/conf",
        "/proxy/application_1_1/data.json",
        "/ws/v1/cluster/apps_xml",
    ] {
        assert!(
            json(&gateway, path).to_string().contains(&rm.url()),
            "{path}"
        );
    }
}

#[test]
fn a_small_rewritten_response_has_a_content_length_and_a_large_one_is_streamed() {
    let oozie = backend();
    let own = oozie.url();
    let oozie = oozie.responds(move |seen| {
        let filler = "x".repeat(if seen.path().ends_with("large") { 100_000 } else { 10 });
        let body = format!(
            r#"{{"consoleUrl":"{own}/oozie?job=1","appName":"{filler}","actions":[{{"consoleUrl":"{own}/oozie?job=2"}}]}}"#
        );
        // chunked, as Hadoop's servers send responses that they generate
        raw(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json;charset=UTF-8\r\nSet-Cookie: \
             hadoop.auth=x\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        )
        .as_bytes())
    });
    let gateway = gateway().console("oozie").backend(&oozie).run();
    let here = origin(&gateway, 0);
    for (path, is_small) in [
        ("/oozie/v1/job/small", true),
        ("/oozie/v1/job/large", false),
    ] {
        let answer = gateway.ask(&format!("GET {path}")).by("alice").response();
        assert_eq!(answer.header("content-length").is_some(), is_small);
        let job: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(job["consoleUrl"], format!("{here}/oozie?job=1"));
        assert_eq!(
            job["actions"][0]["consoleUrl"],
            format!("{here}/oozie?job=2")
        );
    }
}

/// The length would be that of the response before rewriting.
#[test]
fn a_head_response_that_would_be_rewritten_has_no_content_length() {
    let oozie = backend().responds(|_| {
        let json = reply(200).with("Content-Type", "application/json");
        json.body("{}")
    });
    let gateway = gateway().console("oozie").backend(&oozie).run();
    let head = gateway.ask("HEAD /oozie/v1/jobs").by("alice").response();
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), None);
}
