//! The type of a column of texts, from the values that were looked at. Owns which types can be found at all: only those that
//! give every value back, digit by digit.
//!
//! Leading zeros and a plus are not of a number but of a text; `true` and `false` are booleans; ISO dates and instants are
//! that. Whole numbers beyond 64 bits are decimals; numbers with fractions are doubles while these keep all their digits, then
//! decimals, then texts. What has no value at all is text.

use datafusion::arrow::datatypes::{DataType, TimeUnit};

use crate::number::{Number, is_double};
use crate::time;

const BOOLEAN: u8 = 1;
const INTEGER: u8 = 1 << 1;
const DOUBLE: u8 = 1 << 2;
const DECIMAL: u8 = 1 << 3;
const DATE: u8 = 1 << 4;
const TIMESTAMP: u8 = 1 << 5;
const TIMESTAMPTZ: u8 = 1 << 6;

/// Digits of the widest decimal.
const MOST_DIGITS: usize = 38;

/// What a column may be, after the values so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Guess {
    /// The types that all values have.
    possible: u8,
    seen: bool,
    /// Most digits before the point.
    whole: usize,
    /// Most digits behind it.
    fraction: usize,
    /// Whether some instant has more than six digits behind the second.
    nanoseconds: bool,
}

impl Default for Guess {
    fn default() -> Self {
        Self {
            possible: u8::MAX,
            seen: false,
            whole: 0,
            fraction: 0,
            nanoseconds: false,
        }
    }
}

impl Guess {
    /// One more value, which is not NULL.
    pub(crate) fn add(&mut self, text: &str) {
        self.seen = true;
        if self.possible != 0 {
            self.possible &= self.kinds(text);
        }
    }

    /// What two parts of a column may be together.
    #[must_use]
    pub(crate) fn and(mut self, other: &Self) -> Self {
        self.possible &= other.possible;
        self.seen |= other.seen;
        self.whole = self.whole.max(other.whole);
        self.fraction = self.fraction.max(other.fraction);
        self.nanoseconds |= other.nanoseconds;
        self
    }

    /// The narrowest type.
    pub(crate) fn data_type(&self) -> DataType {
        let may_be = |kind: u8| self.seen && self.possible & kind != 0;
        let unit = match self.nanoseconds {
            true => TimeUnit::Nanosecond,
            false => TimeUnit::Microsecond,
        };
        match () {
            () if may_be(BOOLEAN) => DataType::Boolean,
            () if may_be(INTEGER) => DataType::Int64,
            () if may_be(DOUBLE) => DataType::Float64,
            () if may_be(DECIMAL) && self.whole + self.fraction <= MOST_DIGITS => {
                let scale = i8::try_from(self.fraction).unwrap_or(0);
                DataType::Decimal128(38, scale)
            }
            () if may_be(DATE) => DataType::Date32,
            () if may_be(TIMESTAMP) => DataType::Timestamp(unit, None),
            () if may_be(TIMESTAMPTZ) => DataType::Timestamp(unit, Some("UTC".into())),
            () => DataType::Utf8,
        }
    }

    fn kinds(&mut self, text: &str) -> u8 {
        let Some(&first) = text.as_bytes().first() else {
            return 0;
        };
        if first.is_ascii_digit() || first == b'-' || first == b'.' {
            return self.number(text) | self.instant(text);
        }
        if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
            return BOOLEAN;
        }
        0
    }

    fn number(&mut self, text: &str) -> u8 {
        let Some(number) = Number::read(text) else {
            return 0;
        };
        let leads_with_zero = number.whole.len() > 1 && number.whole.starts_with('0');
        if leads_with_zero || number.whole.is_empty() || text.ends_with('.') {
            return 0;
        }
        let mut kinds = 0;
        let is_whole = number.fraction.is_empty() && !text.contains(['e', 'E']);
        if is_whole && text.parse::<i64>().is_ok() && text != "-0" {
            kinds |= INTEGER;
        }
        if text.parse().is_ok_and(|value| is_double(text, value)) {
            kinds |= DOUBLE;
        }
        if number.exponent == 0 && text != "-0" {
            self.whole = self.whole.max(number.whole.len());
            self.fraction = self.fraction.max(number.fraction.len());
            kinds |= DECIMAL;
        }
        kinds
    }

    fn instant(&mut self, text: &str) -> u8 {
        if text.len() < 10 {
            return 0;
        }
        if time::read_date(text).is_some() {
            return DATE | TIMESTAMP;
        }
        let Some(instant) = time::read_timestamp(text) else {
            return 0;
        };
        self.nanoseconds |= instant.nanoseconds % 1_000 != 0;
        match instant.has_offset {
            true => TIMESTAMPTZ,
            false => TIMESTAMP,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&["1", "-2"], DataType::Int64)]
    #[case(&["1", "2.5"], DataType::Float64)]
    #[case(&["1.10", "1e5"], DataType::Float64)]
    #[case(&["02116", "10001"], DataType::Utf8)]
    #[case(&["+49123"], DataType::Utf8)]
    #[case(&["12345678901234567890", "1"], DataType::Decimal128(38, 0))]
    #[case(&["9007199254740993", "0.5"], DataType::Decimal128(38, 1))]
    #[case(&["true", "False"], DataType::Boolean)]
    #[case(&["true", "1"], DataType::Utf8)]
    #[case(&["2026-01-31"], DataType::Date32)]
    #[case(&["2026-01-31", "2026-01-31 10:00"], DataType::Timestamp(TimeUnit::Microsecond, None))]
    #[case(&["2026-01-31T10:00:00.0000001"], DataType::Timestamp(TimeUnit::Nanosecond, None))]
    #[case(&["2026-01-31T10:00:00Z"], DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))]
    #[case(&["2026-02-30"], DataType::Utf8)]
    #[case(&["1", "x"], DataType::Utf8)]
    #[case(&[], DataType::Utf8)]
    fn a_column_is_what_all_of_its_values_are(#[case] values: &[&str], #[case] expected: DataType) {
        let mut guess = Guess::default();
        values.iter().for_each(|value| guess.add(value));
        assert_eq!(guess.data_type(), expected);
    }
}
