//! Which worker a connection goes to.
//!
//! The kernel deals connections out to the workers' sockets by a hash (`SO_REUSEPORT`), which knows
//! nothing of what a worker has already: of a few that last, as a balancer's, one worker may get all.
//! A worker that has clearly more than another hands what it accepts over.

use std::{
    net::{self, SocketAddr},
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A connection on its way from the worker that accepted it, and its client.
pub(super) type Handed = (net::TcpStream, SocketAddr);

/// All workers' connections.
#[derive(Debug)]
pub(super) struct Seats(Vec<Seat>);

#[derive(Debug)]
struct Seat {
    taken: AtomicUsize,
    /// To each of its listeners.
    ways: Vec<UnboundedSender<Handed>>,
}

impl Seats {
    /// For so many workers, each of which gets the far ends of its listeners' ways.
    pub(super) fn new(
        workers: usize,
        listeners: usize,
    ) -> (Self, Vec<Vec<UnboundedReceiver<Handed>>>) {
        let seat = |_| {
            let (ways, ends) = (0..listeners).map(|_| unbounded_channel()).unzip();
            let taken = AtomicUsize::new(0);
            (Seat { taken, ways }, ends)
        };
        let (seats, ends) = (0..workers).map(seat).unzip();
        (Self(seats), ends)
    }

    /// Takes a seat for a connection that the worker `own` has accepted: there, unless it has more
    /// than five for another's four.
    pub(super) fn take(&self, own: usize) -> usize {
        let taken = |seat: &Seat| seat.taken.load(Ordering::Relaxed);
        let least = self
            .0
            .iter()
            .enumerate()
            .min_by_key(|(_, seat)| taken(seat));
        let worker = match least {
            Some((least, seat)) if 4 * taken(&self.0[own]) > 5 * taken(seat) => least,
            _ => own,
        };
        self.take_at(worker);
        worker
    }

    /// Takes a seat there.
    pub(super) fn take_at(&self, worker: usize) {
        self.0[worker].taken.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection has ended, or came to nothing.
    pub(super) fn free(&self, worker: usize) {
        self.0[worker].taken.fetch_sub(1, Ordering::Relaxed);
    }

    /// Hands a connection over, with the seat that was taken for it; gives it back where that worker
    /// accepts no more.
    pub(super) fn hand_over(
        &self,
        worker: usize,
        listener: usize,
        connection: Handed,
    ) -> Result<(), Handed> {
        let sent = self.0[worker].ways[listener].send(connection);
        sent.map_err(|unsent| unsent.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_connections_are_shared_evenly_and_many_nearly() {
        let (seats, _ends) = Seats::new(2, 1);
        let all = [0; 4].map(|own| seats.take(own));
        assert_eq!(all, [0, 1, 0, 1]);
        seats.free(0);
        seats.free(0);
        assert_eq!(seats.take(1), 0);
        let (seats, _ends) = Seats::new(3, 1);
        for _ in 0..300 {
            seats.take(0);
        }
        let taken: Vec<_> = seats
            .0
            .iter()
            .map(|seat| seat.taken.load(Ordering::Relaxed))
            .collect();
        assert!(
            taken.iter().all(|taken| (80..=125).contains(taken)),
            "{taken:?}"
        );
    }

    #[test]
    fn who_is_alone_keeps_all() {
        let (seats, _ends) = Seats::new(1, 1);
        assert_eq!([0; 3].map(|own| seats.take(own)), [0; 3]);
    }
}
