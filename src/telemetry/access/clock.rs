//! The time of a line, formatted once a second.

use std::time::{SystemTime, UNIX_EPOCH};

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
        let (year, month, day) = civil(second / 86_400);
        let (hour, minute, sec) = (second / 3600 % 24, second / 60 % 60, second % 60);
        let name = MONTHS.get(month - 1).copied().unwrap_or_default();
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

/// Year, month and day of a day since 1970-01-01 (Howard Hinnant's `civil_from_days`).
fn civil(days: u64) -> (u64, usize, u64) {
    let z = days + 719_468;
    let day_of_era = z % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + z / 146_097 * 400 + u64::from(month <= 2);
    (year, usize::try_from(month).unwrap_or(1), day)
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
