use proptest::prelude::*;

use super::*;

/// Weight, load and health of servers `s0`, `s1`, …
#[derive(Clone, Debug)]
struct Servers {
    states: Vec<BalanceState>,
    weights: Vec<u32>,
    loads: Vec<usize>,
    up: Vec<bool>,
}

impl Clone for BalanceState {
    fn clone(&self) -> Self {
        Self {
            key: self.key,
            turn: AtomicI64::new(self.turn.load(Ordering::Relaxed)),
        }
    }
}

impl Servers {
    fn new(weights: &[u32]) -> Self {
        Self {
            states: (0..weights.len())
                .map(|i| BalanceState::new(&format!("s{i}:88")))
                .collect(),
            weights: weights.to_vec(),
            loads: vec![0; weights.len()],
            up: vec![true; weights.len()],
        }
    }

    fn choose(&self, algorithm: Algorithm, client: u64) -> Option<usize> {
        let candidates = (0..self.states.len()).map(|i| Candidate {
            state: &self.states[i],
            weight: self.weights[i],
            load: self.loads[i],
            up: self.up[i],
        });
        choose(algorithm, client, candidates)
    }

    fn total(&self) -> u32 {
        self.weights.iter().sum()
    }
}

const ALL: [Algorithm; 4] = [
    Algorithm::First,
    Algorithm::RoundRobin,
    Algorithm::LeastConn,
    Algorithm::Source,
];

fn client(number: u32) -> u64 {
    stable_hash(&number.to_be_bytes())
}

#[test]
fn first_is_the_first_that_is_up() {
    let mut servers = Servers::new(&[1, 1, 1]);
    assert_eq!(servers.choose(Algorithm::First, 0), Some(0));
    servers.up[0] = false;
    servers.weights[1] = 0;
    assert_eq!(servers.choose(Algorithm::First, 0), Some(2));
}

#[test]
fn the_turns_of_a_heavy_server_are_spread_as_in_nginx() {
    let servers = Servers::new(&[5, 1, 1]);
    let order: Vec<_> = (0..7)
        .filter_map(|_| servers.choose(Algorithm::RoundRobin, 0))
        .collect();
    assert_eq!(order, [0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn the_least_load_by_weight_is_chosen_and_equals_alternate() {
    let mut servers = Servers::new(&[1, 3, 1]);
    servers.loads = vec![2, 5, 2];
    assert_eq!(servers.choose(Algorithm::LeastConn, 0), Some(1));
    servers.loads = vec![2, 7, 2];
    let one = servers.choose(Algorithm::LeastConn, 0);
    let other = servers.choose(Algorithm::LeastConn, 0);
    assert_eq!([one, other], [Some(0), Some(2)]);
}

#[test]
fn slow_start_grows_linearly_and_is_never_zero() {
    let ramp = Duration::from_secs(60);
    let after = |seconds| effective_weight(10, Duration::from_secs(seconds), ramp);
    assert_eq!([after(0), after(30), after(60)], [1, 320, 640]);
    assert_eq!(effective_weight(0, Duration::ZERO, ramp), 0);
    assert_eq!(effective_weight(1, Duration::ZERO, Duration::ZERO), 64);
}

fn weights() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(1_u32..=20, 1..8)
}

proptest! {
    #[test]
    fn a_server_that_is_down_is_never_chosen(
        servers in prop::collection::vec((0_u32..4, 0_usize..9, any::<bool>()), 0..8),
        clients in prop::collection::vec(any::<u64>(), 1..16),
    ) {
        let mut all = Servers::new(&servers.iter().map(|s| s.0).collect::<Vec<_>>());
        all.loads = servers.iter().map(|s| s.1).collect();
        all.up = servers.iter().map(|s| s.2).collect();
        let any = servers.iter().any(|s| s.0 > 0 && s.2);
        for algorithm in ALL {
            for client in &clients {
                let chosen = all.choose(algorithm, *client);
                prop_assert_eq!(chosen.is_some(), any);
                if let Some(chosen) = chosen {
                    prop_assert!(all.up[chosen] && all.weights[chosen] > 0);
                }
            }
        }
    }

    #[test]
    fn a_round_gives_each_server_exactly_its_weight(weights in weights(), rounds in 1_u32..4) {
        let servers = Servers::new(&weights);
        let mut counts = vec![0_u32; weights.len()];
        for _ in 0..servers.total() * rounds {
            counts[servers.choose(Algorithm::RoundRobin, 0).unwrap()] += 1;
        }
        let expected: Vec<_> = weights.iter().map(|weight| weight * rounds).collect();
        prop_assert_eq!(counts, expected);
    }

    #[test]
    fn within_a_round_no_server_is_ahead_by_more_than_the_number_of_servers(weights in weights()) {
        let servers = Servers::new(&weights);
        let total = f64::from(servers.total());
        let number = f64::from(u32::try_from(weights.len()).unwrap());
        let mut counts = vec![0_u32; weights.len()];
        for step in 1..=servers.total() * 2 {
            counts[servers.choose(Algorithm::RoundRobin, 0).unwrap()] += 1;
            for (count, weight) in counts.iter().zip(&weights) {
                let due = f64::from(step) * f64::from(*weight) / total;
                prop_assert!((f64::from(*count) - due).abs() <= number);
            }
        }
    }

    #[test]
    fn connections_that_stay_are_spread_by_weight(weights in weights(), rounds in 1_u32..4) {
        let mut servers = Servers::new(&weights);
        for _ in 0..servers.total() * rounds {
            let chosen = servers.choose(Algorithm::LeastConn, 0).unwrap();
            servers.loads[chosen] += 1;
        }
        for (load, weight) in servers.loads.iter().zip(&weights) {
            let due = usize::try_from(weight * rounds).unwrap();
            prop_assert!(load.abs_diff(due) <= weights.len(), "{load} of {due}");
        }
    }

    #[test]
    fn only_the_clients_of_a_server_that_goes_are_moved(weights in weights(), gone in 0_usize..8) {
        let before = Servers::new(&weights);
        let mut after = before.clone();
        let gone = gone % weights.len();
        after.up[gone] = false;
        for number in 0..500 {
            let was = before.choose(Algorithm::Source, client(number)).unwrap();
            let is = after.choose(Algorithm::Source, client(number));
            if was == gone {
                prop_assert_ne!(is, Some(gone));
            } else {
                prop_assert_eq!(is, Some(was));
            }
        }
    }

    #[test]
    fn the_order_of_the_servers_moves_no_client(weights in weights(), client in any::<u64>()) {
        let servers = Servers::new(&weights);
        let mut turned = servers.clone();
        turned.states.reverse();
        turned.weights.reverse();
        let mirrored = turned.choose(Algorithm::Source, client).map(|i| weights.len() - 1 - i);
        prop_assert_eq!(servers.choose(Algorithm::Source, client), mirrored);
    }

    #[test]
    fn a_weight_that_grows_only_draws_clients_to_its_server(weights in weights(), one in 0_usize..8) {
        let before = Servers::new(&weights);
        let mut after = before.clone();
        let one = one % weights.len();
        after.weights[one] *= 2;
        for number in 0..500 {
            let was = before.choose(Algorithm::Source, client(number));
            let is = after.choose(Algorithm::Source, client(number));
            prop_assert!(is == was || is == Some(one));
        }
    }
}

#[test]
fn clients_by_address_are_spread_by_weight() {
    let weights = [1, 2, 1, 4];
    let servers = Servers::new(&weights);
    let mut counts = [0_u32; 4];
    // neighbouring addresses, as clients of one network have them
    for number in 0..8_000_u32 {
        let address = 0x0a00_0000 + number;
        counts[servers.choose(Algorithm::Source, client(address)).unwrap()] += 1;
    }
    for (count, weight) in counts.iter().zip(weights) {
        // five standard deviations of 1,000 are about 150
        assert!(count.abs_diff(weight * 1_000) < 250, "{counts:?}");
    }
}

#[test]
fn concurrent_workers_give_each_server_its_share() {
    let servers = Servers::new(&[3, 1]);
    let counts: [std::sync::atomic::AtomicUsize; 2] = Default::default();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    let chosen = servers.choose(Algorithm::RoundRobin, 0).unwrap();
                    counts[chosen].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let first = counts[0].load(Ordering::Relaxed);
    // each of four racing threads can be out by a round
    assert!(first.abs_diff(3_000) <= 200, "{first}");
}
