//! The schema of a table's rows as Avro has it: a record whose fields may all be NULL. Owns which type of Avro each type is.

use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::common::internal_err;
use datafusion::error::Result;
use serde_json::{Value, json};

/// The schema of rows.
pub(super) fn of(schema: &Schema) -> Result<Value> {
    let mut names = 0;
    let fields = fields(schema.fields(), &mut names)?;
    Ok(json!({ "type": "record", "name": "row", "fields": fields }))
}

fn fields<'a>(
    fields: impl IntoIterator<Item = &'a std::sync::Arc<Field>>,
    names: &mut u32,
) -> Result<Vec<Value>> {
    let fields = fields.into_iter().map(|field| {
        let data_type = or_null(field.data_type(), names)?;
        Ok(json!({ "name": field.name(), "type": data_type, "default": null }))
    });
    fields.collect()
}

fn or_null(data_type: &DataType, names: &mut u32) -> Result<Value> {
    Ok(json!(["null", type_of(data_type, names)?]))
}

/// `names` counts the types that have one, which is theirs alone.
fn type_of(data_type: &DataType, names: &mut u32) -> Result<Value> {
    let logical = |plain: &str, logical: &str| json!({ "type": plain, "logicalType": logical });
    Ok(match data_type {
        DataType::Boolean => json!("boolean"),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => {
            json!("int")
        }
        DataType::UInt32 | DataType::Int64 => json!("long"),
        DataType::Float32 => json!("float"),
        DataType::Float64 => json!("double"),
        DataType::Utf8 => json!("string"),
        DataType::Binary => json!("bytes"),
        DataType::FixedSizeBinary(size) => {
            *names += 1;
            json!({ "type": "fixed", "name": format!("fixed{names}"), "size": size })
        }
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => json!({
            "type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale
        }),
        DataType::Date32 => logical("int", "date"),
        DataType::Time32(TimeUnit::Millisecond) => logical("int", "time-millis"),
        DataType::Time64(TimeUnit::Microsecond) => logical("long", "time-micros"),
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            logical("long", "local-timestamp-micros")
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => logical("long", "timestamp-micros"),
        DataType::List(item) => {
            json!({ "type": "array", "items": or_null(item.data_type(), names)? })
        }
        DataType::Struct(of_struct) => {
            *names += 1;
            let name = format!("record{names}");
            json!({ "type": "record", "name": name, "fields": fields(of_struct, names)? })
        }
        other => return internal_err!("the type {other} should have been refused"),
    })
}
