//! Values that have one text whatever the format is: all but texts and nested ones. Owns their spelling, which names the value
//! and no other.

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time32SecondType,
    Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type, i256,
};

use super::calendar;

/// Why a value has no text.
pub(super) type Refused = &'static str;

const YEARS: Refused =
    "years have six digits at most: write NULL instead, or CAST the column to TEXT";
const NO_TIME: Refused = "it is no time of a day";

/// The values of a column.
pub(super) enum Scalar<'a> {
    Boolean(&'a BooleanBuffer),
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    UInt8(&'a [u8]),
    UInt16(&'a [u16]),
    UInt32(&'a [u32]),
    UInt64(&'a [u64]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    /// With the digits behind the point.
    Decimal128(&'a [i128], i8),
    Decimal256(&'a [i256], i8),
    Date32(&'a [i32]),
    /// With the units of a second.
    Time32(&'a [i32], u64),
    Time64(&'a [i64], u64),
    /// Microseconds, and whether they count from an instant.
    Timestamp(&'a [i64], bool),
}

impl<'a> Scalar<'a> {
    /// `None` for texts, nested types, and those that no table has.
    pub(super) fn of(array: &'a dyn Array) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Boolean => Self::Boolean(array.as_boolean().values()),
            DataType::Int8 => Self::Int8(array.as_primitive::<Int8Type>().values()),
            DataType::Int16 => Self::Int16(array.as_primitive::<Int16Type>().values()),
            DataType::Int32 => Self::Int32(array.as_primitive::<Int32Type>().values()),
            DataType::Int64 => Self::Int64(array.as_primitive::<Int64Type>().values()),
            DataType::UInt8 => Self::UInt8(array.as_primitive::<UInt8Type>().values()),
            DataType::UInt16 => Self::UInt16(array.as_primitive::<UInt16Type>().values()),
            DataType::UInt32 => Self::UInt32(array.as_primitive::<UInt32Type>().values()),
            DataType::UInt64 => Self::UInt64(array.as_primitive::<UInt64Type>().values()),
            DataType::Float32 => Self::Float32(array.as_primitive::<Float32Type>().values()),
            DataType::Float64 => Self::Float64(array.as_primitive::<Float64Type>().values()),
            DataType::Decimal128(_, scale) => {
                Self::Decimal128(array.as_primitive::<Decimal128Type>().values(), *scale)
            }
            DataType::Decimal256(_, scale) => {
                Self::Decimal256(array.as_primitive::<Decimal256Type>().values(), *scale)
            }
            DataType::Date32 => Self::Date32(array.as_primitive::<Date32Type>().values()),
            DataType::Time32(TimeUnit::Second) => {
                Self::Time32(array.as_primitive::<Time32SecondType>().values(), 1)
            }
            DataType::Time32(_) => Self::Time32(
                array.as_primitive::<Time32MillisecondType>().values(),
                1_000,
            ),
            DataType::Time64(TimeUnit::Microsecond) => Self::Time64(
                array.as_primitive::<Time64MicrosecondType>().values(),
                1_000_000,
            ),
            DataType::Time64(_) => Self::Time64(
                array.as_primitive::<Time64NanosecondType>().values(),
                1_000_000_000,
            ),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => Self::Timestamp(
                array.as_primitive::<TimestampMicrosecondType>().values(),
                zone.is_some(),
            ),
            _ => return None,
        })
    }

    /// Whether JSON needs quotes around the text.
    pub(super) fn is_quoted(&self) -> bool {
        matches!(
            self,
            Self::Date32(_) | Self::Time32(..) | Self::Time64(..) | Self::Timestamp(..)
        )
    }

    /// Whether the value is NaN or infinite, which is no number to some.
    pub(super) fn is_finite(&self, row: usize) -> bool {
        match self {
            Self::Float32(values) => values[row].is_finite(),
            Self::Float64(values) => values[row].is_finite(),
            _ => true,
        }
    }

    /// Adds the text of a value that is not NULL.
    #[inline]
    pub(super) fn write(&self, row: usize, text: &mut Vec<u8>) -> Result<(), Refused> {
        macro_rules! digits {
            ($values:expr) => {
                text.extend_from_slice(itoa::Buffer::new().format($values[row]).as_bytes())
            };
        }
        match self {
            Self::Boolean(values) => {
                text.extend_from_slice(if values.value(row) { b"true" } else { b"false" })
            }
            Self::Int8(values) => digits!(values),
            Self::Int16(values) => digits!(values),
            Self::Int32(values) => digits!(values),
            Self::Int64(values) => digits!(values),
            Self::UInt8(values) => digits!(values),
            Self::UInt16(values) => digits!(values),
            Self::UInt32(values) => digits!(values),
            Self::UInt64(values) => digits!(values),
            // The shortest digits that are this value and no other: `NaN`, `inf` and `-inf` where there are none.
            Self::Float32(values) => {
                text.extend_from_slice(zmij::Buffer::new().format(values[row]).as_bytes());
            }
            Self::Float64(values) => {
                text.extend_from_slice(zmij::Buffer::new().format(values[row]).as_bytes());
            }
            Self::Decimal128(values, scale) => {
                decimal(itoa::Buffer::new().format(values[row]), *scale, text)
            }
            Self::Decimal256(values, scale) => decimal(&values[row].to_string(), *scale, text),
            Self::Date32(values) => {
                if !calendar::date(i64::from(values[row]), text) {
                    return Err(YEARS);
                }
            }
            Self::Time32(values, units) => time(i64::from(values[row]), *units, text)?,
            Self::Time64(values, units) => time(values[row], *units, text)?,
            Self::Timestamp(values, zoned) => {
                if !calendar::timestamp(values[row], 1_000_000, text) {
                    return Err(YEARS);
                }
                if *zoned {
                    text.push(b'Z');
                }
            }
        }
        Ok(())
    }
}

fn time(of_day: i64, units: u64, text: &mut Vec<u8>) -> Result<(), Refused> {
    let of_day = u64::try_from(of_day).map_err(|_| NO_TIME)?;
    if of_day / units >= 86_400 {
        return Err(NO_TIME);
    }
    calendar::time(of_day, units, text);
    Ok(())
}

/// Puts the point into the digits of a number.
fn decimal(unscaled: &str, scale: i8, text: &mut Vec<u8>) {
    let digits = match unscaled.strip_prefix('-') {
        Some(digits) => {
            text.push(b'-');
            digits
        }
        None => unscaled,
    }
    .as_bytes();
    let behind = usize::from(scale.unsigned_abs());
    if scale <= 0 {
        text.extend_from_slice(digits);
        if digits != b"0" {
            text.resize(text.len() + behind, b'0');
        }
        return;
    }
    match digits.len().checked_sub(behind) {
        Some(0) | None => {
            text.extend_from_slice(b"0.");
            text.resize(text.len() + behind - digits.len(), b'0');
            text.extend_from_slice(digits);
        }
        Some(point) => {
            text.extend_from_slice(&digits[..point]);
            text.push(b'.');
            text.extend_from_slice(&digits[point..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_has_all_digits_of_its_scale() {
        for (unscaled, scale, wanted) in [
            ("0", 2, "0.00"),
            ("5", 2, "0.05"),
            ("-12", 2, "-0.12"),
            ("123", 2, "1.23"),
            ("-123", 0, "-123"),
            ("123", -2, "12300"),
            ("0", -2, "0"),
        ] {
            let mut text = Vec::new();
            decimal(unscaled, scale, &mut text);
            assert_eq!(text, wanted.as_bytes(), "{unscaled} {scale}");
        }
    }
}
