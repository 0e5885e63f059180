//! The decision table of the attempt loop: what to do after each outcome of a try.
//!
//! A pure function, so that every rule of "what may be tried again" stands in one place and is
//! tested as a table. A POST never reaches two backends unless the first proved that nothing was
//! done; each cause is answered once, and waiting is bounded by one deadline elsewhere.

use http::Method;

use crate::refusal::Refusal;

/// How one try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptOutcome {
    /// An answer for the client.
    Response,
    /// The backend says that the gateway's login failed.
    LoginFailed,
    /// The backend says: not me, nothing was done.
    Standby,
    /// The backend does not know what the request is about, and another one may.
    NotOwner,
    /// No connection could be made: nothing was sent.
    Unreachable,
    /// TLS could not be spoken, or the certificate not be believed: nothing was sent.
    Untrusted,
    /// A pooled connection was closed before the request was written.
    Unsent,
    /// The connection ended after the request was written and before an answer came.
    Broken,
    /// No answer within `timeouts.first_byte`.
    TimedOut,
    /// The probe found the backend dead while it kept us waiting.
    Abandoned,
}

impl AttemptOutcome {
    /// Whether the backend may be dying and still count as active. One that was abandoned is known
    /// to be down.
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
    /// There never was one.
    None,
    /// Not a byte of it was read.
    Unsent,
    /// All that was read is still here.
    Buffered,
    /// Some of it is lost.
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

/// What this request has used up already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RetriesUsed {
    /// The login was renewed once.
    pub relogin: bool,
    /// A broken or abandoned try was repeated once.
    pub repeat: bool,
    /// Pooled connections that were found closed, and unreachable or standby servers met.
    pub moves: u8,
}

/// Servers a request may be sent on to before it gives up.
pub(crate) const MAX_MOVES: u8 = 16;

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Pass the answer on.
    Deliver,
    /// Log in again, then ask the same backend.
    Relogin,
    /// Ask whichever backend is to be asked now; wait for one if there is none.
    Elsewhere,
    /// Ask the same backend on a new connection.
    Reconnect,
    /// Give up.
    Refuse(Refusal),
}

/// Decides what follows a try.
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
        // the request may have been carried out: only a safe method (RFC 9110 section 9.2.1) goes
        // again; a WebHDFS RENAME is a PUT and would answer `false` the second time
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
    /// Books a step.
    pub(crate) fn book(&mut self, outcome: AttemptOutcome, step: Step) {
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
    const TIRED: RetriesUsed = RetriesUsed {
        relogin: true,
        repeat: true,
        moves: MAX_MOVES,
    };

    #[test]
    fn the_table_of_what_may_be_tried_again() {
        use AttemptOutcome as O;
        use BodyState as B;
        use Refusal as R;
        use Step as S;
        let (get, post, put) = (Method::GET, Method::POST, Method::PUT);
        let table = [
            (O::Response, B::Gone, &post, TIRED, S::Deliver),
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
                TIRED,
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
            (O::Standby, B::None, &get, TIRED, S::Refuse(R::NoActive)),
            (O::Unreachable, B::Unsent, &post, FRESH, S::Elsewhere),
            (
                O::Unreachable,
                B::None,
                &get,
                TIRED,
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
            (O::Broken, B::None, &get, TIRED, S::Refuse(R::BackendBroken)),
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
    fn a_read_given_up_by_the_probe_is_repeated_without_another_look() {
        assert!(AttemptOutcome::Broken.leaves_in_doubt());
        assert!(!AttemptOutcome::Abandoned.leaves_in_doubt());
        assert!(!AttemptOutcome::Unreachable.leaves_in_doubt());
    }

    #[test]
    fn a_post_that_may_have_been_done_is_never_sent_again() {
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
                    spent.book(outcome, step);
                    !matches!(step, Step::Refuse(_))
                })
                .count();
            assert!(steps <= usize::from(MAX_MOVES), "{outcome:?}: {steps}");
        }
    }
}
