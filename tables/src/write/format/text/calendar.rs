//! Dates and times as digits, by ISO 8601 and RFC 3339. Owns their spelling: years of four digits, others with a sign in
//! front; a fraction of as many thousands as it takes, none where it is zero.

/// Days from 0000-03-01 to 1970-01-01.
const DAYS_TO_1970: i64 = 719_468;
/// Days of 400 years.
const DAYS_OF_ERA: i64 = 146_097;
/// The greatest year that has a spelling.
const MAX_YEAR: i64 = 999_999;
const MIN_YEAR: i64 = -MAX_YEAR;

/// Adds a date; `false` if its year has too many digits.
pub(super) fn date(days: i64, text: &mut Vec<u8>) -> bool {
    // Howard Hinnant's `civil_from_days`.
    let days = days + DAYS_TO_1970;
    let era = days.div_euclid(DAYS_OF_ERA);
    let day_of_era = days.rem_euclid(DAYS_OF_ERA);
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
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    match year {
        0..=9_999 => {}
        MIN_YEAR..0 => text.push(b'-'),
        10_000..=MAX_YEAR => text.push(b'+'),
        _ => return false,
    }
    let year = year.unsigned_abs();
    if year > 9_999 {
        text.extend_from_slice(itoa::Buffer::new().format(year).as_bytes());
    } else {
        two(year / 100, text);
        two(year % 100, text);
    }
    text.push(b'-');
    two(month.unsigned_abs(), text);
    text.push(b'-');
    two(day.unsigned_abs(), text);
    true
}

/// Adds a time of day of so many units, of which a second has `units`: a power of a thousand.
pub(super) fn time(of_day: u64, units: u64, text: &mut Vec<u8>) {
    let (seconds, mut fraction) = (of_day / units, of_day % units);
    two(seconds / 3_600, text);
    text.push(b':');
    two(seconds / 60 % 60, text);
    text.push(b':');
    two(seconds % 60, text);
    let mut units = units;
    if fraction > 0 {
        text.push(b'.');
    }
    while fraction > 0 {
        units /= 1_000;
        let three = fraction / units;
        text.push(b'0' + (three / 100) as u8);
        two(three % 100, text);
        fraction %= units;
    }
}

/// Adds an instant of so many units since 1970; `false` as for [`date`].
pub(super) fn timestamp(value: i64, units: i64, text: &mut Vec<u8>) -> bool {
    let of_day = units * 86_400;
    if !date(value.div_euclid(of_day), text) {
        return false;
    }
    text.push(b'T');
    time(
        value.rem_euclid(of_day).unsigned_abs(),
        units.unsigned_abs(),
        text,
    );
    true
}

fn two(value: u64, text: &mut Vec<u8>) {
    text.push(b'0' + (value / 10) as u8);
    text.push(b'0' + (value % 10) as u8);
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;

    fn shown(write: impl FnOnce(&mut Vec<u8>) -> bool) -> Option<String> {
        let mut text = Vec::new();
        write(&mut text).then(|| String::from_utf8(text).unwrap())
    }

    #[test]
    fn years_and_fractions_have_as_many_digits_as_they_need() {
        let second = 1_000_000;
        for (value, wanted) in [
            (0, "1970-01-01T00:00:00"),
            (-1, "1969-12-31T23:59:59.999999"),
            (1_500_000, "1970-01-01T00:00:01.500"),
            (951_782_400 * second, "2000-02-29T00:00:00"),
            (253_402_300_800 * second, "+10000-01-01T00:00:00"),
            (-62_198_755_200 * second, "-0001-01-01T00:00:00"),
        ] {
            let found = shown(|text| timestamp(value, second, text));
            assert_eq!(found.as_deref(), Some(wanted));
        }
        assert_eq!(shown(|text| date(i64::from(i32::MAX), text)), None);
        let nanoseconds = shown(|text| {
            time(1_000_000_001, 1_000_000_000, text);
            true
        });
        assert_eq!(nanoseconds.as_deref(), Some("00:00:01.000000001"));
    }

    proptest! {
        #[test]
        fn a_second_opinion_agrees(value in -62_167_219_200_000_000_i64..253_402_300_800_000_000) {
            let expected = DateTime::from_timestamp_micros(value).unwrap();
            let expected = expected.format("%Y-%m-%dT%H:%M:%S%.f").to_string();
            prop_assert_eq!(shown(|text| timestamp(value, 1_000_000, text)), Some(expected));
        }
    }
}
