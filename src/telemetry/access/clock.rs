//! The time of a line. Its seconds are formatted once per second, not once per line.

use std::fmt;

use time::{
    OffsetDateTime, format_description::StaticFormatDescription, macros::format_description,
};

/// The format of Apache's combined log; times are UTC.
const COMBINED: StaticFormatDescription =
    format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");
/// ISO 8601 without the fraction and the zone, which [`Clock`] appends.
const ISO: StaticFormatDescription =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");

/// The current time in both formats; displayed as `2000-10-10T13:55:36.007Z`.
#[derive(Debug, Default)]
pub(super) struct Clock {
    second: Option<i64>,
    millis: u16,
    combined: String,
    iso: String,
}

impl Clock {
    pub(super) fn now(&mut self) -> &Self {
        self.set(OffsetDateTime::now_utc());
        self
    }

    fn set(&mut self, now: OffsetDateTime) {
        self.millis = now.millisecond();
        if self.second == Some(now.unix_timestamp()) {
            return;
        }
        self.second = Some(now.unix_timestamp());
        // A date before the year 0 or after 9999 cannot be formatted; the line has an empty time then.
        self.combined = now.format(COMBINED).unwrap_or_default();
        self.iso = now.format(ISO).unwrap_or_default();
    }

    /// `10/Oct/2000:13:55:36 +0000`
    pub(super) fn combined(&self) -> &str {
        &self.combined
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}Z", self.iso, self.millis)
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;

    #[test]
    fn times_are_formatted_in_both_ways() {
        let mut clock = Clock::default();
        for (second, combined, iso) in [
            (0, "01/Jan/1970:00:00:00 +0000", "1970-01-01T00:00:00.007Z"),
            (
                951_827_696,
                "29/Feb/2000:12:34:56 +0000",
                "2000-02-29T12:34:56.007Z",
            ),
            (
                1_767_225_599,
                "31/Dec/2025:23:59:59 +0000",
                "2025-12-31T23:59:59.007Z",
            ),
        ] {
            clock.set(OffsetDateTime::UNIX_EPOCH + Duration::new(second, 7_000_000));
            assert_eq!(
                (clock.combined(), clock.to_string().as_str()),
                (combined, iso)
            );
        }
    }
}
