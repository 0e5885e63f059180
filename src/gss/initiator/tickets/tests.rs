use super::*;

const DEADLINE: Duration = Duration::from_secs(5);

fn key() -> TicketKey {
    TicketKey {
        client: "spnegate/p@R".parse().unwrap(),
        spn: "HTTP/nn1@R".parse().unwrap(),
    }
}

fn plan(tickets: &mut Tickets, now: Instant) -> TokenPlan {
    tickets.plan(key(), oneshot::channel().0, now, DEADLINE, 2)
}

fn plan_and_wait(
    tickets: &mut Tickets,
    now: Instant,
) -> (TokenPlan, oneshot::Receiver<TokenResult>) {
    let (reply, result) = oneshot::channel();
    (tickets.plan(key(), reply, now, DEADLINE, 2), result)
}

fn error() -> InitiateError {
    InitiateError::UnknownSpn { spn: key().spn }
}

#[test]
fn one_exchange_is_in_flight_and_a_bounded_number_of_callers_waits() {
    let (mut tickets, now) = (Tickets::default(), Instant::now());
    let (first, _first) = plan_and_wait(&mut tickets, now);
    assert!(matches!(first, TokenPlan::Kdc(_)));
    let (second, _second) = plan_and_wait(&mut tickets, now);
    assert!(matches!(second, TokenPlan::Wait));
    let third = plan(&mut tickets, now);
    assert!(matches!(third, TokenPlan::Refuse(InitiateError::Busy)));
}

#[test]
fn callers_that_have_gone_away_make_room() {
    let (mut tickets, now) = (Tickets::default(), Instant::now());
    assert!(matches!(plan(&mut tickets, now), TokenPlan::Kdc(_)));
    for _ in 0..9 {
        assert!(matches!(plan(&mut tickets, now), TokenPlan::Wait));
    }
}

#[test]
fn callers_are_refused_behind_an_exchange_older_than_the_deadline() {
    let (mut tickets, now) = (Tickets::default(), Instant::now());
    assert!(matches!(plan(&mut tickets, now), TokenPlan::Kdc(_)));
    let later = now + DEADLINE + Duration::from_secs(1);
    assert!(matches!(
        plan(&mut tickets, later),
        TokenPlan::Refuse(InitiateError::KdcUnreachable { .. })
    ));
}

#[test]
fn a_failure_is_cached_for_a_short_time() {
    let (mut tickets, now) = (Tickets::default(), Instant::now());
    assert!(matches!(plan(&mut tickets, now), TokenPlan::Kdc(_)));
    let (served, failed) = tickets.service_ticket_failed(&key(), error(), now);
    assert_eq!((served.len(), failed.len()), (0, 1));
    assert!(matches!(plan(&mut tickets, now), TokenPlan::Refuse(e) if e == error()));
    assert!(matches!(
        plan(&mut tickets, now + NEGATIVE_CACHE),
        TokenPlan::Kdc(_)
    ));
}

#[test]
fn one_ticket_granting_ticket_is_requested_for_all_services() {
    let (mut tickets, now) = (Tickets::default(), Instant::now());
    let other = TicketKey {
        spn: "HTTP/nn2@R".parse().unwrap(),
        ..key()
    };
    assert!(matches!(tickets.tgt_for(&key(), now), TgtLookup::Fetch(_)));
    assert!(matches!(tickets.tgt_for(&other, now), TgtLookup::Pending));
    let (parked, has_older) = tickets.tgt_failed(&key().client, error(), now);
    assert_eq!((&parked[..], has_older), (&[key(), other][..], false));
    assert!(matches!(tickets.tgt_for(&key(), now), TgtLookup::Failed(e) if e == error()));
    let tgt = Tgt {
        ccache: Arc::new(MemoryCcache::new()),
        client: "spnegate/p@R".into(),
        renew: now + DEADLINE,
        ends: now + DEADLINE,
    };
    tickets.tgt_received(&key().client, tgt);
    assert!(matches!(tickets.tgt_for(&key(), now), TgtLookup::Held(_)));
    tickets.renew_all(now);
    assert!(matches!(tickets.tgt_for(&key(), now), TgtLookup::Fetch(_)));
}
