//! Dates, times and instants as texts (ISO 8601, with a space for the `T` if one likes). Owns which texts they are; calendars
//! are proleptic Gregorian, and leap seconds are none.

/// Nanoseconds of a second.
const SECOND: i64 = 1_000_000_000;

/// An instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instant {
    /// Whole seconds since 1970-01-01T00:00:00, in UTC if it has an offset.
    pub seconds: i64,
    /// And nanoseconds, less than a second of them.
    pub nanoseconds: i64,
    /// Whether the text says how far its clock is from UTC.
    pub has_offset: bool,
}

/// The digits at the beginning of a text, of which there must be exactly so many.
fn digits(text: &[u8], count: usize) -> Option<(i64, &[u8])> {
    let (digits, rest) = text.split_at_checked(count)?;
    let mut value = 0;
    for digit in digits {
        value = value * 10 + i64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    Some((value, rest))
}

fn after(text: &[u8], byte: u8) -> Option<&[u8]> {
    text.strip_prefix(&[byte])
}

/// Days since 1970-01-01 of `[-|+]YYYY-MM-DD`; years have four digits, more with a sign.
pub(crate) fn read_date(text: &str) -> Option<i32> {
    let (days, rest) = date(text.as_bytes())?;
    (rest.is_empty()).then_some(days)
}

fn date(text: &[u8]) -> Option<(i32, &[u8])> {
    if let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, rest @ ..] = text
        && let Some(year) = number([*y0, *y1, *y2, *y3])
        && let (Some(month), Some(day)) = (number([*m0, *m1]), number([*d0, *d1]))
    {
        return Some((day_of(year, month, day)?, rest));
    }
    let (sign, unsigned) = match text.first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let width = unsigned
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let signed = unsigned.len() != text.len();
    if !(4..=6).contains(&width) || width > 4 && !signed {
        return None;
    }
    let (year, rest) = digits(unsigned, width)?;
    let (month, rest) = digits(after(rest, b'-')?, 2)?;
    let (day, rest) = digits(after(rest, b'-')?, 2)?;
    Some((day_of(sign * year, month, day)?, rest))
}

/// A number of so many digits.
fn number<const N: usize>(digits: [u8; N]) -> Option<i64> {
    let mut value = 0;
    for digit in digits {
        value = value * 10 + i64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    Some(value)
}

/// Days since 1970-01-01, if there is such a day.
fn day_of(year: i64, month: i64, day: i64) -> Option<i32> {
    let exists = (1..=12).contains(&month) && day >= 1 && day <= days_of(year, month);
    exists.then(|| days_since_1970(year, month, day))
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Howard Hinnant's `days_from_civil`, for years of up to six digits.
fn days_since_1970(year: i64, month: i64, day: i64) -> i32 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    i32::try_from(era * 146_097 + day_of_era - 719_468).unwrap_or(i32::MAX)
}

/// Nanoseconds since midnight of `HH:MM[:SS[.fraction]]`.
pub(crate) fn read_time(text: &str) -> Option<i64> {
    let (nanoseconds, rest) = time(text.as_bytes())?;
    rest.is_empty().then_some(nanoseconds)
}

fn time(text: &[u8]) -> Option<(i64, &[u8])> {
    let (hour, rest) = digits(text, 2)?;
    let (minute, rest) = digits(after(rest, b':')?, 2)?;
    let (second, rest) = match after(rest, b':') {
        Some(rest) => digits(rest, 2)?,
        None => (0, rest),
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction, rest) = match rest {
        [b'.' | b',', rest @ ..] => {
            let width = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (kept, beyond) = rest[..width]
                .split_at_checked(9)
                .unwrap_or((&rest[..width], &[]));
            if width == 0 || beyond.iter().any(|&digit| digit != b'0') {
                return None;
            }
            let (value, _) = digits(kept, kept.len())?;
            let power = u32::try_from(9 - kept.len()).ok()?;
            (value * 10_i64.pow(power), &rest[width..])
        }
        rest => (0, rest),
    };
    let seconds = (hour * 60 + minute) * 60 + second;
    Some((seconds * SECOND + fraction, rest))
}

/// A date, or a date and a time with `T` or a space between, with `Z` or an offset behind if there is one.
pub(crate) fn read_timestamp(text: &str) -> Option<Instant> {
    let (days, rest) = date(text.as_bytes())?;
    let midnight = i64::from(days) * 86_400;
    if rest.is_empty() {
        return Some(Instant {
            seconds: midnight,
            nanoseconds: 0,
            has_offset: false,
        });
    }
    let [b'T' | b't' | b' ', rest @ ..] = rest else {
        return None;
    };
    let (of_day, rest) = time(rest)?;
    let offset = match rest {
        [] => None,
        rest => Some(offset(rest.strip_prefix(b" ").unwrap_or(rest))?),
    };
    Some(Instant {
        seconds: midnight + of_day / SECOND - offset.unwrap_or(0),
        nanoseconds: of_day % SECOND,
        has_offset: offset.is_some(),
    })
}

/// Seconds of `Z`, `UTC`, `±HH`, `±HHMM` or `±HH:MM`.
fn offset(text: &[u8]) -> Option<i64> {
    let (sign, rest) = match text {
        b"Z" | b"z" | b"UTC" => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, rest) = digits(rest, 2)?;
    let (minutes, rest) = match rest {
        [] => (0, rest),
        rest => digits(after(rest, b':').unwrap_or(rest), 2)?,
    };
    (rest.is_empty() && hours <= 18 && minutes <= 59).then_some(sign * (hours * 60 + minutes) * 60)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, NaiveDate};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_are_days_of_the_calendar() {
        assert_eq!(read_date("1970-01-01"), Some(0));
        assert_eq!(read_date("1969-12-31"), Some(-1));
        assert_eq!(read_date("2000-02-29"), Some(11_016));
        assert_eq!(
            read_date("+12026-01-01"),
            NaiveDate::from_ymd_opt(12026, 1, 1).map(|day| day.to_epoch_days())
        );
        for text in [
            "1900-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-01-32",
            "2026-1-1",
            "26-01-01",
            "12026-01-01",
            "2026-01-01 ",
            "",
        ] {
            assert_eq!(read_date(text), None, "{text}");
        }
    }

    #[test]
    fn instants_have_what_the_text_says() {
        let instant = |text: &str| {
            read_timestamp(text).map(|at| {
                let nanoseconds = i128::from(at.seconds) * i128::from(SECOND);
                (nanoseconds + i128::from(at.nanoseconds), at.has_offset)
            })
        };
        assert_eq!(instant("1970-01-01"), Some((0, false)));
        assert_eq!(instant("1970-01-01 00:00:00.000000001"), Some((1, false)));
        assert_eq!(instant("1969-12-31T23:59:59.999999999Z"), Some((-1, true)));
        assert_eq!(instant("1970-01-01T01:00:00+01:00"), Some((0, true)));
        assert_eq!(instant("1970-01-01T00:30+0030"), Some((0, true)));
        assert_eq!(instant("1969-12-31 16:00:00-08"), Some((0, true)));
        for text in [
            "1970-01-01T",
            "1970-01-01T24:00",
            "1970-01-01T00:60",
            "1970-01-01T00:00:60",
            "1970-01-01T00:00:00.",
            "1970-01-01T00:00:00.1234567891",
            "1970-01-01T00:00:00+1",
            "1970-01-01X00:00",
        ] {
            assert_eq!(instant(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_second_opinion_agrees(seconds in -62_000_000_000_i64..250_000_000_000, nanoseconds in 0_u32..1_000_000_000) {
            let at = DateTime::from_timestamp(seconds, nanoseconds).unwrap();
            let text = at.format("%Y-%m-%dT%H:%M:%S%.9fZ").to_string();
            let expected = Instant { seconds, nanoseconds: i64::from(nanoseconds), has_offset: true };
            prop_assert_eq!(read_timestamp(&text), Some(expected));
        }
    }
}
