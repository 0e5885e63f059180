//! No response reaches another user: hundreds of users send tens of thousands of requests over
//! shared connections to backends that fail at times, and some clients disconnect in the middle.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::{
    backend::{AfterResponse, Backend, Seen, backend, raw, reply, second},
    client::Client,
    proxy::{gateway, namenode},
    world::world,
};

const USERS: usize = 300;
const CLIENTS: usize = 24;
const REQUESTS: usize = 900;

/// A pseudo-random generator with the same sequence in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % limit as u64).unwrap()
    }
}

/// Responds with the user and the request it received; closes the connection at times.
fn echo(seen: &Seen) -> crate::backend::Reply {
    let user = seen.do_as().expect("each request has a user");
    let nonce = seen
        .query()
        .split('&')
        .find_map(|piece| piece.strip_prefix("n="))
        .unwrap();
    let number: usize = nonce.parse().unwrap();
    let text = format!("{user} {nonce} {}", seen.body.len());
    match number % 97 {
        11 => raw(b"").then(AfterResponse::Close),
        23 => raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut").then(AfterResponse::Close),
        37 => reply(200).body(text).then(AfterResponse::Close),
        53 => reply(403).body(text),
        71 => crate::backend::standby_exception(),
        _ => reply(200)
            .with("Set-Cookie", &format!("of={user}; Path=/"))
            .body(text),
    }
}

fn echoing(backend: Backend) -> Backend {
    backend.responds(echo)
}

#[test]
fn no_client_receives_another_clients_response() {
    let (one, two) = (echoing(backend()), echoing(second()));
    let gateway = gateway()
        .console("namenode")
        .identity("doas")
        .with("balance = \"first\"")
        .backend(&one)
        .backend(&two)
        .set("timeouts", "hold = \"5s\"")
        .run();
    let cookies: Vec<String> = (0..USERS)
        .map(|n| world().cookie(&format!("user{n}")))
        .collect();
    let (answered, mixed, numbers) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (gateway, cookies) = (&gateway, &cookies);
            let (answered, mixed, numbers) = (&answered, &mixed, &numbers);
            scope.spawn(move || {
                let mut dice = Dice(client as u64 + 1);
                let mut connection = gateway.connect();
                let host = &world().proxy;
                for _ in 0..REQUESTS {
                    // users share connections, as behind a balancer or on a shared kiosk
                    let user = dice.below(USERS);
                    let number = numbers.fetch_add(1, Ordering::Relaxed);
                    let body = "x".repeat(dice.below(50));
                    let post = dice.below(4) == 0;
                    let method = if post { "POST" } else { "GET" };
                    let length = if post { body.len() } else { 0 };
                    let cut = dice.below(60) == 0;
                    let mut request = format!(
                        "{method} /webhdfs/v1/x?op=A&n={number}&doAs=user{} HTTP/1.1\r\nHost: {host}\r\n\
                         Cookie: {}; namenode.of=user{user}\r\nContent-Length: {length}\r\n\r\n",
                        dice.below(USERS),
                        cookies[user]
                    );
                    if post {
                        request.push_str(&body);
                    }
                    connection.send(&request);
                    if cut {
                        // the client disconnects before the response
                        std::mem::replace(&mut connection, gateway.connect()).disconnect();
                        continue;
                    }
                    let Some(answer) = whole(&mut connection) else {
                        connection = gateway.connect();
                        continue;
                    };
                    let expected = format!("user{user} {number} {length}");
                    if matches!(answer.status, 200 | 403) {
                        answered.fetch_add(1, Ordering::Relaxed);
                        if answer.text() != expected {
                            mixed.fetch_add(1, Ordering::Relaxed);
                        }
                        let own = format!("namenode.of=user{user};");
                        let foreign = answer.all("set-cookie").iter().any(|c| !c.starts_with(&own));
                        assert!(!foreign, "{}", answer.head);
                    }
                }
            });
        }
    });
    assert_eq!(mixed.load(Ordering::Acquire), 0);
    let answered = answered.load(Ordering::Acquire);
    assert!(
        answered > CLIENTS * REQUESTS * 8 / 10,
        "only {answered} were answered"
    );
    // backend connections were shared, otherwise the test would show nothing
    let mut users: HashMap<usize, HashSet<String>> = HashMap::new();
    for seen in one.seen() {
        let user = seen.do_as().unwrap().to_owned();
        users.entry(seen.connection).or_default().insert(user);
    }
    assert!(users.values().any(|users| users.len() > 5));
    // no backend received a cookie of one user together with the name of another
    for seen in one.seen().iter().chain(&two.seen()) {
        let user = seen.do_as().unwrap();
        let cookie = seen.header("cookie").unwrap();
        assert!(
            cookie.ends_with(&format!("; of={user}")),
            "{user}: {cookie}"
        );
    }
}

/// A response, unless it was truncated.
fn whole(connection: &mut Client) -> Option<crate::client::RawResponse> {
    let answer = connection.answer_to("GET")?;
    let closes = answer
        .header("connection")
        .is_some_and(|c| c.eq_ignore_ascii_case("close"));
    if closes {
        *connection = Client::connect(connection.stream.peer_addr().unwrap());
    }
    Some(answer)
}

/// Logins over one connection: the user of each request is the one of its token, with or without
/// cookies.
#[test]
fn users_that_share_a_connection_are_authenticated_separately() {
    let backend = backend();
    let gateway = namenode(&backend);
    let mut connection = gateway.connect();
    for round in 0..5 {
        for user in crate::world::USERS {
            let token = world().authorization(user);
            let request = gateway
                .ask(&format!("GET /x?{round}"))
                .header("Authorization", &token);
            connection.send(request.bytes());
            let answer = connection.response();
            answer.is_ok(user);
            // the login is not remembered for the connection
            connection.send(gateway.ask("GET /x").bytes());
            assert_eq!(connection.response().status, 401);
        }
    }
}
