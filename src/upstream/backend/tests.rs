use super::*;

fn backend() -> Backend {
    let spn: Principal = "HTTP/nn1.example.com@EXAMPLE.COM".parse().unwrap();
    Backend::new(
        BackendKey {
            authority: "nn1.example.com:50070".into(),
            kind: "generic",
            checks_impersonation: true,
            principal: None,
            spn: Some(spn),
            tls: None,
            send_proxy: None,
        },
        "nn1.example.com".into(),
        50070,
        crate::kinds::ALL[0],
    )
}

#[test]
fn a_resumed_server_keeps_the_time_at_which_it_became_active() {
    let nn = backend();
    nn.set_health(BackendHealth::Active);
    let since = nn.status().active_since;
    nn.set_health(BackendHealth::Down);
    while now_ms() == since {}
    nn.set_health(BackendHealth::Active);
    assert_eq!(nn.status().active_since, since);
    nn.set_health(BackendHealth::Standby);
    nn.set_health(BackendHealth::Active);
    assert!(nn.status().active_since > since);
}

#[test]
fn the_addresses_of_a_name_are_rotated_and_a_new_order_is_not_a_change() {
    let nn = backend();
    let of = |texts: &[&str]| -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    };
    assert!(nn.addresses_in_turn().is_empty());
    nn.addresses
        .store(Arc::new(of(&["10.0.0.1:1", "10.0.0.2:1", "[::1]:1"])));
    let firsts: Vec<_> = (0..4)
        .map(|_| nn.addresses_in_turn()[0].to_string())
        .collect();
    assert_eq!(
        firsts,
        ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.1:1", "10.0.0.2:1"]
    );
    assert_eq!(nn.addresses_in_turn()[2].to_string(), "[::1]:1");
    let (one, turned) = (
        of(&["10.0.0.1:1", "10.0.0.2:1"]),
        of(&["10.0.0.2:1", "10.0.0.1:1"]),
    );
    assert!(same_set(&one, &turned) && !same_set(&one, &turned[..1]) && !same_set(&[], &one));
}

#[test]
fn no_user_request_is_sent_while_impersonation_is_unverified_or_ignored() {
    let nn = backend();
    assert_eq!(nn.identity_gate(), Err(Refusal::IdentityUnproven));
    nn.set_impersonation(ImpersonationStatus::Ignored);
    assert_eq!(nn.identity_gate(), Err(Refusal::IdentityIgnored));
    nn.set_impersonation(ImpersonationStatus::Honored);
    assert_eq!(nn.identity_gate(), Ok(()));
}

#[test]
fn a_login_that_fails_for_another_reason_is_not_a_change_but_is_reported() {
    let nn = backend();
    assert!(nn.set_health(BackendHealth::LoginFailed(Refusal::KdcUnavailable)));
    assert!(!nn.set_health(BackendHealth::LoginFailed(Refusal::BackendLogin)));
    assert_eq!(nn.health().login_refusal(), Some(Refusal::BackendLogin));
    assert!(nn.set_health(BackendHealth::Active));
    assert_eq!(nn.health().login_refusal(), None);
}

/// With one atomic for each field, a reader saw the active state of one update with the time of
/// another.
#[test]
fn a_status_is_never_read_half_changed() {
    let nn = backend();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=2_000_u64 {
                nn.update(|status| {
                    status.active_since = number;
                    status.changed_at = number;
                });
            }
        });
        while nn.status().changed_at != 2_000 {
            let status = nn.status();
            if status.active_since > 0 {
                assert_eq!(status.active_since, status.changed_at);
            }
        }
    });
}
