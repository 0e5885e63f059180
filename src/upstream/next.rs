//! What to do after each outcome of an attempt.
//!
//! This is a pure function, so that all rules about retries are in one place and tested as a table. A
//! POST is never sent to two backends unless the first has proved that it did nothing. Each cause is
//! retried once; the time spent waiting is limited by one deadline in [`super::dispatch`].

use http::Method;

use crate::refusal::Refusal;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptOutcome {
    /// A response for the client.
    Response,
    /// The backend says that the gateway's login failed.
    LoginFailed,
    /// The backend is a standby and did nothing.
    Standby,
    /// The backend does not own what the request is about; another one may.
    NotOwner,
    /// No connection could be made: nothing was sent.
    Unreachable,
    /// The TLS handshake failed or the certificate is not trusted: nothing was sent.
    Untrusted,
    /// A pooled connection was closed before the request was written.
    Unsent,
    /// The connection ended after the request was written and before the response began.
    Broken,
    /// No response within `timeouts.first_byte`.
    TimedOut,
    /// The probe found that the backend is down while the request waited for its response.
    Abandoned,
}

impl AttemptOutcome {
    /// Whether the backend may be dying although it still counts as active. After `Abandoned` it is
    /// known to be down.
    pub(crate) fn leaves_in_doubt(self) -> bool {
        match self {
            Self::Broken => true,
            Self::Response
            | Self::LoginFailed
            | Self::Standby
            | Self::NotOwner
            | Self::Unreachable
            | Self::Untrusted
            | Self::Unsent
            | Self::TimedOut
            | Self::Abandoned => false,
        }
    }
}

/// What is left of the request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyState {
    /// The request has none.
    None,
    /// Nothing of it has been read.
    Unsent,
    /// All that has been read is kept.
    Buffered,
    /// Some of it has been sent and not kept.
    Gone,
}

impl BodyState {
    fn replayable(self) -> bool {
        match self {
            Self::None | Self::Unsent | Self::Buffered => true,
            Self::Gone => false,
        }
    }
}

/// The retries that a request has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RetriesUsed {
    /// The login has been renewed.
    pub relogin: bool,
    /// A broken or abandoned attempt has been repeated.
    pub repeat: bool,
    /// The number of closed pooled connections, and of unreachable or standby servers.
    pub moves: u8,
}

/// The limit of [`RetriesUsed::moves`].
pub(crate) const MAX_MOVES: u8 = 16;

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Forward the response.
    Deliver,
    /// Log in again, then send the request to the same backend.
    Relogin,
    /// Choose a backend again; wait for one if there is none.
    Elsewhere,
    /// Send the request to the same backend on another connection.
    Reconnect,
    /// Give up.
    Refuse(Refusal),
}

/// Decides what follows an attempt.
pub(crate) fn next(
    outcome: AttemptOutcome,
    body: BodyState,
    method: &Method,
    spent: RetriesUsed,
) -> Step {
    let movable = |otherwise| {
        if !body.replayable() {
            Step::Refuse(Refusal::NotReplayable)
        } else if spent.moves >= MAX_MOVES {
            Step::Refuse(otherwise)
        } else {
            Step::Elsewhere
        }
    };
    match outcome {
        AttemptOutcome::Response => Step::Deliver,
        AttemptOutcome::LoginFailed if spent.relogin => Step::Refuse(Refusal::BackendLogin),
        AttemptOutcome::LoginFailed if !body.replayable() => Step::Refuse(Refusal::NotReplayable),
        AttemptOutcome::LoginFailed => Step::Relogin,
        AttemptOutcome::Standby => movable(Refusal::NoActive),
        AttemptOutcome::NotOwner => movable(Refusal::OwnerGone),
        AttemptOutcome::Unreachable => movable(Refusal::BackendDown),
        AttemptOutcome::Untrusted => movable(Refusal::BackendTls),
        AttemptOutcome::Unsent if body.replayable() && spent.moves < MAX_MOVES => Step::Reconnect,
        AttemptOutcome::Unsent => Step::Refuse(Refusal::BackendBroken),
        // The request may have been executed, so only a safe method is repeated (RFC 9110 section
        // 9.2.1). PUT is idempotent in HTTP, but not in WebHDFS: a repeated RENAME returns `false`.
        AttemptOutcome::Broken if method.is_safe() && body.replayable() && !spent.repeat => {
            Step::Elsewhere
        }
        AttemptOutcome::Broken => Step::Refuse(Refusal::BackendBroken),
        AttemptOutcome::Abandoned if method.is_safe() && body.replayable() && !spent.repeat => {
            Step::Elsewhere
        }
        AttemptOutcome::Abandoned | AttemptOutcome::TimedOut => {
            Step::Refuse(Refusal::BackendTimeout)
        }
    }
}

impl RetriesUsed {
    /// Records a step.
    pub(crate) fn record(&mut self, outcome: AttemptOutcome, step: Step) {
        match (outcome, step) {
            (_, Step::Relogin) => self.relogin = true,
            (AttemptOutcome::Broken | AttemptOutcome::Abandoned, Step::Elsewhere) => {
                self.repeat = true;
            }
            (_, Step::Elsewhere | Step::Reconnect) => self.moves = self.moves.saturating_add(1),
            (_, Step::Deliver | Step::Refuse(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: RetriesUsed = RetriesUsed {
        relogin: false,
        repeat: false,
        moves: 0,
    };
    const EXHAUSTED: RetriesUsed = RetriesUsed {
        relogin: true,
        repeat: true,
        moves: MAX_MOVES,
    };

    #[test]
    fn the_table_of_retries() {
        use AttemptOutcome as O;
        use BodyState as B;
        use Refusal as R;
        use Step as S;
        let (get, post, put) = (Method::GET, Method::POST, Method::PUT);
        let table = [
            (O::Response, B::Gone, &post, EXHAUSTED, S::Deliver),
            (O::LoginFailed, B::None, &get, FRESH, S::Relogin),
            (O::LoginFailed, B::Buffered, &post, FRESH, S::Relogin),
            (
                O::LoginFailed,
                B::Gone,
                &put,
                FRESH,
                S::Refuse(R::NotReplayable),
            ),
            (
                O::LoginFailed,
                B::None,
                &get,
                EXHAUSTED,
                S::Refuse(R::BackendLogin),
            ),
            (O::Standby, B::None, &get, FRESH, S::Elsewhere),
            (O::Standby, B::Buffered, &post, FRESH, S::Elsewhere),
            (
                O::Standby,
                B::Gone,
                &put,
                FRESH,
                S::Refuse(R::NotReplayable),
            ),
            (O::Standby, B::None, &get, EXHAUSTED, S::Refuse(R::NoActive)),
            (O::Unreachable, B::Unsent, &post, FRESH, S::Elsewhere),
            (
                O::Unreachable,
                B::None,
                &get,
                EXHAUSTED,
                S::Refuse(R::BackendDown),
            ),
            (O::Unsent, B::Unsent, &post, FRESH, S::Reconnect),
            (
                O::Unsent,
                B::Gone,
                &post,
                FRESH,
                S::Refuse(R::BackendBroken),
            ),
            (O::Broken, B::None, &get, FRESH, S::Elsewhere),
            (
                O::Broken,
                B::None,
                &get,
                EXHAUSTED,
                S::Refuse(R::BackendBroken),
            ),
            (
                O::Broken,
                B::Buffered,
                &post,
                FRESH,
                S::Refuse(R::BackendBroken),
            ),
            (O::Broken, B::None, &put, FRESH, S::Refuse(R::BackendBroken)),
            (O::Abandoned, B::None, &get, FRESH, S::Elsewhere),
            (
                O::Abandoned,
                B::Buffered,
                &post,
                FRESH,
                S::Refuse(R::BackendTimeout),
            ),
            (
                O::TimedOut,
                B::None,
                &get,
                FRESH,
                S::Refuse(R::BackendTimeout),
            ),
        ];
        for (outcome, body, method, spent, wanted) in table {
            assert_eq!(
                next(outcome, body, method, spent),
                wanted,
                "{outcome:?} {body:?} {method} {spent:?}"
            );
        }
    }

    #[test]
    fn an_abandoned_request_is_repeated_without_another_probe() {
        assert!(AttemptOutcome::Broken.leaves_in_doubt());
        assert!(!AttemptOutcome::Abandoned.leaves_in_doubt());
        assert!(!AttemptOutcome::Unreachable.leaves_in_doubt());
    }

    #[test]
    fn a_post_that_may_have_been_executed_is_never_repeated() {
        for outcome in [
            AttemptOutcome::Broken,
            AttemptOutcome::TimedOut,
            AttemptOutcome::Abandoned,
        ] {
            for body in [
                BodyState::None,
                BodyState::Unsent,
                BodyState::Buffered,
                BodyState::Gone,
            ] {
                assert!(matches!(
                    next(outcome, body, &Method::POST, FRESH),
                    Step::Refuse(_)
                ));
            }
        }
    }

    #[test]
    fn every_path_through_the_table_ends() {
        for outcome in [
            AttemptOutcome::LoginFailed,
            AttemptOutcome::Standby,
            AttemptOutcome::Unreachable,
            AttemptOutcome::Untrusted,
            AttemptOutcome::Unsent,
            AttemptOutcome::Broken,
            AttemptOutcome::TimedOut,
            AttemptOutcome::Abandoned,
        ] {
            let mut spent = RetriesUsed::default();
            let steps = (0..100)
                .take_while(|_| {
                    let step = next(outcome, BodyState::None, &Method::GET, spent);
                    spent.record(outcome, step);
                    !matches!(step, Step::Refuse(_))
                })
                .count();
            assert!(steps <= usize::from(MAX_MOVES), "{outcome:?}: {steps}");
        }
    }
}
