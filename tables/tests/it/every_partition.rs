//! Every kind of partition value, read back by programs that know nothing of this crate, value by value.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Int8Array, Int64Array, StringArray, UInt64Array,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::Python;

use crate::every_type::{Column, publish, read_back};
use crate::support::TestResult;

/// Partition values of one type, the type's name for the readers, and how each value is spelled.
fn partitions() -> Vec<(&'static str, ArrayRef, Vec<Value>)> {
    let texts = [
        "plain",
        "two words",
        " leading",
        "trailing ",
        "a=b",
        "a/b",
        "100%",
        "%2F",
        "%zz",
        "a+b",
        "a&b",
        "a:b",
        "a#b",
        "a?b",
        "a*b",
        "[a]",
        "{b}",
        "\"quoted\"",
        "it's",
        "back\\slash",
        "tilde~",
        "line\nbreak",
        "tab\t",
        "nul\0nul",
        "\u{7f}",
        "Köln",
        "東京",
        "🚲",
        "e\u{301}",
        ".",
        "..",
        "_",
        "-",
        "null",
        "NULL",
        "nan",
        "true",
        "01",
        "1e5",
        "2026-01-01",
        "$HOME",
        "a,b;c|d",
        "<x>",
        "`x`",
        "!",
        "@",
        "x.parquet",
    ];
    let text: Vec<Option<&str>> = texts.into_iter().map(Some).chain([None]).collect();
    let integers = [i64::MIN, -1, 0, 1, i64::MAX];
    let unsigned = [0, u64::MAX];
    let dates = [
        (-719_162, "0001-01-01"),
        (-1, "1969-12-31"),
        (0, "1970-01-01"),
        (2_932_896, "9999-12-31"),
    ];
    let null = || std::iter::once(Value::Null);
    vec![
        (
            "text",
            Arc::new(StringArray::from(text.clone())),
            text.iter().map(|text| json!(text)).collect(),
        ),
        (
            "int64",
            Arc::new(
                integers
                    .into_iter()
                    .map(Some)
                    .chain([None])
                    .collect::<Int64Array>(),
            ),
            integers
                .iter()
                .map(|value| json!(value))
                .chain(null())
                .collect(),
        ),
        (
            "int8",
            Arc::new(Int8Array::from(vec![Some(-128), Some(127), None])),
            [json!(-128), json!(127)]
                .into_iter()
                .chain(null())
                .collect(),
        ),
        (
            "uint64",
            Arc::new(
                unsigned
                    .into_iter()
                    .map(Some)
                    .chain([None])
                    .collect::<UInt64Array>(),
            ),
            unsigned
                .iter()
                .map(|value| json!(value))
                .chain(null())
                .collect(),
        ),
        (
            "date",
            Arc::new(
                dates
                    .iter()
                    .map(|(day, _)| Some(*day))
                    .chain([None])
                    .collect::<Date32Array>(),
            ),
            dates
                .iter()
                .map(|(_, text)| json!(text))
                .chain(null())
                .collect(),
        ),
        (
            "boolean",
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
            [json!(true), json!(false)]
                .into_iter()
                .chain(null())
                .collect(),
        ),
    ]
}

#[tokio::test]
async fn every_partition_value_is_read_back_equal_by_duckdb_pyarrow_and_polars() -> TestResult {
    let Some(python) = Python::find()? else {
        return Ok(());
    };
    let parent = TempDir::new()?;
    let mut differences = serde_json::Map::new();
    for (kind, values, expected) in partitions() {
        let folder = parent.path().join(kind);
        let ids = (0..i64::try_from(values.len())?).collect::<Int64Array>();
        let of_ids: Vec<Value> = ids.values().iter().map(|id| json!(id)).collect();
        let columns: [Column; 2] = [
            ("id", Arc::new(ids), of_ids.clone()),
            ("value", values, expected.clone()),
        ];
        publish(&folder, &["value"], &columns).await?;
        let columns = json!({ "columns": { "id": of_ids, "value": expected }, "partition": kind });
        let found = read_back(&python, &folder, &columns)?;
        if found != json!({}) {
            differences.insert(kind.to_owned(), found);
        }
    }
    let differences = Value::Object(differences);
    assert_eq!(differences, json!({}), "{differences:#}");
    Ok(())
}
