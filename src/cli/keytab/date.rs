//! A date for people and programs.

use time::OffsetDateTime;

/// Seconds since 1970 as `2026-11-23T01:09:22Z`; 0, which tools write for "unknown", as `-`.
pub(super) fn utc(seconds: u32) -> String {
    if seconds == 0 {
        return "-".to_owned();
    }
    let at = OffsetDateTime::from_unix_timestamp(seconds.into());
    let at = at.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (hour, minute, second) = at.to_hms();
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "-"),
            (1, "1970-01-01T00:00:01Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_709_251_200, "2024-03-01T00:00:00Z"),
            (u32::MAX, "2106-02-07T06:28:15Z"),
        ] {
            assert_eq!(utc(seconds), text);
        }
    }
}
