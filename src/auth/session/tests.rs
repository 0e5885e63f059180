//! The behaviour of the session store.

use std::time::Duration;

use http::{HeaderMap, header};

use super::*;
use crate::{
    auth::{
        names::{AuthToLocal, Mechanism},
        secret::Secret,
    },
    gss::Principal,
};

const NOW: u64 = 1_800_000_000;
const HOUR: u64 = 3600;

fn limits() -> SessionLimits {
    let hours = |h: u64| Duration::from_secs(h * HOUR);
    SessionLimits {
        lifetime: hours(10),
        idle: hours(1),
        capacity: 100,
    }
}

fn secret(byte: u8) -> Secret {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), [byte; 32]).unwrap();
    Secret::read(file.path()).unwrap()
}

fn sessions() -> Sessions {
    Sessions::new(limits(), &secret(1))
}

fn names() -> AuthToLocal {
    AuthToLocal::compile(&["DEFAULT"], Mechanism::Hadoop, "EXAMPLE.COM").unwrap()
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn begin(sessions: &Sessions, names: &AuthToLocal) -> NewSession {
    let alice = "alice@EXAMPLE.COM".parse().unwrap();
    sessions
        .begin(&alice, at(NOW + 24 * HOUR), Scheme::Plain, names, NOW)
        .unwrap()
}

/// The `name=value` of a `Set-Cookie`.
fn pair(cookie: &HeaderValue) -> String {
    cookie
        .to_str()
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned()
}

fn headers(cookies: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for cookie in cookies {
        headers.append(header::COOKIE, HeaderValue::from_str(cookie).unwrap());
    }
    headers
}

fn user(found: &SessionLookup) -> Option<&str> {
    match found {
        SessionLookup::Session(session) => Some(session.user()),
        SessionLookup::Ended | SessionLookup::None => None,
    }
}

#[test]
fn a_cookie_identifies_its_user_in_every_request() {
    let (sessions, names) = (sessions(), names());
    let cookie = pair(&begin(&sessions, &names).cookie.unwrap());
    for later in [0, 1, 100] {
        let found = sessions.find(&headers(&[&cookie]), Scheme::Plain, &names, NOW + later);
        let SessionLookup::Session(session) = found else {
            panic!("{found:?}")
        };
        assert_eq!(
            (session.user(), session.principal()),
            ("alice", "alice@EXAMPLE.COM")
        );
        assert_eq!(
            (session.issued(), session.expires()),
            (NOW, NOW + 10 * HOUR)
        );
    }
    assert_eq!(sessions.cached(), 1);
}

#[test]
fn the_cookie_is_host_only_and_secure_on_tls() {
    let (sessions, names) = (sessions(), names());
    let alice = "alice@EXAMPLE.COM".parse().unwrap();
    let text = |scheme| {
        let begun = sessions
            .begin(&alice, at(NOW + HOUR), scheme, &names, NOW)
            .unwrap();
        begun.cookie.unwrap().to_str().unwrap().to_owned()
    };
    let plain = text(Scheme::Plain);
    assert!(plain.starts_with("spnegate=") && plain.ends_with("; Path=/; HttpOnly; SameSite=Lax"));
    let tls = text(Scheme::Tls);
    assert!(tls.starts_with("__Host-spnegate="));
    assert!(tls.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax"));
    assert!(
        !format!(
            "{:?}",
            sessions.begin(&alice, at(NOW + 9), Scheme::Tls, &names, NOW)
        )
        .contains("spnegate=")
    );
}

#[test]
fn forged_truncated_and_foreign_cookies_require_a_new_login_and_empty_ones_count_as_none() {
    let (sessions, names) = (sessions(), names());
    let good = pair(&begin(&sessions, &names).cookie.unwrap());
    let other = pair(
        &begin(&Sessions::new(limits(), &secret(2)), &names)
            .cookie
            .unwrap(),
    );
    let cases = [
        good[..good.len() - 1].to_owned(),
        good[..40].to_owned(),
        format!("{good}A"),
        good.replace("spnegate=AQ", "spnegate=AR"),
        other,
        "spnegate=x".to_owned(),
        format!("spnegate={}", "A".repeat(5000)),
    ];
    // Also while the same session is in the cache.
    for warm in [false, true] {
        if warm {
            assert!(user(&sessions.find(&headers(&[&good]), Scheme::Plain, &names, NOW)).is_some());
        }
        for cookie in &cases {
            let found = sessions.find(&headers(&[cookie]), Scheme::Plain, &names, NOW);
            assert!(matches!(found, SessionLookup::Ended), "{cookie} {found:?}");
        }
    }
    for none in [&[][..], &["spnegate="], &["other=x"]] {
        let found = sessions.find(&headers(none), Scheme::Plain, &names, NOW);
        assert!(matches!(found, SessionLookup::None));
    }
}

#[test]
fn each_copy_of_the_cookie_is_tried() {
    let (sessions, names) = (sessions(), names());
    let good = pair(&begin(&sessions, &names).cookie.unwrap());
    let both = format!("spnegate=stale; {good}");
    for cookies in [vec![both.as_str()], vec!["spnegate=\"stale\"", &good]] {
        let found = sessions.find(&headers(&cookies), Scheme::Plain, &names, NOW);
        assert_eq!(user(&found), Some("alice"));
    }
}

#[test]
fn a_cookie_of_one_scheme_is_not_accepted_on_the_other() {
    let (sessions, names) = (sessions(), names());
    let cookie = pair(&begin(&sessions, &names).cookie.unwrap());
    let renamed = cookie.replace("spnegate=", "__Host-spnegate=");
    for _ in 0..2 {
        let found = sessions.find(&headers(&[&renamed]), Scheme::Tls, &names, NOW);
        assert!(matches!(found, SessionLookup::Ended));
        // The same while the session is in the cache.
        assert!(user(&sessions.find(&headers(&[&cookie]), Scheme::Plain, &names, NOW)).is_some());
    }
}

#[test]
fn a_replica_with_the_same_secret_reads_it() {
    let (first, second, names) = (sessions(), sessions(), names());
    let cookie = pair(&begin(&first, &names).cookie.unwrap());
    let found = second.find(&headers(&[&cookie]), Scheme::Plain, &names, NOW + 5);
    assert_eq!(user(&found), Some("alice"));
}

#[test]
fn idle_time_lifetime_and_ticket_end_a_session() {
    let names = names();
    let alice = "alice@EXAMPLE.COM".parse().unwrap();
    let lives = |ticket: u64, later: u64, warm: bool| {
        let sessions = sessions();
        let begun = sessions
            .begin(&alice, at(NOW + ticket), Scheme::Plain, &names, NOW)
            .unwrap();
        let headers = headers(&[&pair(&begun.cookie.unwrap())]);
        if warm {
            assert!(user(&sessions.find(&headers, Scheme::Plain, &names, NOW)).is_some());
        }
        user(&sessions.find(&headers, Scheme::Plain, &names, NOW + later)).is_some()
    };
    for warm in [false, true] {
        assert!(lives(24 * HOUR, HOUR - 1, warm) && !lives(24 * HOUR, HOUR, warm));
        assert!(lives(600, 599, warm) && !lives(600, 600, warm));
    }
    // A session that is renewed all the time ends with its lifetime.
    let sessions = sessions();
    let mut cookie = pair(&begin(&sessions, &names).cookie.unwrap());
    let mut now = NOW;
    while let SessionLookup::Session(session) =
        sessions.find(&headers(&[&cookie]), Scheme::Plain, &names, now)
    {
        if let Some(renewed) = sessions.renew(&session, now) {
            cookie = pair(&renewed);
        }
        now += 600;
    }
    assert_eq!(now, NOW + 10 * HOUR);
}

#[test]
fn a_ticket_that_ends_now_gives_no_cookie() {
    let alice = "alice@EXAMPLE.COM".parse().unwrap();
    let begun = sessions()
        .begin(&alice, at(NOW), Scheme::Plain, &names(), NOW)
        .unwrap();
    assert!(begun.cookie.is_none());
}

#[test]
fn a_cookie_is_renewed_after_a_quarter_of_idle_and_older_ones_stay_valid() {
    let (sessions, names) = (sessions(), names());
    let old = pair(&begin(&sessions, &names).cookie.unwrap());
    let find = |cookie: &str, now| sessions.find(&headers(&[cookie]), Scheme::Plain, &names, now);
    let SessionLookup::Session(session) = find(&old, NOW) else {
        panic!()
    };
    assert!(sessions.renew(&session, NOW + HOUR / 4 - 1).is_none());
    let renewed = pair(&sessions.renew(&session, NOW + HOUR / 4).unwrap());
    assert!(
        sessions.renew(&session, NOW + HOUR / 4).is_none(),
        "only one response has it"
    );
    // A client that lost it gets another one later.
    assert!(sessions.renew(&session, NOW + HOUR / 2).is_some());
    let later = NOW + HOUR / 2;
    assert_eq!(user(&find(&renewed, later)), Some("alice"));
    assert_eq!(user(&find(&old, later)), Some("alice"));
    assert_eq!(user(&find(&renewed, NOW + HOUR)), Some("alice"));
    assert_eq!(user(&find(&old, NOW + HOUR)), None);
    assert_eq!(sessions.cached(), 1, "one entry per session");
}

#[test]
fn logout_ends_every_cookie_of_the_session_and_no_other() {
    let (sessions, names) = (sessions(), names());
    let first = pair(&begin(&sessions, &names).cookie.unwrap());
    let other = pair(&begin(&sessions, &names).cookie.unwrap());
    let find = |cookie: &str| sessions.find(&headers(&[cookie]), Scheme::Plain, &names, NOW + 1800);
    let SessionLookup::Session(session) = find(&first) else {
        panic!()
    };
    let renewed = pair(&sessions.renew(&session, NOW + 1800).unwrap());
    sessions.end(&session, NOW + 1800);
    assert!(
        matches!(find(&first), SessionLookup::Ended)
            && matches!(find(&renewed), SessionLookup::Ended)
    );
    assert_eq!(user(&find(&other)), Some("alice"));
}

#[test]
fn eviction_revokes_nothing() {
    let names = names();
    let sessions = Sessions::new(
        SessionLimits {
            capacity: 2,
            ..limits()
        },
        &secret(1),
    );
    let cookies: Vec<_> = (0..20)
        .map(|_| pair(&begin(&sessions, &names).cookie.unwrap()))
        .collect();
    for _ in 0..3 {
        for cookie in &cookies {
            let found = sessions.find(&headers(&[cookie]), Scheme::Plain, &names, NOW);
            assert_eq!(user(&found), Some("alice"));
        }
        assert!(sessions.cached() <= 2);
    }
}

#[test]
fn new_rules_are_applied_to_cached_sessions() {
    let (sessions, old) = (sessions(), names());
    let cookie = pair(&begin(&sessions, &old).cookie.unwrap());
    let find = |names: &AuthToLocal| sessions.find(&headers(&[&cookie]), Scheme::Plain, names, NOW);
    assert_eq!(user(&find(&old)), Some("alice"));
    let rules = &["RULE:[1:$1]s/alice/bob/"];
    let new = AuthToLocal::compile(rules, Mechanism::Hadoop, "EXAMPLE.COM").unwrap();
    assert_eq!(user(&find(&new)), Some("bob"));
    let none = AuthToLocal::compile(&["DEFAULT"], Mechanism::Hadoop, "OTHER").unwrap();
    assert!(matches!(find(&none), SessionLookup::Ended));
}

#[test]
fn shorter_limits_apply_immediately() {
    let (sessions, names) = (sessions(), names());
    let cookie = pair(&begin(&sessions, &names).cookie.unwrap());
    let find = || sessions.find(&headers(&[&cookie]), Scheme::Plain, &names, NOW + 120);
    assert!(user(&find()).is_some());
    sessions.set_limits(SessionLimits {
        lifetime: Duration::from_secs(60),
        ..limits()
    });
    assert!(user(&find()).is_none());
}

#[test]
fn a_principal_too_long_for_a_cookie_is_logged_in_for_one_request_only() {
    let names = names();
    let long = Principal::new(["a".repeat(5000)], "EXAMPLE.COM").unwrap();
    let begun = sessions()
        .begin(&long, at(NOW + HOUR), Scheme::Plain, &names, NOW)
        .unwrap();
    assert!(begun.cookie.is_none());
    assert_eq!(begun.session.user().len(), 5000);
}
