//! Access by client network, connection and rate limits, and the client address that backends
//! receive.

use spnegate::testing::Refusal;

use crate::{
    backend::backend,
    client::{Client, RawResponse},
    proxy::{Gateway, gateway},
    realm::eventually,
    tickets,
    world::world,
};

/// Sends a request as a balancer does for that client.
fn ask_from(gateway: &Gateway, client: &str, target: &str) -> RawResponse {
    let mut connection = gateway.connect();
    connection.send(format!("PROXY TCP4 {client} 10.0.0.1 50000 443\r\n"));
    connection.send(gateway.ask(target).by("alice").bytes());
    connection.response()
}

#[test]
pub fn a_console_accepts_clients_of_its_networks_only() {
    let backend = backend();
    let gateway = gateway()
        .console("generic")
        .name("inner")
        .listen("127.0.7.1:47111")
        .with("path = \"/inner\"")
        .with("accept_proxy = \"127.0.0.0/8\"\nallow_from = [\"10.0.0.0/8\"]")
        .backend(&backend)
        .console("generic")
        .name("outer")
        .listen("127.0.7.1:47111")
        .with("accept_proxy = \"127.0.0.0/8\"")
        .backend(&backend)
        .run();
    ask_from(&gateway, "192.0.2.7", "GET /inner/x").is(Refusal::SourceDenied);
    assert!(backend.seen().is_empty());
    assert_eq!(ask_from(&gateway, "10.7.0.1", "GET /inner/x").status, 200);
    assert_eq!(ask_from(&gateway, "192.0.2.7", "GET /x").status, 200);
}

#[test]
pub fn a_connection_without_a_proxy_header_is_closed_and_counted() {
    let backend = backend();
    let setup = || gateway().console("generic").backend(&backend);
    let gateway = setup().with("accept_proxy = \"127.0.0.0/8\"").run();
    let before = gateway.refusals(Refusal::ProxyHeader);
    assert_eq!(gateway.ask("GET /x").by("alice").send().to_end(), "");
    eventually("the count", || {
        gateway.refusals(Refusal::ProxyHeader) > before
    });
    let stranger = setup().with("allow_from = \"10.0.0.0/8\"").run();
    let before = stranger.refusals(Refusal::SourceDenied);
    assert_eq!(stranger.ask("GET /x").by("alice").send().to_end(), "");
    eventually("the count", || {
        stranger.refusals(Refusal::SourceDenied) > before
    });
    assert!(backend.seen().is_empty());
}

#[test]
fn a_tcp_health_check_of_a_balancer_is_not_counted() {
    // other tests of this process increase the counter too
    const MANY: u64 = 50;
    let backend = backend();
    let gateway = gateway()
        .console("generic")
        .with("accept_proxy = \"127.0.0.0/8\"")
        .set("timeouts", "head = \"200ms\"")
        .backend(&backend)
        .run();
    let counted =
        || gateway.refusals(Refusal::ProxyHeader) + gateway.refusals(Refusal::HeadTimeout);
    let before = counted();
    let mut open: Vec<_> = (0..MANY).map(|_| gateway.connect()).collect();
    for _ in 0..MANY {
        drop(gateway.connect());
        let mut half = gateway.connect();
        half.stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(half.to_end(), "");
    }
    for silent in &mut open {
        assert_eq!(silent.to_end(), "", "it is closed in time");
    }
    assert!(counted() < before + MANY);
}

#[test]
pub fn a_connection_above_the_limit_is_closed_and_counted() {
    let backend = backend();
    let gateway = gateway()
        .set("server", "max_connections_per_address = 2")
        .console("generic")
        .backend(&backend)
        .run();
    let mut open: Vec<Client> = (0..2).map(|_| gateway.connect()).collect();
    for client in &mut open {
        client.send(gateway.ask("GET /x").by("alice").bytes());
        assert_eq!(client.response().status, 200);
    }
    let before = gateway.refusals(Refusal::TooManyConnections);
    assert_eq!(gateway.connect().to_end(), "");
    assert!(gateway.refusals(Refusal::TooManyConnections) > before);
}

#[test]
pub fn requests_above_the_rate_limit_receive_retry_after() {
    let backend = backend();
    let gateway = gateway()
        .set("server", "requests_per_second_per_address = 1")
        .console("generic")
        .with("accept_proxy = \"127.0.0.0/8\"")
        .backend(&backend)
        .run();
    let limited = || {
        std::iter::repeat_with(|| ask_from(&gateway, "192.0.2.7", "GET /x"))
            .find(|answer| answer.status != 200)
    };
    let answer = limited().unwrap();
    assert_eq!(answer.header("retry-after"), Some("2"));
    answer.is(Refusal::RateLimited);
    // the limit counts the address of the connection, whatever is requested
    assert!(!backend.seen().is_empty());
    assert_eq!(ask_from(&gateway, "192.0.2.8", "GET /x").status, 200);
    for _ in 0..5 {
        let health = ask_from(&gateway, "192.0.2.7", "GET /.spnegate/health");
        assert_eq!(health.status, 200);
    }
}

#[test]
fn forwarded_headers_are_set_by_the_gateway_and_not_by_clients() {
    let backend = backend();
    let gateway_of = |lines: &str| {
        gateway()
            .console("generic")
            .with(lines)
            .backend(&backend)
            .run()
    };
    let asked = |gateway: &Gateway| {
        backend.forget();
        let mut connection = gateway.connect();
        connection.send("PROXY TCP4 192.0.2.7 10.0.0.1 50000 443\r\n");
        let request = gateway
            .ask("GET /x")
            .by("alice")
            .header("X-Forwarded-For", "203.0.113.1")
            .header("X_Forwarded_Proto", "https")
            .header("Forwarded", "for=203.0.113.1");
        connection.send(request.bytes());
        assert_eq!(connection.response().status, 200);
        backend.only()
    };
    let off = asked(&gateway_of("accept_proxy = \"127.0.0.0/8\""));
    assert!(
        !off.raw_text().to_lowercase().contains("forwarded"),
        "{off:?}"
    );
    let gateway = gateway_of("accept_proxy = \"127.0.0.0/8\"\nforwarded = \"both\"");
    let both = asked(&gateway);
    let host = format!("{}:{}", gateway.world.proxy, gateway.address().port());
    assert_eq!(both.header("x-forwarded-for"), Some("192.0.2.7"));
    assert_eq!(both.header("x-forwarded-proto"), Some("http"));
    assert_eq!(both.header("x-forwarded-host"), Some(host.as_str()));
    let forwarded = format!("for=192.0.2.7;host=\"{host}\";proto=http");
    assert_eq!(both.header("forwarded"), Some(forwarded.as_str()));
    assert!(!both.raw_text().contains("203.0.113.1"), "{both:?}");
}

#[test]
fn a_trusted_proxy_names_the_client_of_each_request() {
    let backend = backend();
    let file = world().file("access");
    let gateway = gateway()
        .set("log", &format!("access = \"{}\"", file.display()))
        .set("server", "max_connections_per_address = 1")
        .console("generic")
        .with("trusted_proxies = [\"127.0.0.1\", \"10.9.0.0/16\"]\nforwarded = \"both\"")
        .with("allow_from = [\"192.0.2.0/24\"]")
        .backend(&backend)
        .run();
    let asked = |chain: &str| {
        gateway
            .ask("GET /x")
            .by("alice")
            .header("X-Forwarded-For", chain)
    };
    // one connection with two clients; addresses that the clients wrote are on the left
    let mut connection = gateway.connect();
    for (chain, client) in [
        ("203.0.113.1, 192.0.2.7, 10.9.0.2", "192.0.2.7"),
        ("192.0.2.8:40000", "192.0.2.8"),
    ] {
        backend.forget();
        connection.send(asked(chain).bytes());
        assert_eq!(connection.response().status, 200);
        let seen = backend.only();
        assert_eq!(seen.header("x-forwarded-for"), Some(client));
        assert!(!seen.raw_text().contains("203.0.113.1"), "{seen:?}");
        eventually("the access log", || {
            let log = std::fs::read_to_string(&file).unwrap();
            log.lines().any(|line| line.starts_with(client))
        });
    }
    backend.forget();
    // the limits of one address do not apply to the proxy, and networks are compared with the
    // client it names
    asked("192.0.2.7, 203.0.113.1")
        .response()
        .is(Refusal::SourceDenied);
    asked("192.0.2.7, unknown")
        .response()
        .is(Refusal::SourceDenied);
    gateway
        .ask("GET /x")
        .by("alice")
        .response()
        .is(Refusal::SourceDenied);
    assert!(backend.seen().is_empty());
}

#[test]
fn a_login_of_several_legs_is_bound_to_one_client_of_a_proxy() {
    let backend = backend();
    let gateway = gateway()
        .console("generic")
        .with("trusted_proxies = \"127.0.0.1\"")
        .backend(&backend)
        .run();
    let mut connection = gateway.connect();
    let mut leg = |client: &str, token: &str| {
        let asked = gateway.ask("GET /x").header("Authorization", token);
        connection.send(asked.header("X-Forwarded-For", client).bytes());
        connection.response()
    };
    let first = leg("192.0.2.7", &tickets::first_of_two());
    assert!(first.header("www-authenticate").unwrap().len() > "Negotiate ".len());
    leg("192.0.2.8", &tickets::second_of_two()).is(Refusal::LoginInterrupted);
    assert!(backend.seen().is_empty());
}

#[test]
fn a_backend_receives_the_client_address_by_proxy_protocol() {
    for version in ["v1", "v2"] {
        let backend = backend()
            .logins(crate::backend::Logins::Open)
            .requires_proxy_header();
        let server = format!(
            "backends = [{{ url = \"{}\", send_proxy = \"{version}\" }}]",
            backend.url()
        );
        let gateway = gateway()
            .console("generic")
            .identity("simple")
            .with(&server)
            .run();
        let mut ports = Vec::new();
        for _ in 0..2 {
            let mut client = gateway.ask("GET /x").by("alice").send();
            assert_eq!(client.response().status, 200);
            ports.push(client.stream.local_addr().unwrap());
        }
        let told = backend.proxy_header_clients();
        for port in ports {
            assert!(told.contains(&port), "{version}: {told:?} lacks {port}");
        }
        // probes are sent without a client, and each request has a connection of its own
        let seen = backend.seen();
        assert_ne!(seen[0].connection, seen[1].connection);
    }
}
