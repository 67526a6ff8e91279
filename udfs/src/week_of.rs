//! `week_of(instant)`: the Monday of the week in which an instant lies.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use datafusion::arrow::datatypes::{DataType, Date32Type, Date64Type};
use datafusion::common::ScalarValue;
use datafusion::common::utils::take_function_args;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_DATETIME;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature,
};

use crate::instants;
use crate::signature::OF_OWN_TYPES;

const NAME: &str = "week_of";
const MICROS_PER_DAY: i64 = 86_400_000_000;
const MILLIS_PER_DAY: i64 = 86_400_000;
const DAYS_PER_WEEK: i64 = 7;
/// 1970-01-01, day 0, was a Thursday: three days after its Monday.
const EPOCH_DAYS_AFTER_MONDAY: i64 = 3;

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DOC_SECTION_DATETIME,
        "The Monday (UTC) of the ISO week of an instant, as a date. Monday 00:00:00 UTC belongs to the new week.",
        "week_of(instant)",
    )
    .with_argument("instant", "A date, or a timestamp of any unit, with or without a zone (without: UTC).")
    .with_sql_example("```sql\n> SELECT week_of(to_timestamp('2024-02-29T12:00:00Z'));\n2024-02-26\n```")
    .build()
});

/// The function `week_of(date | timestamp) -> Date32`. NULL gives NULL. A timestamp without a zone
/// counts as UTC; one with a zone is the instant it stands for, whatever its zone's calendar says.
///
/// # Errors
/// Planning fails on another type of argument (text has to be converted first, so that a malformed one
/// is met where it is parsed). A call fails on an instant whose Monday no `Date32` can hold.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct WeekOf;

impl ScalarUDFImpl for WeekOf {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &OF_OWN_TYPES
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Date32)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [given] = take_function_args(NAME, arg_types)?;
        let taken = match given {
            DataType::Date32 | DataType::Date64 => given.clone(),
            _ => instants::timestamp_argument(given).ok_or_else(|| {
                DataFusionError::Plan(format!(
                    "{NAME} takes a date or a timestamp, not {given}; convert a text with to_timestamp"
                ))
            })?,
        };
        Ok(vec![taken])
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [instant] = take_function_args(NAME, args.args)?;
        match instant {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(Arc::new(mondays(&array)?))),
            ColumnarValue::Scalar(scalar) => {
                let weeks = mondays(&scalar.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                    &weeks, 0,
                )?))
            }
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

fn mondays(instants: &ArrayRef) -> Result<PrimitiveArray<Date32Type>> {
    match instants.data_type() {
        DataType::Date32 => instants
            .as_primitive::<Date32Type>()
            .try_unary(|day| monday(i64::from(day))),
        DataType::Date64 => instants
            .as_primitive::<Date64Type>()
            .try_unary(|millis| monday(millis.div_euclid(MILLIS_PER_DAY))),
        _ => instants::microseconds(NAME, instants)?
            .try_unary::<_, Date32Type, _>(|micros| monday(micros.div_euclid(MICROS_PER_DAY))),
    }
}

/// The Monday on or before `day`, both counted in days since 1970-01-01.
fn monday(day: i64) -> Result<i32> {
    // The remainder alone is shifted: `day` itself may be next to the end of its range.
    let days_after_monday =
        (day.rem_euclid(DAYS_PER_WEEK) + EPOCH_DAYS_AFTER_MONDAY) % DAYS_PER_WEEK;
    day.checked_sub(days_after_monday)
        .and_then(|monday| i32::try_from(monday).ok())
        .ok_or_else(|| {
            DataFusionError::Execution(format!(
                "{NAME}: the week of day {day} since 1970-01-01 is out of range"
            ))
        })
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Date32Array, TimestampSecondArray};
    use datafusion::arrow::datatypes::TimeUnit;

    use super::*;

    #[test]
    fn an_empty_batch_gives_an_empty_batch_for_every_type_of_instant() {
        let mut types = vec![DataType::Date32, DataType::Date64];
        for unit in [
            TimeUnit::Second,
            TimeUnit::Millisecond,
            TimeUnit::Microsecond,
            TimeUnit::Nanosecond,
        ] {
            types.push(DataType::Timestamp(unit, None));
            types.push(DataType::Timestamp(unit, Some("+02:00".into())));
        }
        for instant_type in types {
            let weeks = mondays(&datafusion::arrow::array::new_empty_array(&instant_type)).unwrap();
            assert_eq!(weeks.len(), 0, "{instant_type}");
        }
    }

    #[test]
    fn every_day_of_two_thousand_weeks_agrees_with_the_calendar() {
        use chrono::{Datelike, Days, NaiveDate};
        let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        let first = NaiveDate::from_ymd_opt(1950, 6, 1).unwrap();
        for date in first.iter_days().take(14_000) {
            let day = date.signed_duration_since(epoch).num_days();
            let expected = date - Days::new(u64::from(date.weekday().num_days_from_monday()));
            assert_eq!(
                i64::from(monday(day).unwrap()),
                expected.signed_duration_since(epoch).num_days(),
                "{date}"
            );
        }
    }

    #[test]
    fn an_instant_whose_monday_no_date_holds_is_an_error() {
        let dates: ArrayRef = Arc::new(Date32Array::from(vec![i32::MIN]));
        let error = mondays(&dates).unwrap_err().to_string();
        assert!(
            error.contains("week_of: the week of day -2147483648"),
            "{error}"
        );

        let seconds: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX]));
        let error = mondays(&seconds).unwrap_err().to_string();
        assert!(error.contains("9223372036854775807"), "{error}");
    }
}
