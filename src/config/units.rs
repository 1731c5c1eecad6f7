//! Durations and sizes as people write them: a whole number and a unit.

use std::time::Duration;

/// From the largest: a unit's name and its milliseconds.
const TIMES: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// From the largest: a unit's name and its bytes.
const SIZES: [(&str, u64); 4] = [
    ("GiB", 1_073_741_824),
    ("MiB", 1_048_576),
    ("KiB", 1_024),
    ("B", 1),
];

/// Reads `250ms`, `10s`, `15m`, `2h` or `1d`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    parse(text, &TIMES).map(Duration::from_millis)
}

/// Writes it in the largest unit that leaves nothing over.
pub(super) fn show_duration(duration: Duration) -> String {
    match u64::try_from(duration.as_millis()) {
        Ok(0) => "0s".to_owned(),
        Ok(millis) => show(millis, &TIMES),
        Err(_too_long) => format!("{}s", duration.as_secs()),
    }
}

/// Reads `512B`, `64KiB`, `100MiB` or `1GiB`, in bytes.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    parse(text, &SIZES)
}

/// Writes it in the largest unit that leaves nothing over.
pub(super) fn show_size(bytes: u64) -> String {
    show(bytes, &SIZES)
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at_checked(end)?;
    let (_name, each) = units.iter().find(|(name, _each)| *name == unit)?;
    digits.parse::<u64>().ok()?.checked_mul(*each)
}

fn show(amount: u64, units: &[(&str, u64)]) -> String {
    units
        .iter()
        .filter(|(_name, each)| amount != 0 || *each == 1)
        .find_map(|(name, each)| {
            let whole = amount.checked_rem(*each)? == 0;
            whole.then(|| amount.checked_div(*each).map(|n| format!("{n}{name}")))?
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_and_a_unit_are_read() {
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("15m"), Some(Duration::from_secs(900)));
        assert_eq!(parse_duration("1d"), Some(Duration::from_secs(86_400)));
        assert_eq!(parse_size("64KiB"), Some(65_536));
        assert_eq!(show_duration(Duration::from_secs(900)), "15m");
        assert_eq!(
            (show_size(65_536), show_size(0)),
            ("64KiB".into(), "0B".into())
        );
    }

    #[test]
    fn anything_else_is_not() {
        for bad in [
            "",
            "10",
            "s",
            "1.5s",
            "-1s",
            "10 s",
            "1h30m",
            "10S",
            "99999999999999999999d",
        ] {
            assert_eq!(parse_duration(bad), None, "{bad:?}");
        }
        for bad in ["", "64", "64kb", "64 KiB", "99999999999999999GiB"] {
            assert_eq!(parse_size(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(millis in 0..u64::MAX, bytes: u64) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&show_duration(duration)), Some(duration));
            prop_assert_eq!(parse_size(&show_size(bytes)), Some(bytes));
        }
    }
}
