//! Texts as function arguments: which types are taken, and one way to read all of them.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::utils::take_function_args;
use datafusion::error::{DataFusionError, Result};

/// The text type that an argument of type `given` is passed as, `None` if it is no text. An untyped
/// NULL becomes a NULL text; a dictionary (a partition column, for one) gives way to its values.
pub(crate) fn text_argument(given: &DataType) -> Option<DataType> {
    match given {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(given.clone()),
        DataType::Null => Some(DataType::Utf8View),
        DataType::Dictionary(_, values) => text_argument(values),
        _ => None,
    }
}

/// The types of a function's only argument, a text.
///
/// # Errors
/// Another number of arguments, and one that is no text.
pub(crate) fn one_text(function: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    let [given] = take_function_args(function, given)?;
    let taken = text_argument(given)
        .ok_or_else(|| DataFusionError::Plan(format!("{function} takes a text, not {given}")))?;
    Ok(vec![taken])
}

/// The texts of an array of any text type.
///
/// # Errors
/// An array that holds no text: the planner coerces by [`text_argument`], so only a caller that goes
/// round it sees this.
pub(crate) fn array_texts<'a>(
    function: &str,
    array: &'a ArrayRef,
) -> Result<Box<dyn Iterator<Item = Option<&'a str>> + 'a>> {
    match array.data_type() {
        DataType::Utf8 => Ok(Box::new(array.as_string::<i32>().iter())),
        DataType::LargeUtf8 => Ok(Box::new(array.as_string::<i64>().iter())),
        DataType::Utf8View => Ok(Box::new(array.as_string_view().iter())),
        other => Err(not_text(function, other)),
    }
}

/// The text of a scalar of any text type, `None` for NULL.
///
/// # Errors
/// As [`array_texts`].
pub(crate) fn scalar_text<'a>(function: &str, scalar: &'a ScalarValue) -> Result<Option<&'a str>> {
    scalar
        .try_as_str()
        .ok_or_else(|| not_text(function, &scalar.data_type()))
}

fn not_text(function: &str, given: &DataType) -> DataFusionError {
    DataFusionError::Internal(format!("{function} was called with {given}, not a text"))
}
