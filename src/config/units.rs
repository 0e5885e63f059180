//! Durations and sizes with units: `8s`, `500ms`, `10h`; `64KiB`, `1MiB`.

use std::time::Duration;

/// Reads a whole number with one of the units `ms`, `s`, `m`, `h`, `d`; `None` if it is invalid or too
/// large.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(factor).map(Duration::from_millis)
}

/// Reads a whole number with one of the units `B`, `KiB`, `MiB`, `GiB`, in bytes; `None` if it is
/// invalid or too large.
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        // `KB` is refused, because it may mean 1000 or 1024 bytes.
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Splits `64KiB` into 64 and `KiB`; spaces between the two are allowed.
fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    // A number without a unit is refused: it could be seconds or milliseconds.
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_unit_is_read() {
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("8s"), Some(Duration::from_secs(8)));
        assert_eq!(duration("5 m"), Some(Duration::from_secs(300)));
        assert_eq!(duration("10h"), Some(Duration::from_secs(36_000)));
        assert_eq!(duration("1d"), Some(Duration::from_secs(86_400)));
        assert_eq!(size("1B"), Some(1));
        assert_eq!(size("64KiB"), Some(65_536));
        assert_eq!(size("1MiB"), Some(1 << 20));
        assert_eq!(size("2GiB"), Some(2 << 30));
    }

    #[test]
    fn a_number_without_unit_or_a_unit_without_number_is_refused() {
        for text in [
            "",
            "8",
            "s",
            "-1s",
            "1.5s",
            "8sec",
            "99999999999999999999h",
            "8s8s",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
        for text in [
            "64",
            "KiB",
            "64KB",
            "64kib",
            "-1B",
            "18446744073709551615GiB",
        ] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_panic(text in ".*") {
            let _ = (duration(&text), size(&text));
        }

        #[test]
        fn milliseconds_read_back(n in 0_u64..u64::from(u32::MAX)) {
            prop_assert_eq!(duration(&format!("{n}ms")), Some(Duration::from_millis(n)));
        }
    }
}
