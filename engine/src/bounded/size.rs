//! How large the result of a function will be, from its arguments. Owns the arithmetic; it never says less than what is made
//! of texts and whole numbers, and about as much of other types.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;

/// What the size of a result follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Size {
    /// `(value, times)`
    Repeated,
    /// `(text, characters, fill)`
    Padded,
    /// `(text, what, with what)`
    Replaced,
    /// All arguments, one after the other.
    Joined,
    /// `(first, last, step)`
    Series,
    /// `(list, length, fill)`
    Resized,
    /// `(list, delimiter, …)`
    Delimited,
}

/// Bytes of an element of a list, beside its value.
const ELEMENT: u64 = 8;
/// Bytes of a character, at most.
const CHARACTER: u64 = 4;
/// Bytes that a byte of a number has as text, at most.
const DIGITS: u64 = 5;
const DAY_NANOS: i128 = 86_400_000_000_000;

impl Size {
    /// Bytes of the result for so many rows.
    pub(super) fn of(self, args: &[ColumnarValue], rows: usize) -> u64 {
        match (self, args) {
            (Self::Joined, args) => {
                let each = args.iter().map(|arg| {
                    let bytes = Bytes::of(arg, rows);
                    sum(rows, |row| bytes.at(row))
                });
                each.fold(0, u64::saturating_add)
            }
            (Self::Repeated, [value, times]) => {
                let (value, times) = (Bytes::of(value, rows), Numbers::of(times));
                let list = !value.is_text();
                sum(rows, |row| {
                    let each = value.at(row).saturating_add(if list { ELEMENT } else { 0 });
                    each.saturating_mul(times.at(row))
                })
            }
            (Self::Padded, [text, characters, fill @ ..]) => {
                let texts = || std::iter::once(text).chain(fill);
                let width = if texts().all(is_ascii) { 1 } else { CHARACTER };
                let characters = Numbers::of(characters);
                sum(rows, |row| characters.at(row).saturating_mul(width))
            }
            (Self::Replaced, [text, what, with]) => {
                let of = |arg| Bytes::of(arg, rows);
                let (text, what, with) = (of(text), of(what), of(with));
                sum(rows, |row| {
                    let (text, what, with) = (text.at(row), what.at(row), with.at(row));
                    // Nothing is found between all characters.
                    let found = text.checked_div(what).unwrap_or(text + 1);
                    text.saturating_add(found.saturating_mul(with.saturating_sub(what)))
                })
            }
            (Self::Series, args) => series(args, rows),
            (Self::Resized, [list, length, fill @ ..]) => {
                let (list, length) = (Bytes::of(list, rows), Numbers::of(length));
                let fill = fill.first().map(|fill| Bytes::of(fill, rows));
                sum(rows, |row| {
                    let each = fill.as_ref().map_or(0, |fill| fill.at(row)) + ELEMENT;
                    list.at(row)
                        .saturating_add(length.at(row).saturating_mul(each))
                })
            }
            (Self::Delimited, [list, delimiter, ..]) => {
                let elements = elements(list, rows);
                let (list, delimiter) = (Bytes::of(list, rows), Bytes::of(delimiter, rows));
                let digits = sum(rows, |row| list.at(row).saturating_mul(DIGITS));
                let longest = (0..rows).map(|row| delimiter.at(row)).max();
                digits.saturating_add(elements.saturating_mul(longest.unwrap_or_default()))
            }
            _ => 0,
        }
    }
}

fn sum(rows: usize, of_row: impl Fn(usize) -> u64) -> u64 {
    (0..rows).map(of_row).fold(0, u64::saturating_add)
}

/// The bytes of a value, row by row.
enum Bytes {
    /// The same in all rows.
    Same(u64, bool),
    Texts(ArrayRef),
    /// Of this average.
    About(u64),
}

impl Bytes {
    fn of(value: &ColumnarValue, rows: usize) -> Self {
        match value {
            ColumnarValue::Scalar(scalar) => match text_of(scalar) {
                Some(text) => Self::Same(text as u64, true),
                None => Self::Same(scalar_bytes(scalar), false),
            },
            ColumnarValue::Array(array) => match array.data_type() {
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                    Self::Texts(Arc::clone(array))
                }
                _ => {
                    let bytes = array.to_data().get_slice_memory_size().unwrap_or_default();
                    Self::About(bytes.div_ceil(rows.max(1)) as u64)
                }
            },
        }
    }

    fn is_text(&self) -> bool {
        matches!(self, Self::Texts(_) | Self::Same(_, true))
    }

    fn at(&self, row: usize) -> u64 {
        match self {
            Self::Same(bytes, _) | Self::About(bytes) => *bytes,
            Self::Texts(array) => text_at(array, row),
        }
    }
}

fn text_at(array: &ArrayRef, row: usize) -> u64 {
    if row >= array.len() || array.is_null(row) {
        return 0;
    }
    let length = match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).len(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).len(),
        _ => array.as_string_view().value(row).len(),
    };
    length as u64
}

fn text_of(scalar: &ScalarValue) -> Option<usize> {
    scalar.try_as_str().map(|text| text.map_or(0, str::len))
}

fn scalar_bytes(scalar: &ScalarValue) -> u64 {
    scalar.to_array().map_or(0, |array| {
        let bytes = array.to_data().get_slice_memory_size();
        bytes.unwrap_or_default() as u64
    })
}

fn is_ascii(value: &ColumnarValue) -> bool {
    match value {
        ColumnarValue::Scalar(scalar) => match scalar.try_as_str() {
            Some(text) => text.is_none_or(str::is_ascii),
            None => true,
        },
        ColumnarValue::Array(array) => match array.data_type() {
            DataType::Utf8 => array.as_string::<i32>().is_ascii(),
            DataType::LargeUtf8 => array.as_string::<i64>().is_ascii(),
            DataType::Utf8View => array.as_string_view().is_ascii(),
            _ => true,
        },
    }
}

/// Counts, row by row: what is negative or NULL is none.
enum Numbers {
    Same(u64),
    Each(Int64Array),
}

impl Numbers {
    fn of(value: &ColumnarValue) -> Self {
        let array = match value {
            ColumnarValue::Scalar(scalar) => scalar.to_array().ok(),
            ColumnarValue::Array(array) => Some(Arc::clone(array)),
        };
        let numbers = array
            .and_then(|array| cast(&array, &DataType::Int64).ok())
            .and_then(|array| array.as_primitive_opt().cloned());
        match (numbers, value) {
            (Some(numbers), ColumnarValue::Array(_)) => Self::Each(numbers),
            (Some(numbers), ColumnarValue::Scalar(_)) => Self::Same(count(&numbers, 0)),
            (None, _) => Self::Same(0),
        }
    }

    fn at(&self, row: usize) -> u64 {
        match self {
            Self::Same(number) => *number,
            Self::Each(numbers) => count(numbers, row),
        }
    }
}

fn count(numbers: &Int64Array, row: usize) -> u64 {
    if row >= numbers.len() || numbers.is_null(row) {
        return 0;
    }
    u64::try_from(numbers.value(row)).unwrap_or_default()
}

fn elements(list: &ColumnarValue, rows: usize) -> u64 {
    let of = |array: &ArrayRef| match array.data_type() {
        DataType::List(_) => array.as_list::<i32>().values().len(),
        DataType::LargeList(_) => array.as_list::<i64>().values().len(),
        DataType::FixedSizeList(_, length) => {
            usize::try_from(*length).unwrap_or_default() * array.len()
        }
        _ => array.len(),
    };
    let count = match list {
        ColumnarValue::Array(array) => of(array),
        ColumnarValue::Scalar(scalar) => scalar.to_array().map_or(0, |array| of(&array) * rows),
    };
    count as u64
}

/// Bytes of all lists of a series: of numbers, of days, or of moments in nanoseconds.
fn series(args: &[ColumnarValue], rows: usize) -> u64 {
    let points: Vec<Vec<Option<i128>>> = args.iter().map(|arg| points(arg, rows)).collect();
    let at = |arg: usize, row: usize| points.get(arg).and_then(|points| *points.get(row)?);
    sum(rows, |row| {
        let (first, last) = match args.len() {
            1 => (Some(0), at(0, row)),
            _ => (at(0, row), at(1, row)),
        };
        let step = if args.len() > 2 { at(2, row) } else { Some(1) };
        let (Some(first), Some(last), Some(step)) = (first, last, step) else {
            return 0;
        };
        let count = match step {
            0 => 0,
            step if (last >= first) != (step > 0) => 0,
            step => (last - first) / step + 1,
        };
        u64::try_from(count)
            .unwrap_or(u64::MAX)
            .saturating_mul(ELEMENT)
    })
}

fn points(arg: &ColumnarValue, rows: usize) -> Vec<Option<i128>> {
    let (array, repeat) = match arg {
        ColumnarValue::Array(array) => (Some(Arc::clone(array)), false),
        ColumnarValue::Scalar(scalar) => (scalar.to_array().ok(), true),
    };
    let points = array.map_or_else(Vec::new, |array| points_of(&array));
    match (repeat, points.first()) {
        (true, Some(first)) => vec![*first; rows],
        _ => points,
    }
}

fn points_of(array: &ArrayRef) -> Vec<Option<i128>> {
    let scale: i128 = match array.data_type() {
        DataType::Date32 => DAY_NANOS,
        DataType::Date64 => 1_000_000,
        DataType::Timestamp(unit, _) => nanos(*unit),
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let steps =
                array.as_primitive_opt::<datafusion::arrow::datatypes::IntervalMonthDayNanoType>();
            return steps.map_or_else(Vec::new, |steps| {
                steps.iter().map(|step| step.map(shortest)).collect()
            });
        }
        _ => 1,
    };
    let whole = match array.data_type() {
        DataType::Date32 => {
            cast(array, &DataType::Int32).and_then(|days| cast(&days, &DataType::Int64))
        }
        _ => cast(array, &DataType::Int64),
    };
    let numbers = whole
        .ok()
        .and_then(|numbers| numbers.as_primitive_opt().cloned());
    numbers.map_or_else(Vec::new, |numbers: Int64Array| {
        let scaled = numbers.iter().map(|n| n.map(|n| i128::from(n) * scale));
        scaled.collect()
    })
}

fn nanos(unit: datafusion::arrow::datatypes::TimeUnit) -> i128 {
    use datafusion::arrow::datatypes::TimeUnit;
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

/// The least that a step takes, nanoseconds.
fn shortest(step: IntervalMonthDayNano) -> i128 {
    let days = i128::from(step.months) * 28 + i128::from(step.days);
    days * DAY_NANOS + i128::from(step.nanoseconds)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::StringArray;

    use super::*;

    const ROWS: usize = 3;

    fn text(text: &str) -> ColumnarValue {
        ColumnarValue::Scalar(ScalarValue::from(text))
    }

    fn number(number: i64) -> ColumnarValue {
        ColumnarValue::Scalar(ScalarValue::from(number))
    }

    fn texts(values: [&str; ROWS]) -> ColumnarValue {
        ColumnarValue::Array(Arc::new(StringArray::from(values.to_vec())))
    }

    fn numbers(values: [Option<i64>; ROWS]) -> ColumnarValue {
        ColumnarValue::Array(Arc::new(Int64Array::from(values.to_vec())))
    }

    #[test]
    fn what_is_repeated_is_counted_row_by_row() {
        let of = |args: &[ColumnarValue]| Size::Repeated.of(args, ROWS);
        assert_eq!(of(&[text("ab"), number(5)]), 30);
        let columns = [
            texts(["a", "bb", "ccc"]),
            numbers([Some(1000), None, Some(-7)]),
        ];
        assert_eq!(of(&columns), 1000);
        assert_eq!(of(&[text("abc"), number(i64::MAX)]), u64::MAX);
        // Elements of a list.
        assert!(of(&[number(1), number(1000)]) >= 3 * 8 * 1000);
    }

    #[test]
    fn padding_counts_characters_as_wide_as_they_may_be() {
        let padded = |fill: &str| Size::Padded.of(&[text("x"), number(100), text(fill)], ROWS);
        assert_eq!(padded("-"), 300);
        assert_eq!(padded("ж"), 1200);
    }

    #[test]
    fn a_replacement_never_makes_more_than_is_said() {
        for (value, what, with) in [
            ("aaaa", "a", "bbb"),
            ("aaaa", "", "bb"),
            ("äöü", "ö", "oe"),
            ("abab", "ab", ""),
        ] {
            let said = Size::Replaced.of(&[text(value), text(what), text(with)], 1);
            let made = value.replace(what, with).len() as u64;
            assert!(said >= made, "{value} {what} {with}: {said} < {made}");
        }
        assert_eq!(
            Size::Replaced.of(&[text("aaaa"), text("aa"), text("bbb")], 1),
            6
        );
    }

    #[test]
    fn a_long_literal_counts_in_every_row() {
        let joined = [texts(["a", "b", "cc"]), text("0123456789")];
        assert_eq!(Size::Joined.of(&joined, ROWS), 34);
    }

    #[test]
    fn a_series_is_as_long_as_from_its_first_to_its_last() {
        let of = |args: &[ColumnarValue]| Size::Series.of(args, 1) / ELEMENT;
        assert_eq!(of(&[number(1), number(2_000_000_000)]), 2_000_000_000);
        assert_eq!(of(&[number(10)]), 11);
        assert_eq!(of(&[number(10), number(0), number(-5)]), 3);
        assert_eq!(of(&[number(10), number(0)]), 0);
        let day = |day| ColumnarValue::Scalar(ScalarValue::Date32(Some(day)));
        let step = |months, days, nanoseconds| {
            let step = IntervalMonthDayNano::new(months, days, nanoseconds);
            ColumnarValue::Scalar(ScalarValue::IntervalMonthDayNano(Some(step)))
        };
        assert_eq!(of(&[day(0), day(10), step(0, 1, 0)]), 11);
        assert_eq!(of(&[day(0), day(280), step(1, 0, 0)]), 11);
        let moment =
            |micros| ColumnarValue::Scalar(ScalarValue::TimestampMicrosecond(Some(micros), None));
        assert_eq!(of(&[moment(0), moment(999), step(0, 0, 1000)]), 1000);
    }

    #[test]
    fn lists_grow_with_their_length_and_their_delimiter() {
        assert!(Size::Resized.of(&[number(1), number(1_000_000), number(0)], 1) >= 8_000_000);
        let list = ScalarValue::List(ScalarValue::new_list_nullable(
            &[ScalarValue::from(1_i64), ScalarValue::from(2_i64)],
            &DataType::Int64,
        ));
        let list = ColumnarValue::Scalar(list);
        assert!(Size::Delimited.of(&[list, text(&"-".repeat(500))], 1) >= 1000);
    }
}
