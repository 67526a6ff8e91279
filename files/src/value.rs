//! Texts to values, exactly. Owns, for every type that a text can be read as, which texts are a value of it; nothing is
//! rounded, cut or guessed.
//!
//! | type | texts |
//! |---|---|
//! | integers | an optional sign and digits; a fraction of zeros; an exponent, if the number is whole |
//! | floating point | a decimal number, `NaN`, `inf`; too large for the type is refused, a nearest value is not |
//! | decimals | a decimal number with no more digits behind the point than the type has, zeros aside |
//! | booleans | `true`, `false`, `t`, `f`, `1`, `0` in any case |
//! | dates | `2026-01-31` |
//! | times | `23:59`, `23:59:59`, with a fraction that the unit can hold |
//! | timestamps | a date, or a date and a time with `T` or a space between; with an offset for types that have a zone, and there UTC without one |
//! | texts | every text |

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Date64Builder, Decimal128Builder, Decimal256Builder,
    LargeStringBuilder, NullBuilder, PrimitiveBuilder, StringBuilder, StringViewBuilder,
};
use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use datafusion::arrow::error::ArrowError;

use super::misfit::Misfit;
use super::number::{self, unscaled, unscaled_wide};
use super::time::{self, Instant};

/// The values of a column while it grows.
#[derive(Debug)]
pub(crate) enum Values {
    /// Nothing but NULL.
    Null(NullBuilder),
    /// Texts.
    Text(StringBuilder),
    /// Texts with large offsets.
    LargeText(LargeStringBuilder),
    /// Texts as views.
    TextView(StringViewBuilder),
    /// Booleans.
    Boolean(BooleanBuilder),
    /// 8 bits.
    Int8(PrimitiveBuilder<Int8Type>),
    /// 16 bits.
    Int16(PrimitiveBuilder<Int16Type>),
    /// 32 bits.
    Int32(PrimitiveBuilder<Int32Type>),
    /// 64 bits.
    Int64(PrimitiveBuilder<Int64Type>),
    /// 8 bits without sign.
    UInt8(PrimitiveBuilder<UInt8Type>),
    /// 16 bits without sign.
    UInt16(PrimitiveBuilder<UInt16Type>),
    /// 32 bits without sign.
    UInt32(PrimitiveBuilder<UInt32Type>),
    /// 64 bits without sign.
    UInt64(PrimitiveBuilder<UInt64Type>),
    /// Single precision.
    Float32(PrimitiveBuilder<Float32Type>),
    /// Double precision, and whether a number must be the shortest text of its nearest value.
    Float64(PrimitiveBuilder<Float64Type>, bool),
    /// Decimals with precision and scale.
    Decimal128(Decimal128Builder, u8, i8),
    /// Decimals with precision and scale.
    Decimal256(Decimal256Builder, u8, i8),
    /// Days.
    Date32(Date32Builder),
    /// Days in milliseconds.
    Date64(Date64Builder),
    /// Times of a day.
    Time(TimeValues),
    /// Instants, and whether the type has a zone.
    Timestamp(TimestampValues, bool),
}

/// Times of a day, by unit.
#[derive(Debug)]
pub(crate) enum TimeValues {
    /// Seconds.
    Second(PrimitiveBuilder<Time32SecondType>),
    /// Milliseconds.
    Millisecond(PrimitiveBuilder<Time32MillisecondType>),
    /// Microseconds.
    Microsecond(PrimitiveBuilder<Time64MicrosecondType>),
    /// Nanoseconds.
    Nanosecond(PrimitiveBuilder<Time64NanosecondType>),
}

/// Instants, by unit.
#[derive(Debug)]
pub(crate) enum TimestampValues {
    /// Seconds.
    Second(PrimitiveBuilder<TimestampSecondType>),
    /// Milliseconds.
    Millisecond(PrimitiveBuilder<TimestampMillisecondType>),
    /// Microseconds.
    Microsecond(PrimitiveBuilder<TimestampMicrosecondType>),
    /// Nanoseconds.
    Nanosecond(PrimitiveBuilder<TimestampNanosecondType>),
}

/// Runs the same code for the builder of every type.
macro_rules! each_builder {
    ($values:expr, $builder:ident => $code:expr) => {
        match $values {
            Values::Null($builder) => $code,
            Values::Text($builder) => $code,
            Values::LargeText($builder) => $code,
            Values::TextView($builder) => $code,
            Values::Boolean($builder) => $code,
            Values::Int8($builder) => $code,
            Values::Int16($builder) => $code,
            Values::Int32($builder) => $code,
            Values::Int64($builder) => $code,
            Values::UInt8($builder) => $code,
            Values::UInt16($builder) => $code,
            Values::UInt32($builder) => $code,
            Values::UInt64($builder) => $code,
            Values::Float32($builder) => $code,
            Values::Float64($builder, _) => $code,
            Values::Decimal128($builder, ..) => $code,
            Values::Decimal256($builder, ..) => $code,
            Values::Date32($builder) => $code,
            Values::Date64($builder) => $code,
            Values::Time(TimeValues::Second($builder)) => $code,
            Values::Time(TimeValues::Millisecond($builder)) => $code,
            Values::Time(TimeValues::Microsecond($builder)) => $code,
            Values::Time(TimeValues::Nanosecond($builder)) => $code,
            Values::Timestamp(TimestampValues::Second($builder), _) => $code,
            Values::Timestamp(TimestampValues::Millisecond($builder), _) => $code,
            Values::Timestamp(TimestampValues::Microsecond($builder), _) => $code,
            Values::Timestamp(TimestampValues::Nanosecond($builder), _) => $code,
        }
    };
}

impl Values {
    /// A column of that type, for so many rows; `None` if no text is read as it.
    pub(crate) fn new(data_type: &DataType, rows: usize) -> Option<Self> {
        fn primitive<T: ArrowPrimitiveType>(
            data_type: &DataType,
            rows: usize,
        ) -> PrimitiveBuilder<T> {
            PrimitiveBuilder::with_capacity(rows).with_data_type(data_type.clone())
        }
        let t = data_type;
        Some(match data_type {
            DataType::Null => Self::Null(NullBuilder::new()),
            DataType::Utf8 => Self::Text(StringBuilder::with_capacity(rows, rows * 16)),
            DataType::LargeUtf8 => {
                Self::LargeText(LargeStringBuilder::with_capacity(rows, rows * 16))
            }
            DataType::Utf8View => Self::TextView(StringViewBuilder::with_capacity(rows)),
            DataType::Boolean => Self::Boolean(BooleanBuilder::with_capacity(rows)),
            DataType::Int8 => Self::Int8(primitive(t, rows)),
            DataType::Int16 => Self::Int16(primitive(t, rows)),
            DataType::Int32 => Self::Int32(primitive(t, rows)),
            DataType::Int64 => Self::Int64(primitive(t, rows)),
            DataType::UInt8 => Self::UInt8(primitive(t, rows)),
            DataType::UInt16 => Self::UInt16(primitive(t, rows)),
            DataType::UInt32 => Self::UInt32(primitive(t, rows)),
            DataType::UInt64 => Self::UInt64(primitive(t, rows)),
            DataType::Float32 => Self::Float32(primitive(t, rows)),
            DataType::Float64 => Self::Float64(primitive(t, rows), false),
            DataType::Decimal128(precision, scale) => {
                Self::Decimal128(primitive(t, rows), *precision, *scale)
            }
            DataType::Decimal256(precision, scale) => {
                Self::Decimal256(primitive(t, rows), *precision, *scale)
            }
            DataType::Date32 => Self::Date32(primitive(t, rows)),
            DataType::Date64 => Self::Date64(primitive(t, rows)),
            DataType::Time32(TimeUnit::Second) => {
                Self::Time(TimeValues::Second(primitive(t, rows)))
            }
            DataType::Time32(_) => Self::Time(TimeValues::Millisecond(primitive(t, rows))),
            DataType::Time64(TimeUnit::Microsecond) => {
                Self::Time(TimeValues::Microsecond(primitive(t, rows)))
            }
            DataType::Time64(_) => Self::Time(TimeValues::Nanosecond(primitive(t, rows))),
            DataType::Timestamp(unit, zone) => Self::Timestamp(
                match unit {
                    TimeUnit::Second => TimestampValues::Second(primitive(t, rows)),
                    TimeUnit::Millisecond => TimestampValues::Millisecond(primitive(t, rows)),
                    TimeUnit::Microsecond => TimestampValues::Microsecond(primitive(t, rows)),
                    TimeUnit::Nanosecond => TimestampValues::Nanosecond(primitive(t, rows)),
                },
                zone.is_some(),
            ),
            _ => return None,
        })
    }

    /// As of a type that nobody asked for: a number that is not kept digit by digit is refused then, where it would become
    /// its nearest neighbour otherwise.
    #[must_use]
    pub(crate) fn inferred(self) -> Self {
        match self {
            Self::Float64(builder, _) => Self::Float64(builder, true),
            values => values,
        }
    }

    /// Whether every text is a value.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Text(_) | Self::LargeText(_) | Self::TextView(_))
    }

    /// Whether a number may be a value.
    pub(crate) fn is_number(&self) -> bool {
        matches!(
            self,
            Self::Int8(_)
                | Self::Int16(_)
                | Self::Int32(_)
                | Self::Int64(_)
                | Self::UInt8(_)
                | Self::UInt16(_)
                | Self::UInt32(_)
                | Self::UInt64(_)
                | Self::Float32(_)
                | Self::Float64(..)
                | Self::Decimal128(..)
                | Self::Decimal256(..)
        )
    }

    /// One more NULL.
    pub(crate) fn append_null(&mut self) {
        each_builder!(self, builder => builder.append_null());
    }

    /// One more value.
    ///
    /// # Errors
    /// [`Misfit`]; the column is as before.
    pub(crate) fn append(&mut self, text: &str) -> Result<(), Misfit> {
        match self {
            Self::Text(builder) => builder.append_value(text),
            Self::LargeText(builder) => builder.append_value(text),
            Self::TextView(builder) => builder.append_value(text),
            Self::Null(_) => return Err(Misfit(None)),
            Self::Boolean(builder) => builder.append_value(boolean(text.trim_ascii())?),
            Self::Int8(builder) => builder.append_value(integer(text)?),
            Self::Int16(builder) => builder.append_value(integer(text)?),
            Self::Int32(builder) => builder.append_value(integer(text)?),
            Self::Int64(builder) => builder.append_value(integer(text)?),
            Self::UInt8(builder) => builder.append_value(integer(text)?),
            Self::UInt16(builder) => builder.append_value(integer(text)?),
            Self::UInt32(builder) => builder.append_value(integer(text)?),
            Self::UInt64(builder) => builder.append_value(integer(text)?),
            Self::Float32(builder) => {
                let value: f32 = text.trim_ascii().parse().map_err(|_| Misfit(None))?;
                builder.append_value(finite(f64::from(value), text).map(|_| value)?);
            }
            Self::Float64(builder, exact) => {
                let text = text.trim_ascii();
                let value: f64 = text.parse().map_err(|_| Misfit(None))?;
                if *exact && !number::is_double(text, value) {
                    return Err(Misfit(Some("it has more digits than a DOUBLE keeps")));
                }
                builder.append_value(finite(value, text)?);
            }
            Self::Decimal128(builder, precision, scale) => {
                builder.append_value(unscaled(text.trim_ascii(), *precision, *scale)?);
            }
            Self::Decimal256(builder, precision, scale) => {
                builder.append_value(unscaled_wide(text.trim_ascii(), *precision, *scale)?);
            }
            Self::Date32(builder) => builder.append_value(date(text)?),
            Self::Date64(builder) => builder.append_value(i64::from(date(text)?) * 86_400_000),
            Self::Time(values) => values.append(text)?,
            Self::Timestamp(values, zoned) => values.append(text, *zoned)?,
        }
        Ok(())
    }

    /// The column, which begins anew.
    ///
    /// # Errors
    /// When a value has more digits than the type; values are checked before, so that is a fault of this program.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Decimal128(builder, precision, scale) => Arc::new(
                builder
                    .finish()
                    .with_precision_and_scale(*precision, *scale)?,
            ),
            Self::Decimal256(builder, precision, scale) => Arc::new(
                builder
                    .finish()
                    .with_precision_and_scale(*precision, *scale)?,
            ),
            values => each_builder!(values, builder => Arc::new(builder.finish())),
        })
    }
}

fn boolean(text: &str) -> Result<bool, Misfit> {
    match text {
        "1" => Ok(true),
        "0" => Ok(false),
        _ if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("t") => Ok(true),
        _ if text.eq_ignore_ascii_case("false") || text.eq_ignore_ascii_case("f") => Ok(false),
        _ => Err(Misfit(None)),
    }
}

/// A whole number of any width.
fn integer<T: TryFrom<i128> + TryFrom<i64>>(text: &str) -> Result<T, Misfit> {
    // Nearly all of them are digits that fit.
    if let Some(value) = short(text.as_bytes()) {
        return T::try_from(value).map_err(|_| Misfit(Some("it is out of range")));
    }
    let value = unscaled(text.trim_ascii(), 38, 0)?;
    T::try_from(value).map_err(|_| Misfit(Some("it is out of range")))
}

/// Up to 18 digits with an optional sign.
fn short(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value: i64 = 0;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(if negative { -value } else { value })
}

/// An infinity that the text does not say is a number that is too large.
fn finite(value: f64, text: &str) -> Result<f64, Misfit> {
    if value.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit()) {
        return Err(Misfit(Some("it is out of range")));
    }
    Ok(value)
}

fn date(text: &str) -> Result<i32, Misfit> {
    let text = text.trim_ascii();
    time::read_date(text).ok_or(Misfit(None))
}

/// Seconds and nanoseconds as so many of the unit, of which a second has `units`.
fn whole(seconds: i64, nanoseconds: i64, units: i64) -> Result<i64, Misfit> {
    let unit = 1_000_000_000 / units;
    if nanoseconds % unit != 0 {
        return Err(Misfit(Some("the type has fewer digits behind the seconds")));
    }
    let whole = i128::from(seconds) * i128::from(units) + i128::from(nanoseconds / unit);
    i64::try_from(whole).map_err(|_| Misfit(Some("it is out of range")))
}

impl TimeValues {
    fn append(&mut self, text: &str) -> Result<(), Misfit> {
        let nanoseconds = time::read_time(text.trim_ascii()).ok_or(Misfit(None))?;
        let (seconds, nanoseconds) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
        let whole = |units| whole(seconds, nanoseconds, units);
        let narrow = |value: i64| i32::try_from(value).map_err(|_| Misfit(None));
        match self {
            Self::Second(builder) => {
                builder.append_value(narrow(whole(1)?)?);
            }
            Self::Millisecond(builder) => {
                builder.append_value(narrow(whole(1_000)?)?);
            }
            Self::Microsecond(builder) => builder.append_value(whole(1_000_000)?),
            Self::Nanosecond(builder) => builder.append_value(whole(1_000_000_000)?),
        }
        Ok(())
    }
}

impl TimestampValues {
    fn append(&mut self, text: &str, zoned: bool) -> Result<(), Misfit> {
        let Instant {
            seconds,
            nanoseconds,
            has_offset,
        } = time::read_timestamp(text.trim_ascii()).ok_or(Misfit(None))?;
        if has_offset && !zoned {
            return Err(Misfit(Some(
                "it has an offset, and the type has no zone: TIMESTAMPTZ does",
            )));
        }
        let whole = |units| whole(seconds, nanoseconds, units);
        match self {
            Self::Second(builder) => builder.append_value(whole(1)?),
            Self::Millisecond(builder) => builder.append_value(whole(1_000)?),
            Self::Microsecond(builder) => builder.append_value(whole(1_000_000)?),
            Self::Nanosecond(builder) => builder.append_value(whole(1_000_000_000)?),
        }
        Ok(())
    }
}
