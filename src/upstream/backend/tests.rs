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
fn a_thawed_server_keeps_the_time_at_which_it_became_active() {
    let nn = backend();
    nn.set_state(BackendHealth::Active);
    let since = nn.active_since();
    nn.set_state(BackendHealth::Down);
    while now_ms() == since {}
    nn.set_state(BackendHealth::Active);
    assert_eq!(nn.active_since(), since);
    nn.set_state(BackendHealth::Standby);
    nn.set_state(BackendHealth::Active);
    assert!(nn.active_since() > since);
}

#[test]
fn the_addresses_of_a_name_take_turns_and_their_order_is_no_news() {
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
fn no_user_is_sent_where_the_identity_is_unproven_or_ignored() {
    let nn = backend();
    assert_eq!(nn.identity_gate(), Err(Refusal::IdentityUnproven));
    nn.set_impersonation(ImpersonationStatus::Ignored);
    assert_eq!(nn.identity_gate(), Err(Refusal::IdentityIgnored));
    nn.set_impersonation(ImpersonationStatus::Honored);
    assert_eq!(nn.identity_gate(), Ok(()));
}
