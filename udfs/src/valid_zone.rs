//! `valid_zone(name)`: whether a text names a time zone that `local_time` knows.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::utils::take_function_args;
use datafusion::error::Result;
use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_DATETIME;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature,
};

use crate::signature::OF_OWN_TYPES;
use crate::{local_time, texts};

const NAME: &str = "valid_zone";

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DOC_SECTION_DATETIME,
        "Whether a text is the name of an IANA time zone, exactly as local_time takes it.",
        "valid_zone(name)",
    )
    .with_argument(
        "name",
        "Any text. Upper and lower case count; an offset like '+01:00' is no zone.",
    )
    .with_sql_example(
        "```sql\n> SELECT valid_zone('Europe/Lisbon'), valid_zone('Lisbon');\ntrue false\n```",
    )
    .with_related_udf("local_time")
    .build()
});

/// The function `valid_zone(text) -> Boolean`: true if and only if `local_time` takes the text as a
/// zone. NULL gives NULL. It never fails on a value, so that
/// `CASE WHEN valid_zone(zone) THEN zone ELSE 'UTC' END` makes a column of any quality usable.
///
/// # Errors
/// Planning fails on an argument that is no text.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct ValidZone;

impl ScalarUDFImpl for ValidZone {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &OF_OWN_TYPES
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        texts::one_text(NAME, arg_types)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [name] = take_function_args(NAME, args.args)?;
        match name {
            ColumnarValue::Array(names) => Ok(ColumnarValue::Array(Arc::new(known(&names)?))),
            ColumnarValue::Scalar(name) => {
                let valid = texts::scalar_text(NAME, &name)?.map(is_known);
                Ok(ColumnarValue::Scalar(ScalarValue::Boolean(valid)))
            }
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

fn known(names: &ArrayRef) -> Result<BooleanArray> {
    Ok(texts::array_texts(NAME, names)?
        .map(|name| name.map(is_known))
        .collect())
}

fn is_known(name: &str) -> bool {
    local_time::zone_named(name).is_some()
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::new_empty_array;

    use super::*;

    #[test]
    fn an_empty_batch_gives_an_empty_batch() {
        for text_type in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View] {
            assert_eq!(
                known(&new_empty_array(&text_type)).unwrap().len(),
                0,
                "{text_type}"
            );
        }
    }

    #[test]
    fn every_zone_of_the_database_is_valid() {
        for zone in chrono_tz::TZ_VARIANTS {
            assert!(is_known(zone.name()), "{zone}");
        }
    }
}
