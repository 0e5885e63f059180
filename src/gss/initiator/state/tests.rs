use super::*;

const DEADLINE: Duration = Duration::from_secs(5);

fn key() -> Key {
    Key {
        client: "spnegate/p@R".parse().unwrap(),
        spn: "HTTP/nn1@R".parse().unwrap(),
    }
}

fn ask(state: &mut State, now: Instant) -> Decision {
    state.ask(key(), oneshot::channel().0, now, DEADLINE, 2)
}

fn ask_and_wait(state: &mut State, now: Instant) -> (Decision, oneshot::Receiver<Answer>) {
    let (reply, answer) = oneshot::channel();
    (state.ask(key(), reply, now, DEADLINE, 2), answer)
}

fn error() -> InitiateError {
    InitiateError::UnknownSpn { spn: key().spn }
}

#[test]
fn one_exchange_is_under_way_and_the_others_wait_within_bounds() {
    let (mut state, now) = (State::default(), Instant::now());
    let (first, _first) = ask_and_wait(&mut state, now);
    assert!(matches!(first, Decision::Far(_)));
    let (second, _second) = ask_and_wait(&mut state, now);
    assert!(matches!(second, Decision::Wait));
    let third = ask(&mut state, now);
    assert!(matches!(third, Decision::Refuse(InitiateError::Busy)));
}

#[test]
fn those_who_left_make_room() {
    let (mut state, now) = (State::default(), Instant::now());
    assert!(matches!(ask(&mut state, now), Decision::Far(_)));
    for _ in 0..9 {
        assert!(matches!(ask(&mut state, now), Decision::Wait));
    }
}

#[test]
fn behind_a_hung_exchange_nobody_waits_longer_than_the_deadline() {
    let (mut state, now) = (State::default(), Instant::now());
    assert!(matches!(ask(&mut state, now), Decision::Far(_)));
    let later = now + DEADLINE + Duration::from_secs(1);
    assert!(matches!(
        ask(&mut state, later),
        Decision::Refuse(InitiateError::KdcUnreachable { .. })
    ));
}

#[test]
fn a_failure_answers_for_a_moment_and_is_then_tried_again() {
    let (mut state, now) = (State::default(), Instant::now());
    assert!(matches!(ask(&mut state, now), Decision::Far(_)));
    let (served, failed) = state.service_failed(&key(), error(), now);
    assert_eq!((served.len(), failed.len()), (0, 1));
    assert!(matches!(ask(&mut state, now), Decision::Refuse(e) if e == error()));
    assert!(matches!(ask(&mut state, now + NEGATIVE), Decision::Far(_)));
}

#[test]
fn the_first_ticket_of_a_principal_is_fetched_once_for_all_its_services() {
    let (mut state, now) = (State::default(), Instant::now());
    let other = Key {
        spn: "HTTP/nn2@R".parse().unwrap(),
        ..key()
    };
    assert!(matches!(state.basis(&key(), now), Basis::Fetch(_)));
    assert!(matches!(state.basis(&other, now), Basis::Parked));
    let (parked, serves) = state.client_failed(&key().client, error(), now);
    assert_eq!((&parked[..], serves), (&[key(), other][..], false));
    assert!(matches!(state.basis(&key(), now), Basis::Failed(e) if e == error()));
    let tgt = Tgt {
        ccache: Arc::new(MemoryCcache::new()),
        client: "spnegate/p@R".into(),
        renew: now + DEADLINE,
        ends: now + DEADLINE,
    };
    state.client_got(&key().client, tgt);
    assert!(matches!(state.basis(&key(), now), Basis::Tgt(_)));
    state.renew_all(now);
    assert!(matches!(state.basis(&key(), now), Basis::Fetch(_)));
}
