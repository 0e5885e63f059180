//! What a session costs: bytes in the cache, and allocations of a request that has one.
//!
//! One test in a process of its own: it counts what the allocator does.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test, which reports a measure"
)]

use std::{
    alloc::System,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderValue, header};
use spnegate::auth::{
    Scheme,
    names::{AuthToLocal, Mechanism},
    secret::Secret,
    session::{SessionLimits, SessionLookup, Sessions, unix_now},
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SESSIONS: usize = 50_000;

fn cookie(sessions: &Sessions, names: &AuthToLocal, user: usize) -> HeaderMap {
    let principal = format!("user{user:05}@EXAMPLE.COM").parse().unwrap();
    let expires = SystemTime::now() + Duration::from_secs(3600);
    let begun = sessions
        .begin(&principal, expires, Scheme::Plain, names, unix_now())
        .unwrap();
    let cookie = begun.cookie.unwrap();
    let pair = cookie.to_str().unwrap().split(';').next().unwrap();
    let pair = HeaderValue::from_str(pair).unwrap();
    HeaderMap::from_iter([(header::COOKIE, pair)])
}

#[test]
fn a_session_takes_at_most_640_bytes_and_a_hit_allocates_nothing() {
    let names = AuthToLocal::compile(&["DEFAULT"], Mechanism::Hadoop, "EXAMPLE.COM").unwrap();
    let hour = Duration::from_secs(3600);
    let limits = SessionLimits {
        lifetime: hour,
        idle: hour,
        capacity: SESSIONS as u64,
    };
    let sessions = Sessions::new(limits, &Secret::random().unwrap());
    let now = unix_now();
    let find = |headers: &HeaderMap| match sessions.find(headers, Scheme::Plain, &names, now) {
        SessionLookup::Session(session) => session,
        SessionLookup::Ended | SessionLookup::None => panic!("no session"),
    };
    // what any first use allocates is not the sessions'
    find(&cookie(&sessions, &names, 0));
    assert_eq!(sessions.cached(), 1);

    let region = Region::new(ALLOCATOR);
    let mut one = HeaderMap::new();
    for user in 1..SESSIONS {
        one = cookie(&sessions, &names, user);
        find(&one);
    }
    assert_eq!(sessions.cached(), SESSIONS as u64);
    let change = region.change();
    let each = (change.bytes_allocated - change.bytes_deallocated) / SESSIONS;
    println!("{each} bytes a cached session");
    assert!(each <= 640, "{each} bytes a cached session");

    let region = Region::new(ALLOCATOR);
    for _ in 0..50 {
        assert_eq!(find(&one).user(), "user49999");
    }
    assert_eq!(region.change().allocations, 0);
}
