//! `auth::session`: no cookie that the gateway did not sign is a session.
#![no_main]

use std::{sync::LazyLock, time::Duration};

use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use spnegate::auth::{
    Scheme,
    names::{AuthToLocal, Mechanism},
    secret::Secret,
    session::{SessionLimits, SessionLookup, Sessions},
};

static WORLD: LazyLock<(Sessions, AuthToLocal)> = LazyLock::new(|| {
    let hour = Duration::from_secs(3600);
    let limits = SessionLimits {
        lifetime: hour,
        idle: hour,
        capacity: 10,
    };
    let secret = Secret::random().expect("random bytes");
    let names = AuthToLocal::compile(&["DEFAULT"], Mechanism::Hadoop, "R").expect("DEFAULT");
    (Sessions::new(limits, &secret), names)
});

fuzz_target!(|value: &[u8]| {
    let (sessions, names) = &*WORLD;
    let line = [b"spnegate=", value].concat();
    let mut headers = HeaderMap::new();
    for line in [&line[..], value] {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(header::COOKIE, value);
        }
    }
    let found = sessions.find(&headers, Scheme::Plain, names, 1_000_000);
    assert!(!matches!(found, SessionLookup::Session(_)));
});
