//! `local_time(instant, zone)`: what a clock on the wall of a time zone showed at an instant.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;
use datafusion::arrow::array::{Array, ArrayRef, PrimitiveArray};
use datafusion::arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion::common::ScalarValue;
use datafusion::common::utils::take_function_args;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_DATETIME;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature,
};

use crate::signature::OF_OWN_TYPES;
use crate::{instants, texts};

const NAME: &str = "local_time";
const MICROS_PER_SECOND: i64 = 1_000_000;

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DOC_SECTION_DATETIME,
        "The wall-clock time of an instant in a time zone, as a timestamp without a zone. Daylight saving \
         time is respected. An unknown zone is an error: see valid_zone.",
        "local_time(instant, zone)",
    )
    .with_argument("instant", "A timestamp of any unit, with or without a zone (without: UTC).")
    .with_argument("zone", "The name of an IANA time zone, for example 'Europe/Lisbon'.")
    .with_sql_example(
        "```sql\n> SELECT local_time(to_timestamp('2024-03-31T01:00:00Z'), 'Europe/Lisbon');\n2024-03-31T02:00:00\n```",
    )
    .with_related_udf("valid_zone")
    .build()
});

/// The function `local_time(timestamp, text) -> Timestamp(Microsecond)`. NULL in either argument gives
/// NULL. An instant has exactly one wall-clock time in every zone, so neither the hour that is skipped
/// nor the hour that comes twice is a special case. Finer than a microsecond is rounded down. The rules
/// are those of the IANA database compiled into the program.
///
/// # Errors
/// Planning fails on other types of arguments. A call fails on a row with an instant and a zone that
/// the IANA database does not have, naming the zone (`valid_zone` tells beforehand), and on an instant
/// beyond the years ±262,000.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct LocalTime;

impl ScalarUDFImpl for LocalTime {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &OF_OWN_TYPES
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Timestamp(TimeUnit::Microsecond, None))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [instant, zone] = take_function_args(NAME, arg_types)?;
        let refused = |position: &str, wanted: &str, given: &DataType| {
            DataFusionError::Plan(format!(
                "{NAME} takes {wanted} as its {position} argument, not {given}"
            ))
        };
        Ok(vec![
            instants::timestamp_argument(instant)
                .ok_or_else(|| refused("first", "a timestamp", instant))?,
            texts::text_argument(zone)
                .ok_or_else(|| refused("second", "the name of a time zone", zone))?,
        ])
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let [instant, zone] = take_function_args(NAME, args.args)?;
        match (instant, zone) {
            (ColumnarValue::Scalar(instant), ColumnarValue::Scalar(zone)) => {
                let local = in_one_zone(&instant.to_array()?, texts::scalar_text(NAME, &zone)?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                    &local, 0,
                )?))
            }
            (ColumnarValue::Array(instants), ColumnarValue::Scalar(zone)) => {
                let local = in_one_zone(&instants, texts::scalar_text(NAME, &zone)?)?;
                Ok(ColumnarValue::Array(Arc::new(local)))
            }
            (instants, ColumnarValue::Array(zones)) => Ok(ColumnarValue::Array(Arc::new(
                in_each_zone(&instants.into_array(rows)?, &zones)?,
            ))),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

/// The zone with this IANA name, `None` if there is none.
pub(crate) fn zone_named(name: &str) -> Option<Tz> {
    name.parse().ok()
}

fn in_one_zone(
    instants: &ArrayRef,
    name: Option<&str>,
) -> Result<PrimitiveArray<TimestampMicrosecondType>> {
    let Some(name) = name else {
        return Ok(PrimitiveArray::new_null(instants.len()));
    };
    if instants.null_count() == instants.len() {
        // No row asks for the zone, so its name does not have to exist: as with an array of zones.
        return Ok(PrimitiveArray::new_null(instants.len()));
    }
    let zone = known_zone(name)?;
    instants::microseconds(NAME, instants)?.try_unary(|micros| wall_clock(micros, zone))
}

fn in_each_zone(
    instants: &ArrayRef,
    zones: &ArrayRef,
) -> Result<PrimitiveArray<TimestampMicrosecondType>> {
    let mut parsed: HashMap<&str, Tz> = HashMap::new();
    // Neighbouring rows mostly share their zone: they are spared even the look-up.
    let mut previous: Option<(&str, Tz)> = None;
    let instants = instants::microseconds(NAME, instants)?;
    instants
        .iter()
        .zip(texts::array_texts(NAME, zones)?)
        .map(|row| {
            let (Some(micros), Some(name)) = row else {
                return Ok(None);
            };
            let zone = match previous {
                Some((same, zone)) if same == name => zone,
                _ => match parsed.get(name) {
                    Some(zone) => *zone,
                    None => *parsed.entry(name).or_insert(known_zone(name)?),
                },
            };
            previous = Some((name, zone));
            wall_clock(micros, zone).map(Some)
        })
        .collect()
}

fn known_zone(name: &str) -> Result<Tz> {
    zone_named(name).ok_or_else(|| {
        DataFusionError::Execution(format!(
            "{NAME}: '{name}' is not the name of an IANA time zone; test it with valid_zone first"
        ))
    })
}

/// The microseconds from 1970-01-01 00:00:00 to `micros`, both as the clocks of `zone` show them.
fn wall_clock(micros: i64, zone: Tz) -> Result<i64> {
    let out_of_range = || {
        DataFusionError::Execution(format!(
            "{NAME}: the instant {micros} microseconds since 1970 is out of range"
        ))
    };
    let instant = DateTime::from_timestamp_micros(micros)
        .ok_or_else(out_of_range)?
        .naive_utc();
    let offset_seconds = i64::from(
        zone.offset_from_utc_datetime(&instant)
            .fix()
            .local_minus_utc(),
    );
    micros
        .checked_add(offset_seconds * MICROS_PER_SECOND)
        .ok_or_else(out_of_range)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{StringArray, TimestampMicrosecondArray, new_empty_array};

    use super::*;

    fn utc(instants: Vec<Option<i64>>) -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(instants).with_timezone("UTC"))
    }

    #[test]
    fn an_empty_batch_gives_an_empty_batch_and_no_look_at_the_zone() {
        let instants = utc(vec![]);
        assert_eq!(
            in_one_zone(&instants, Some("Nowhere/Land")).unwrap().len(),
            0
        );
        for zone_type in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View] {
            let local = in_each_zone(&instants, &new_empty_array(&zone_type)).unwrap();
            assert_eq!((local.len(), local.timezone()), (0, None));
        }
    }

    #[test]
    fn the_answer_never_carries_the_zone_of_the_argument() {
        let instants = utc(vec![Some(0), None]);
        assert_eq!(
            in_one_zone(&instants, Some("Asia/Kolkata"))
                .unwrap()
                .timezone(),
            None
        );
        assert_eq!(in_one_zone(&instants, None).unwrap().timezone(), None);
    }

    #[test]
    fn an_instant_beyond_the_calendar_is_an_error_that_names_it() {
        let error = in_one_zone(&utc(vec![Some(i64::MAX)]), Some("UTC"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("local_time: the instant 9223372036854775807"),
            "{error}"
        );
    }

    #[test]
    fn rows_of_mixed_zones_each_get_their_own() {
        let hour = 3_600_000_000;
        let zones: ArrayRef = Arc::new(StringArray::from(vec![
            Some("Etc/GMT-1"),
            Some("Etc/GMT-2"),
            Some("Etc/GMT-2"),
            None,
            Some("Etc/GMT-1"),
        ]));
        let local = in_each_zone(
            &utc(vec![Some(0), Some(0), None, Some(0), Some(hour)]),
            &zones,
        )
        .unwrap();
        assert_eq!(
            local.iter().collect::<Vec<_>>(),
            [Some(hour), Some(2 * hour), None, None, Some(2 * hour)]
        );
    }
}
