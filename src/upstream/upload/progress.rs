//! Which side has to act while a body is being sent, and how long it may take.

use std::time::Duration;

use tokio::time::Instant;

/// Limits how long either side may make no progress with a body. While the backend does not accept
/// what has arrived, the client's time stands still: it cannot send more.
#[derive(Debug)]
pub(super) struct ProgressLimit {
    limit: Duration,
    /// This many bytes count as progress.
    step: u64,
    /// Bytes since the last progress.
    came: u64,
    /// When the client last made progress, plus the time that the backend has taken since.
    since: Instant,
    /// When the backend was last given data; `None` while the client has to send.
    given: Option<Instant>,
}

impl ProgressLimit {
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

    /// Starts the client's time: a backend accepts the body.
    pub(super) fn begin(&mut self) {
        self.since = Instant::now();
    }

    /// The client has sent data.
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

    /// The backend has accepted everything, and the client has to send.
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

    /// When the side that has to act is late.
    pub(super) fn end(&self) -> Instant {
        self.given.unwrap_or(self.since) + self.limit
    }

    /// Whether the client has to act; otherwise the backend has to.
    pub(super) fn is_clients(&self) -> bool {
        self.given.is_none()
    }

    /// Whether the side that has to act is late.
    pub(super) fn is_late(&self) -> bool {
        self.end() <= Instant::now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(step: u64) -> ProgressLimit {
        ProgressLimit::new(Duration::from_secs(60), step)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_too_slowly_makes_no_progress() {
        let second = Duration::from_secs(1);
        let (mut any, mut some) = (limit(1), limit(600));
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
    async fn the_backends_time_does_not_count_for_the_client() {
        let second = Duration::from_secs(1);
        let mut one = limit(600);
        let begun = Instant::now();
        tokio::time::advance(10 * second).await;
        one.came(100);
        assert_eq!(
            one.end(),
            begun + 70 * second,
            "the backend has to accept it"
        );
        tokio::time::advance(60 * second).await;
        assert!(one.is_late() && !one.is_clients());
        one.awaits();
        assert_eq!(one.end(), begun + 120 * second, "10 s are used up");
        tokio::time::advance(50 * second).await;
        assert!(one.is_late() && one.is_clients());
    }
}
