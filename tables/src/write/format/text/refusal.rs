//! What is said of a value that a format has no text for.

use datafusion::arrow::array::Array;
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::error::DataFusionError;

use super::scalar::Refused;
use crate::error::Error;

/// The longest value that a message shows, in characters.
const SHOWN: usize = 60;

/// The error of the value of `column` in a row.
pub(super) fn refused(
    column: &str,
    values: &dyn Array,
    row: usize,
    reason: Refused,
) -> DataFusionError {
    let value = array_value_to_string(values, row).unwrap_or_default();
    DataFusionError::from(Error::NoText {
        column: column.to_owned(),
        value: value.chars().take(SHOWN).collect(),
        reason,
    })
}

/// The error of a type that was not refused when the table was opened.
pub(super) fn unknown(column: &str, values: &dyn Array) -> DataFusionError {
    DataFusionError::Internal(format!(
        "column {column} has the type {}, which should have been refused",
        values.data_type()
    ))
}
