use std::time::Duration;

use super::{super::backend::BackendKey, *};
use crate::{balance::Algorithm, gss::Principal};

fn group(balance: Balance) -> Arc<BackendGroup> {
    with(BalancePolicy::plain(balance, 2))
}

fn limited(balance: Balance, each: [Option<usize>; 2], queue: usize) -> Arc<BackendGroup> {
    let limits = ConcurrencyLimits {
        each: each.to_vec(),
        queue_length: queue,
        queue_timeout: Duration::from_secs(10),
    };
    let group = with(BalancePolicy {
        limits,
        ..BalancePolicy::plain(balance, 2)
    });
    group.learn(0, BackendHealth::Active);
    group.learn(1, BackendHealth::Active);
    group
}

fn with(policy: BalancePolicy) -> Arc<BackendGroup> {
    let backends = ["nn1", "nn2"]
        .iter()
        .map(|name| {
            let spn: Principal = format!("HTTP/{name}@R").parse().unwrap();
            let key = BackendKey {
                authority: format!("{name}:50070").into(),
                kind: "generic",
                checks_impersonation: false,
                principal: None,
                spn: Some(spn),
                tls: None,
                send_proxy: None,
            };
            Arc::new(Backend::new(
                key,
                (*name).into(),
                50070,
                crate::kinds::ALL[0],
            ))
        })
        .collect();
    BackendGroup::new("namenode".into(), backends, policy)
}

fn from(client: &str) -> PickCriteria {
    PickCriteria {
        client: client.parse().unwrap(),
        owner: None,
        tried: TriedBackends::default(),
    }
}

fn any_client() -> PickCriteria {
    from("192.0.2.1")
}

/// The backend for a request; `None` if it has to wait.
fn picked(group: &BackendGroup) -> Result<Option<usize>, Refusal> {
    match group.pick(&any_client()) {
        Pick::Backend(index, _) => Ok(Some(index)),
        Pick::AtCapacity(_) | Pick::NoneActive => Ok(None),
        Pick::Refuse(refusal) => Err(refusal),
    }
}

fn permit(group: &BackendGroup) -> BackendPermit {
    match group.pick(&any_client()) {
        Pick::Backend(_, Some(permit)) => permit,
        other => panic!("{other:?}"),
    }
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn of_two_that_claim_to_be_active_the_later_is_chosen() {
    let group = group(Balance::Active);
    assert_eq!(picked(&group), Ok(None));
    group.learn(0, BackendHealth::Active);
    assert_eq!(picked(&group), Ok(Some(0)));
    let first = group.backends[0].status().active_since;
    while super::super::backend::now_ms() == first {}
    // nn1 is suspended, nn2 takes over, nn1 is resumed and still says that it is active
    group.learn(0, BackendHealth::Down);
    group.learn(1, BackendHealth::Active);
    group.learn(0, BackendHealth::Active);
    assert_eq!(picked(&group), Ok(Some(1)));
}

#[test]
fn first_takes_the_next_when_the_first_is_down() {
    let group = group(Balance::By(Algorithm::First));
    group.learn(0, BackendHealth::Down);
    group.learn(1, BackendHealth::Active);
    assert_eq!(picked(&group), Ok(Some(1)));
    group.learn(1, BackendHealth::Down);
    assert_eq!(picked(&group), Err(Refusal::BackendDown));
}

#[tokio::test]
async fn a_held_request_goes_on_when_one_becomes_active() {
    let group = group(Balance::Active);
    let waiting = tokio::spawn({
        let group = Arc::clone(&group);
        async move {
            group
                .pick_or_wait(&any_client(), hold_until(Duration::from_secs(60)))
                .await
        }
    });
    while group.held.load(Ordering::Acquire) == 0 {
        tokio::task::yield_now().await;
    }
    group.learn(1, BackendHealth::Active);
    assert_eq!(waiting.await.unwrap().map(|(index, _)| index), Ok(1));
    assert_eq!(group.held.load(Ordering::Acquire), 0);
}

#[tokio::test]
async fn a_held_request_continues_after_another_consoles_probe() {
    let here = group(Balance::Active);
    let shared = here.backends.clone();
    let there = BackendGroup::new(
        "oozie".into(),
        shared,
        BalancePolicy::plain(Balance::Active, 2),
    );
    let waiting = tokio::spawn({
        let there = Arc::clone(&there);
        async move {
            let end = hold_until(Duration::from_secs(60));
            there.pick_or_wait(&any_client(), end).await
        }
    });
    while there.held.load(Ordering::Acquire) == 0 {
        tokio::task::yield_now().await;
    }
    here.learn(0, BackendHealth::Active);
    // the console's own probe finds a state that is known already
    there.learn(0, BackendHealth::Active);
    assert_eq!(waiting.await.unwrap().map(|(index, _)| index), Ok(0));
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_at_the_deadline() {
    let group = group(Balance::Active);
    group.learn(0, BackendHealth::Standby);
    let end = group
        .pick_or_wait(&any_client(), hold_until(Duration::from_secs(15)))
        .await;
    assert_eq!(end.map(|_| ()), Err(Refusal::NoActive));
}

#[test]
fn round_robin_follows_the_weights() {
    let group = with(BalancePolicy {
        weights: vec![3, 1],
        ..BalancePolicy::plain(Balance::By(Algorithm::RoundRobin), 2)
    });
    group.learn(0, BackendHealth::Active);
    group.learn(1, BackendHealth::Active);
    let turns: Vec<_> = (0..8).map(|_| picked(&group).unwrap().unwrap()).collect();
    assert_eq!(turns.iter().filter(|index| **index == 0).count(), 6);
}

#[test]
fn the_backend_with_fewer_requests_is_chosen() {
    let group = group(Balance::By(Algorithm::LeastConn));
    group.learn(0, BackendHealth::Active);
    group.learn(1, BackendHealth::Active);
    let busy = super::super::backend::InFlight::at(&group.backends[0], None);
    assert_eq!(picked(&group), Ok(Some(1)));
    drop(busy);
}

#[test]
fn a_client_keeps_its_server_until_that_is_gone() {
    let group = group(Balance::By(Algorithm::Source));
    group.learn(0, BackendHealth::Active);
    group.learn(1, BackendHealth::Active);
    let of = |client: &str| match group.pick(&from(client)) {
        Pick::Backend(index, _) => index,
        other => panic!("{other:?}"),
    };
    let clients: Vec<String> = (0..64).map(|n| format!("192.0.2.{n}")).collect();
    let before: Vec<usize> = clients.iter().map(|client| of(client)).collect();
    assert!(before.contains(&0) && before.contains(&1));
    // the same client by way of an IPv4-mapped address
    assert_eq!(of("::ffff:192.0.2.7"), before[7]);
    group.learn(1, BackendHealth::Down);
    assert!(clients.iter().all(|client| of(client) == 0));
    group.learn(1, BackendHealth::Active);
    let after: Vec<usize> = clients.iter().map(|client| of(client)).collect();
    assert_eq!(before, after);
}

#[test]
fn a_backend_that_has_just_failed_is_chosen_again_only_if_it_is_the_only_one() {
    let group = group(Balance::By(Algorithm::First));
    group.learn(0, BackendHealth::Active);
    group.learn(1, BackendHealth::Active);
    let mut wanted = any_client();
    wanted.tried.add(0);
    assert_eq!(group.another(wanted.tried), Some(1));
    group.assign(1, AdminState::Drain);
    assert_eq!(group.another(wanted.tried), Some(1));
    group.assign(1, AdminState::Maintenance);
    assert_eq!(group.another(wanted.tried), None);
    group.assign(1, AdminState::Ready);
    assert!(matches!(group.pick(&wanted), Pick::Backend(1, _)));
    group.learn(1, BackendHealth::Down);
    assert!(matches!(group.pick(&wanted), Pick::Backend(0, _)));
}

#[test]
fn a_drained_server_gets_only_requests_that_it_owns() {
    let group = group(Balance::By(Algorithm::First));
    group.learn(0, BackendHealth::Active);
    group.learn(1, BackendHealth::Active);
    group.assign(0, AdminState::Drain);
    assert_eq!(picked(&group), Ok(Some(1)));
    let owned = PickCriteria {
        owner: Some(0),
        ..any_client()
    };
    assert!(matches!(group.pick(&owned), Pick::Backend(0, _)));
    group.assign(0, AdminState::Maintenance);
    assert!(matches!(
        group.pick(&owned),
        Pick::Refuse(Refusal::OwnerGone)
    ));
    group.assign(1, AdminState::Drain);
    assert_eq!(picked(&group), Err(Refusal::BackendDown));
    group.assign(0, AdminState::Ready);
    assert_eq!(picked(&group), Ok(Some(0)));
}

#[tokio::test]
async fn permits_are_given_in_the_order_of_the_queue() {
    let group = limited(Balance::By(Algorithm::First), [Some(1), Some(1)], 8);
    let (one, other) = (permit(&group), permit(&group));
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut waiting = Vec::new();
    for number in 0..3 {
        let (group, order) = (Arc::clone(&group), Arc::clone(&order));
        let before = group.queued();
        let task = tokio::spawn({
            let group = Arc::clone(&group);
            async move {
                let grant = group.queue(&any_client(), None).await.unwrap();
                order.lock().unwrap().push(number);
                drop(grant);
            }
        });
        until(|| group.queued() > before).await;
        waiting.push(task);
    }
    // a new request does not overtake the queue
    assert!(matches!(group.pick(&any_client()), Pick::AtCapacity(None)));
    drop(one);
    for task in waiting {
        task.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [0, 1, 2]);
    drop(other);
    assert_eq!(group.queued(), 0);
    assert_eq!(picked(&group), Ok(Some(0)));
}

#[tokio::test]
async fn a_full_queue_refuses_and_a_cancelled_request_leaves_it() {
    let group = limited(Balance::By(Algorithm::First), [Some(1), Some(1)], 1);
    let (one, other) = (permit(&group), permit(&group));
    let waiting = tokio::spawn({
        let group = Arc::clone(&group);
        async move { group.queue(&any_client(), None).await.map(|_| ()) }
    });
    until(|| group.queued() == 1).await;
    let refused = group.queue(&any_client(), None).await.map(|_| ());
    assert_eq!(refused, Err(Refusal::QueueFull));
    waiting.abort();
    assert!(waiting.await.is_err());
    assert_eq!(group.queued(), 0);
    drop((one, other));
    assert_eq!(picked(&group), Ok(Some(0)));
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_permit_times_out() {
    let group = limited(Balance::By(Algorithm::First), [Some(1), Some(1)], 1);
    let _places = (permit(&group), permit(&group));
    let late = group.queue(&any_client(), None).await.map(|_| ());
    assert_eq!(late, Err(Refusal::QueueTimeout));
    assert_eq!(group.queued(), 0);
}

#[tokio::test]
async fn a_request_that_waits_for_one_server_does_not_block_another() {
    let group = limited(Balance::By(Algorithm::First), [Some(1), Some(1)], 8);
    let first = permit(&group);
    let owner = tokio::spawn({
        let group = Arc::clone(&group);
        async move {
            group
                .queue(&any_client(), Some(0))
                .await
                .map(|(index, _)| index)
        }
    });
    until(|| group.queued() == 1).await;
    let grant = group
        .queue(&any_client(), None)
        .await
        .map(|(index, _)| index);
    assert_eq!(grant, Ok(1));
    drop(first);
    assert_eq!(owner.await.unwrap(), Ok(0));
}

#[tokio::test]
async fn a_server_that_comes_up_serves_the_queue() {
    let group = limited(Balance::By(Algorithm::RoundRobin), [Some(1), None], 8);
    group.learn(1, BackendHealth::Down);
    let _first = permit(&group);
    let waiting = tokio::spawn({
        let group = Arc::clone(&group);
        async move {
            group
                .queue(&any_client(), None)
                .await
                .map(|(index, _)| index)
        }
    });
    until(|| group.queued() == 1).await;
    group.learn(1, BackendHealth::Active);
    assert_eq!(waiting.await.unwrap(), Ok(1));
}

fn hold_until(hold: Duration) -> Instant {
    Instant::now() + hold
}
