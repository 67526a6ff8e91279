//! `json_pick(json, key, …)`: an object reduced to the named keys.

use std::any::type_name;
use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, StringBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::cast::as_string_array;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use serde_json::value::RawValue;

/// `json_pick(json, key, …)`: the object `json` with only the named keys, in the order named; a key that is absent is
/// `null`, values keep their text. NULL when `json` is NULL, not JSON, or not an object.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct JsonPick {
    signature: Signature,
}

impl JsonPick {
    /// The function.
    pub fn new() -> Self {
        Self {
            signature: Signature::one_of(vec![TypeSignature::UserDefined], Volatility::Immutable),
        }
    }
}

impl Default for JsonPick {
    fn default() -> Self {
        Self::new()
    }
}

impl ScalarUDFImpl for JsonPick {
    fn name(&self) -> &str {
        "json_pick"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if types.len() < 2 {
            return plan_err!(
                "json_pick takes a JSON text and one key or more, as in json_pick(record, 'title', 'tags')"
            );
        }
        if let Some(other) = types.iter().find(|t| !t.is_string() && !t.is_null()) {
            return plan_err!("json_pick takes texts, not {other}");
        }
        Ok(vec![DataType::Utf8; types.len()])
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (json, keys) = args.args.split_first().ok_or_else(|| {
            datafusion::common::internal_datafusion_err!(
                "{} was called without arguments",
                type_name::<Self>()
            )
        })?;
        let keys = keys.iter().map(constant_key).collect::<Result<Vec<_>>>()?;
        match json {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(pick_all(array, &keys)?)),
            ColumnarValue::Scalar(value) => {
                let picked = pick_all(&value.to_array()?, &keys)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                    &picked, 0,
                )?))
            }
        }
    }
}

fn constant_key(key: &ColumnarValue) -> Result<String> {
    match key {
        ColumnarValue::Scalar(ScalarValue::Utf8(Some(key))) => Ok(key.clone()),
        _ => exec_err!("the keys of json_pick are constant texts"),
    }
}

fn pick_all(array: &ArrayRef, keys: &[String]) -> Result<ArrayRef> {
    let array = as_string_array(array)?;
    // Keys are escaped once, not once a row.
    let labels: Vec<String> = keys
        .iter()
        .map(|key| serde_json::Value::from(key.as_str()).to_string())
        .collect();
    let mut builder = StringBuilder::with_capacity(array.len(), array.value_data().len() / 2);
    let mut object = String::new();
    for row in array {
        let fields =
            row.and_then(|text| serde_json::from_str::<HashMap<&str, &RawValue>>(text).ok());
        let Some(fields) = fields else {
            builder.append_option(row.and_then(|text| pick_escaped(text, keys, &labels)));
            continue;
        };
        object.clear();
        write_object(&mut object, keys, &labels, |key| {
            fields.get(key).map(|value| value.get())
        });
        builder.append_value(&object);
    }
    Ok(Arc::new(builder.finish()))
}

/// The slower way, for objects one of whose keys is written with an escape and so cannot be borrowed.
fn pick_escaped(text: &str, keys: &[String], labels: &[String]) -> Option<String> {
    let fields: HashMap<String, Box<RawValue>> = serde_json::from_str(text).ok()?;
    let mut object = String::new();
    write_object(&mut object, keys, labels, |key| {
        fields.get(key).map(|value| value.get())
    });
    Some(object)
}

fn write_object<'a>(
    object: &mut String,
    keys: &[String],
    labels: &[String],
    value: impl Fn(&str) -> Option<&'a str>,
) {
    object.push('{');
    for (key, label) in keys.iter().zip(labels) {
        if object.len() > 1 {
            object.push(',');
        }
        object.push_str(label);
        object.push(':');
        object.push_str(value(key).unwrap_or("null"));
    }
    object.push('}');
}
