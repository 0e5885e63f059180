//! Whose turn it is while a body is on its way, and how long that side may take.

use std::time::Duration;

use tokio::time::Instant;

/// How long either side may make no progress with a body. The time in which the backend does not
/// take what has come is not held against the client.
#[derive(Debug)]
pub(super) struct Patience {
    limit: Duration,
    /// Bytes that are progress.
    step: u64,
    /// Those since the last progress.
    came: u64,
    /// When the client made progress last, moved on by what the backend took since.
    since: Instant,
    /// When the backend was given something last; `None` while the client is to send.
    given: Option<Instant>,
}

impl Patience {
    /// `step` bytes within `limit` are progress.
    pub(super) fn new(limit: Duration, step: u64) -> Self {
        Self {
            limit,
            step,
            came: 0,
            since: Instant::now(),
            given: None,
        }
    }

    /// The client's time begins: a backend takes its body.
    pub(super) fn begin(&mut self) {
        self.since = Instant::now();
    }

    /// The client has sent something.
    pub(super) fn came(&mut self, bytes: usize) {
        let now = Instant::now();
        self.took(now);
        self.given = Some(now);
        self.came += bytes as u64;
        if self.came >= self.step {
            self.came = 0;
            self.since = now;
        }
    }

    /// The backend has taken all that came, and the client is to send.
    pub(super) fn awaits(&mut self) {
        if self.given.is_some() {
            self.took(Instant::now());
        }
    }

    fn took(&mut self, now: Instant) {
        if let Some(given) = self.given.take() {
            self.since += now.saturating_duration_since(given);
        }
    }

    /// When the side that is to do something is late.
    pub(super) fn end(&self) -> Instant {
        self.given.unwrap_or(self.since) + self.limit
    }

    /// Whether the client is to send; else the backend is to take what came.
    pub(super) fn is_clients(&self) -> bool {
        self.given.is_none()
    }

    /// Whether the side that is to do something has used up its time.
    pub(super) fn is_late(&self) -> bool {
        self.end() <= Instant::now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience(step: u64) -> Patience {
        Patience::new(Duration::from_secs(60), step)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_drips_makes_no_progress() {
        let second = Duration::from_secs(1);
        let (mut any, mut some) = (patience(1), patience(600));
        let begun = Instant::now();
        for _ in 0..59 {
            tokio::time::advance(second).await;
            for one in [&mut any, &mut some] {
                one.came(9);
                one.awaits();
            }
        }
        assert_eq!(any.end(), begun + 119 * second);
        assert_eq!(some.end(), begun + 60 * second);
        some.came(100);
        some.awaits();
        assert_eq!(some.end(), begun + 119 * second);
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_the_backend_takes_nothing_is_its_own() {
        let second = Duration::from_secs(1);
        let mut one = patience(600);
        let begun = Instant::now();
        tokio::time::advance(10 * second).await;
        one.came(100);
        assert_eq!(one.end(), begun + 70 * second, "the backend is to take it");
        tokio::time::advance(60 * second).await;
        assert!(one.is_late() && !one.is_clients());
        one.awaits();
        assert_eq!(one.end(), begun + 120 * second, "10 s are used up");
        tokio::time::advance(50 * second).await;
        assert!(one.is_late() && one.is_clients());
    }
}
