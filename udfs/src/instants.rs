//! Instants as function arguments: which types are taken, and their microseconds since the epoch.
//!
//! Owns the rounding: always down, never towards zero, so that an instant before 1970 stays on its own
//! side of a boundary. Owns no calendar.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use datafusion::arrow::datatypes::{
    DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use datafusion::error::{DataFusionError, Result};

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_MILLI: i64 = 1_000;
const NANOS_PER_MICRO: i64 = 1_000;

/// The timestamp type that an argument of type `given` is passed as, `None` if it is no timestamp. An
/// untyped NULL becomes a NULL timestamp; a dictionary gives way to its values.
pub(crate) fn timestamp_argument(given: &DataType) -> Option<DataType> {
    match given {
        DataType::Timestamp(_, _) => Some(given.clone()),
        DataType::Null => Some(DataType::Timestamp(TimeUnit::Microsecond, None)),
        DataType::Dictionary(_, values) => timestamp_argument(values),
        _ => None,
    }
}

/// The microseconds since 1970-01-01 00:00:00 UTC of timestamps of any unit and zone, rounded down. A
/// timestamp without a zone counts as UTC; one with a zone holds UTC already.
///
/// # Errors
/// An instant more than 292,000 years from 1970, or an array that is no timestamp.
pub(crate) fn microseconds(
    function: &str,
    instants: &ArrayRef,
) -> Result<PrimitiveArray<TimestampMicrosecondType>> {
    let scaled = |value: i64, factor: i64| {
        value.checked_mul(factor).ok_or_else(|| {
            DataFusionError::Execution(format!(
                "{function}: the instant {value} (in units of {factor} microseconds since 1970) is out of range"
            ))
        })
    };
    match instants.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => instants
            .as_primitive::<TimestampSecondType>()
            .try_unary(|value| scaled(value, MICROS_PER_SECOND)),
        DataType::Timestamp(TimeUnit::Millisecond, _) => instants
            .as_primitive::<TimestampMillisecondType>()
            .try_unary(|value| scaled(value, MICROS_PER_MILLI)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Ok(instants.as_primitive::<TimestampMicrosecondType>().clone())
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => Ok(instants
            .as_primitive::<TimestampNanosecondType>()
            .unary(|value| value.div_euclid(NANOS_PER_MICRO))),
        other => Err(DataFusionError::Internal(format!(
            "{function} was called with {other}, not a timestamp"
        ))),
    }
}
