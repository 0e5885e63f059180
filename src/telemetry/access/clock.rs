//! The time of a line, formatted once a second.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A moment in both spellings.
#[derive(Debug, Default)]
pub(super) struct Clock {
    second: Option<u64>,
    millis: u32,
    combined: String,
    iso: String,
}

impl Clock {
    /// Looks at the clock.
    pub(super) fn now(&mut self) -> &Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.millis = since.subsec_millis();
        if self.second != Some(since.as_secs()) {
            self.set(since.as_secs());
        }
        self
    }

    fn set(&mut self, second: u64) {
        self.second = Some(second);
        let at = i64::try_from(second).map(OffsetDateTime::from_unix_timestamp);
        let at = at
            .ok()
            .and_then(Result::ok)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (year, day, month) = (at.year(), at.day(), u8::from(at.month()));
        let (hour, minute, sec) = at.to_hms();
        let name = MONTHS
            .get(usize::from(month) - 1)
            .copied()
            .unwrap_or_default();
        self.combined = format!("{day:02}/{name}/{year:04}:{hour:02}:{minute:02}:{sec:02} +0000");
        self.iso = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{sec:02}");
    }

    /// `10/Oct/2000:13:55:36 +0000`
    pub(super) fn combined(&self) -> &str {
        &self.combined
    }

    /// `2000-10-10T13:55:36` and the milliseconds.
    pub(super) fn iso(&self) -> (&str, u32) {
        (&self.iso, self.millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_spelt_in_both_ways() {
        let mut clock = Clock::default();
        for (second, combined, iso) in [
            (0, "01/Jan/1970:00:00:00 +0000", "1970-01-01T00:00:00"),
            (
                951_827_696,
                "29/Feb/2000:12:34:56 +0000",
                "2000-02-29T12:34:56",
            ),
            (
                1_767_225_599,
                "31/Dec/2025:23:59:59 +0000",
                "2025-12-31T23:59:59",
            ),
        ] {
            clock.set(second);
            assert_eq!((clock.combined(), clock.iso().0), (combined, iso));
        }
    }
}
