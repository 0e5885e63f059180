//! The pause before a client whose key or account the KDC has refused is tried again.
//!
//! Active Directory counts every request for a first ticket with a wrong key, and locks the account
//! when the count reaches a limit. No client gets a ticket for the account's SPNs then, so a gateway
//! that continues to ask locks out its own users. The count is reset only when no wrong key was used
//! for a while (`lockoutObservationWindow`, 30 minutes by default). MIT's `-maxfailure` policies work
//! in the same way.

use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::InitiateError;
use crate::gss::{Keytab, Principal};

/// The pauses after the first refusals of a key. Four tries in half an hour stay below the usual
/// limits, of which the lowest is 5; after that each pause is long enough for the count to be reset.
const KEY: [Duration; 4] = [
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(5 * 60),
    Duration::from_secs(35 * 60),
];
/// The pause after the first refusal of an account, which is not counted; it doubles each time.
const ACCOUNT: Duration = Duration::from_secs(2);
/// The longest pause for an account.
const ACCOUNT_MOST: Duration = Duration::from_secs(5 * 60);

/// The keys of one principal that requests to the KDC are made with.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys(Vec<(u32, u16, Zeroizing<Vec<u8>>)>);

impl Keys {
    /// Equal as long as versions, types and keys are; the rest of the file and the timestamps do not
    /// matter, so that exporting the same keys again does not end a pause.
    pub(super) fn of(keytab: &Keytab, client: &Principal) -> Self {
        let entries = keytab.entries.iter();
        let own = entries.filter(|entry| entry.principal == *client);
        Self(
            own.map(|entry| (entry.kvno, entry.enctype.0, entry.key.clone()))
                .collect(),
        )
    }
}

/// A client that the KDC has refused.
pub(super) struct Backoff {
    keys: Keys,
    /// Refusals of these keys, and of the account.
    wrong: u32,
    revoked: u32,
    until: Instant,
    error: InitiateError,
}

impl Backoff {
    /// Records a refusal; `None` if the KDC has refused neither key nor account.
    pub(super) fn after(
        earlier: Option<&Self>,
        keys: Keys,
        error: &InitiateError,
        now: Instant,
    ) -> Option<Self> {
        // With other keys the count begins again: the new key may be right, and waiting would delay its
        // use.
        let same = earlier.filter(|earlier| earlier.keys == keys);
        let (mut wrong, mut revoked) = same.map_or((0, 0), |same| (same.wrong, same.revoked));
        let pause = match error {
            InitiateError::KeyWrong { .. } => {
                wrong += 1;
                let step = usize::try_from(wrong).unwrap_or(usize::MAX);
                KEY[step.min(KEY.len()) - 1]
            }
            InitiateError::ClientRevoked { .. } | InitiateError::PasswordExpired { .. } => {
                revoked += 1;
                ACCOUNT
                    .saturating_mul(1 << (revoked - 1).min(16))
                    .min(ACCOUNT_MOST)
            }
            // None of these is counted by the KDC against the account.
            InitiateError::Busy
            | InitiateError::Timeout
            | InitiateError::Stopped
            | InitiateError::KdcUnreachable { .. }
            | InitiateError::UnknownSpn { .. }
            | InitiateError::ClientUnknown { .. }
            | InitiateError::ServiceRevoked { .. }
            | InitiateError::NoEnctype { .. }
            | InitiateError::NoKey { .. }
            | InitiateError::Mutual { .. }
            | InitiateError::ClockSkew { .. }
            | InitiateError::Other { .. } => return None,
        };
        Some(Self {
            keys,
            wrong,
            revoked,
            until: now + pause,
            error: error.clone(),
        })
    }

    /// The last refusal, while the KDC must not be asked again with these keys.
    pub(super) fn refusal(&self, keys: &Keys, now: Instant) -> Option<&InitiateError> {
        (self.keys == *keys && self.until > now).then_some(&self.error)
    }

    /// The time until the KDC may be asked again with the same keys.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        self.until.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gss::initiator::AccountStatus;
    use crate::gss::keytab::{Enctype, Entry};

    fn client() -> Principal {
        "spnegate/p@R".parse().unwrap()
    }

    fn keys(byte: u8, timestamp: u32) -> Keys {
        let entry = |principal: &str, byte| Entry {
            principal: principal.parse().unwrap(),
            name_type: 1,
            timestamp,
            kvno: 1,
            enctype: Enctype(18),
            key: Zeroizing::new(vec![byte; 32]),
        };
        let entries = vec![
            entry("spnegate/p@R", byte),
            entry("HTTP/p@R", timestamp.to_be_bytes()[3]),
        ];
        Keys::of(&Keytab { entries }, &client())
    }

    fn wrong() -> InitiateError {
        InitiateError::KeyWrong {
            client: client(),
            text: String::new(),
        }
    }

    fn revoked() -> InitiateError {
        InitiateError::ClientRevoked {
            client: client(),
            account: AccountStatus::Locked,
            text: String::new(),
        }
    }

    /// The times of the requests to the KDC in seconds, each as early as allowed.
    fn request_times(error: &InitiateError, within: Duration) -> Vec<u64> {
        let start = Instant::now();
        let (mut now, mut backoff, mut times) = (start, None::<Backoff>, Vec::new());
        while now - start < within {
            times.push((now - start).as_secs());
            backoff = Backoff::after(backoff.as_ref(), keys(1, 0), error, now);
            now += backoff.as_ref().unwrap().pause(now);
        }
        times
    }

    #[test]
    fn a_refused_key_never_reaches_a_limit_of_five_in_half_an_hour() {
        let day = request_times(&wrong(), Duration::from_secs(86_400));
        assert_eq!(day[..5], [0, 2, 6, 306, 2406]);
        for (index, first) in day.iter().enumerate() {
            let window = day[index..].iter().take_while(|at| **at < first + 1800);
            assert!(window.count() < 5);
        }
        // the count is forgotten before each further one
        assert!(day[3..].windows(2).all(|pair| pair[1] - pair[0] > 1800));
    }

    #[test]
    fn a_refused_account_is_tried_again_after_two_seconds_up_to_five_minutes() {
        let times = request_times(&revoked(), Duration::from_secs(1200));
        assert_eq!(times, [0, 2, 6, 14, 30, 62, 126, 254, 510, 810, 1110]);
    }

    #[test]
    fn other_keys_are_tried_immediately_and_the_same_ones_written_again_are_not() {
        let now = Instant::now();
        let backoff = Backoff::after(None, keys(1, 0), &wrong(), now).unwrap();
        assert_eq!(backoff.refusal(&keys(1, 7), now), Some(&wrong()));
        assert_eq!(backoff.refusal(&keys(2, 0), now), None);
        assert_eq!(backoff.refusal(&keys(1, 0), now + KEY[0]), None);
        let again = Backoff::after(Some(&backoff), keys(2, 0), &wrong(), now).unwrap();
        assert_eq!(again.pause(now), KEY[0]);
    }

    #[test]
    fn a_kdc_that_does_not_respond_is_not_a_refusal() {
        let silent = InitiateError::Timeout;
        assert!(Backoff::after(None, keys(1, 0), &silent, Instant::now()).is_none());
    }
}
