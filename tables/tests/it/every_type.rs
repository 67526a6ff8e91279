//! Every column type, read back by programs that know nothing of this crate, value by
//! value. What a reader cannot hold has a test of its own, which fails when the reader learns it.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
    FixedSizeBinaryArray, FixedSizeListArray, Float16Array, Float32Array, Float64Array, Int8Array,
    Int16Array, Int32Array, Int64Array, Int64Builder, ListArray, MapBuilder, RecordBatch,
    StringBuilder, StructArray, Time32MillisecondArray, Time32SecondArray, Time64MicrosecondArray,
    Time64NanosecondArray, TimestampMicrosecondArray, UInt8Array, UInt16Array, UInt32Array,
    UInt64Array,
};
use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, Float16Type, Float64Type, Int32Type, i256,
};
use serde_json::{Value, json};
use tables::{PublishMode, TableOptions};
use tempfile::TempDir;
use testkit::Python;

use crate::support::{TestResult, assert_at_rest, info, ints, session, stage, table_at, texts};

const SCRIPT: &str = include_str!("every_type.py");

/// A column with the values that every reader must give, spelled as the script spells them.
pub(crate) type Column = (&'static str, ArrayRef, Vec<Value>);

fn numbers() -> Vec<Column> {
    macro_rules! integers {
        ($($name:literal, $array:ident, $native:ty;)*) => {
            vec![$((
                $name,
                Arc::new($array::from(vec![Some(<$native>::MIN), Some(<$native>::MAX), Some(7), None])) as ArrayRef,
                vec![json!(<$native>::MIN), json!(<$native>::MAX), json!(7), Value::Null],
            )),*]
        };
    }
    let mut columns: Vec<Column> = integers! {
        "int8", Int8Array, i8;
        "int16", Int16Array, i16;
        "int32", Int32Array, i32;
        "int64", Int64Array, i64;
        "uint8", UInt8Array, u8;
        "uint16", UInt16Array, u16;
        "uint32", UInt32Array, u32;
        "uint64", UInt64Array, u64;
    };
    let half = <Float16Type as ArrowPrimitiveType>::Native::from_f32;
    columns.push((
        "float16",
        Arc::new(Float16Array::from(vec![
            Some(half(0.5)),
            Some(half(65_504.0)),
            Some(half(-0.25)),
            None,
        ])),
        vec![
            json!("0x1.0000000000000p-1"),
            json!("0x1.ffc0000000000p+15"),
            json!("-0x1.0000000000000p-2"),
            Value::Null,
        ],
    ));
    columns.push((
        "float32",
        Arc::new(Float32Array::from(vec![
            Some(f32::MIN),
            Some(f32::INFINITY),
            Some(0.1),
            None,
        ])),
        // Every f32 is a f64; the script writes floats exactly.
        vec![
            json!("-0x1.fffffe0000000p+127"),
            json!("inf"),
            json!("0x1.99999a0000000p-4"),
            Value::Null,
        ],
    ));
    columns.push((
        "float64",
        Arc::new(Float64Array::from(vec![
            Some(f64::MIN_POSITIVE),
            Some(f64::NAN),
            Some(-0.0),
            None,
        ])),
        vec![
            json!("0x1.0000000000000p-1022"),
            json!("nan"),
            json!("-0x0.0p+0"),
            Value::Null,
        ],
    ));
    columns
}

fn decimals() -> TestResult<Vec<Column>> {
    let most = 99_999_999_999_999_999_999_999_999_999_999_999_999_i128;
    Ok(vec![
        (
            "decimal9_2",
            Arc::new(
                Decimal128Array::from(vec![Some(-999_999_999), Some(1), Some(0), None])
                    .with_precision_and_scale(9, 2)?,
            ),
            vec![
                json!("-9999999.99"),
                json!("0.01"),
                json!("0.00"),
                Value::Null,
            ],
        ),
        (
            "decimal38_9",
            Arc::new(
                Decimal128Array::from(vec![Some(-most), Some(most), Some(5), None])
                    .with_precision_and_scale(38, 9)?,
            ),
            vec![
                json!("-99999999999999999999999999999.999999999"),
                json!("99999999999999999999999999999.999999999"),
                json!("0.000000005"),
                Value::Null,
            ],
        ),
    ])
}

fn plain() -> TestResult<Vec<Column>> {
    let bytes: [Option<&[u8]>; 4] = [Some(b""), Some(&[0, 255, 10]), Some(b"abc"), None];
    let fixed = [Some([0_u8; 4]), Some([255; 4]), Some(*b"abcd"), None];
    let second = 1_000_000_i64;
    let times = vec![
        Some(-62_135_596_800 * second),
        Some(253_402_300_799 * second + 999_999),
        Some(-1),
        None,
    ];
    Ok(vec![
        (
            "boolean",
            Arc::new(BooleanArray::from(vec![
                Some(true),
                Some(false),
                Some(true),
                None,
            ])),
            vec![json!(true), json!(false), json!(true), Value::Null],
        ),
        (
            "text",
            texts([Some(""), Some("Köln 東京 🚲\0\n\"'"), Some("NULL"), None]),
            vec![
                json!(""),
                json!("Köln 東京 🚲\0\n\"'"),
                json!("NULL"),
                Value::Null,
            ],
        ),
        (
            "binary",
            Arc::new(BinaryArray::from(bytes.to_vec())),
            vec![json!("x"), json!("x00ff0a"), json!("x616263"), Value::Null],
        ),
        (
            "fixed_binary",
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(
                fixed.into_iter(),
                4,
            )?),
            vec![
                json!("x00000000"),
                json!("xffffffff"),
                json!("x61626364"),
                Value::Null,
            ],
        ),
        (
            "date",
            Arc::new(Date32Array::from(vec![
                Some(-719_162),
                Some(2_932_896),
                Some(-1),
                None,
            ])),
            vec![
                json!("0001-01-01"),
                json!("9999-12-31"),
                json!("1969-12-31"),
                Value::Null,
            ],
        ),
        (
            "time_ms",
            Arc::new(Time32MillisecondArray::from(vec![
                Some(0),
                Some(86_399_999),
                Some(3_723_004),
                None,
            ])),
            vec![
                json!("00:00:00.000000"),
                json!("23:59:59.999000"),
                json!("01:02:03.004000"),
                Value::Null,
            ],
        ),
        (
            "time_s",
            Arc::new(Time32SecondArray::from(vec![
                Some(0),
                Some(86_399),
                Some(3_723),
                None,
            ])),
            vec![
                json!("00:00:00.000000"),
                json!("23:59:59.000000"),
                json!("01:02:03.000000"),
                Value::Null,
            ],
        ),
        (
            "time_ns",
            Arc::new(Time64NanosecondArray::from(vec![
                Some(0),
                Some(86_399_999_999_000),
                Some(1_000),
                None,
            ])),
            vec![
                json!("00:00:00.000000"),
                json!("23:59:59.999999"),
                json!("00:00:00.000001"),
                Value::Null,
            ],
        ),
        (
            "time_us",
            Arc::new(Time64MicrosecondArray::from(vec![
                Some(0),
                Some(86_399_999_999),
                Some(1),
                None,
            ])),
            vec![
                json!("00:00:00.000000"),
                json!("23:59:59.999999"),
                json!("00:00:00.000001"),
                Value::Null,
            ],
        ),
        (
            "timestamp",
            Arc::new(TimestampMicrosecondArray::from(times.clone())),
            vec![
                json!("0001-01-01T00:00:00.000000"),
                json!("9999-12-31T23:59:59.999999"),
                json!("1969-12-31T23:59:59.999999"),
                Value::Null,
            ],
        ),
        (
            "timestamp_utc",
            Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
            vec![
                json!("0001-01-01T00:00:00.000000Z"),
                json!("9999-12-31T23:59:59.999999Z"),
                json!("1969-12-31T23:59:59.999999Z"),
                Value::Null,
            ],
        ),
        (
            "timestamp_zone",
            Arc::new(
                TimestampMicrosecondArray::from(vec![
                    Some(0),
                    Some(1_790_000_000 * second),
                    Some(-1),
                    None,
                ])
                .with_timezone("+02:00"),
            ),
            vec![
                json!("1970-01-01T00:00:00.000000Z"),
                json!("2026-09-21T14:13:20.000000Z"),
                json!("1969-12-31T23:59:59.999999Z"),
                Value::Null,
            ],
        ),
    ])
}

fn nested() -> TestResult<Vec<Column>> {
    let lists = vec![
        Some(vec![]),
        Some(vec![Some(1), None, Some(-3)]),
        Some(vec![None]),
        None,
    ];
    let triples = vec![
        Some(vec![Some(0.5), None, Some(1.5)]),
        Some(vec![None, None, None]),
        Some(vec![Some(1.0), Some(2.0), Some(3.0)]),
        None,
    ];
    let fields = vec![
        Field::new("a", DataType::Int64, true),
        Field::new("b c", DataType::Utf8, true),
    ];
    let parts: Vec<ArrayRef> = vec![
        ints([Some(1), None, Some(3), None]),
        texts([Some("x"), None, None, None]),
    ];
    let valid = vec![true, true, true, false].into();
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    for entries in [
        Some(vec![]),
        Some(vec![("one", Some(1)), ("none", None)]),
        Some(vec![("ö", Some(-1))]),
        None,
    ] {
        for (key, value) in entries.iter().flatten() {
            map.keys().append_value(key);
            map.values().append_option(*value);
        }
        map.append(entries.is_some())?;
    }
    Ok(vec![
        (
            "list",
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists)),
            vec![json!([]), json!([1, null, -3]), json!([null]), Value::Null],
        ),
        (
            "fixed_list",
            Arc::new(FixedSizeListArray::from_iter_primitive::<Float64Type, _, _>(triples, 3)),
            vec![
                json!(["0x1.0000000000000p-1", null, "0x1.8000000000000p+0"]),
                json!([null, null, null]),
                json!([
                    "0x1.0000000000000p+0",
                    "0x1.0000000000000p+1",
                    "0x1.8000000000000p+1"
                ]),
                Value::Null,
            ],
        ),
        (
            "struct",
            Arc::new(StructArray::new(fields.into(), parts, Some(valid))),
            vec![
                json!({"a": 1, "b c": "x"}),
                json!({"a": null, "b c": null}),
                json!({"a": 3, "b c": null}),
                Value::Null,
            ],
        ),
        (
            "map",
            Arc::new(map.finish()),
            vec![
                json!([]),
                json!([["one", 1], ["none", null]]),
                json!([["ö", -1]]),
                Value::Null,
            ],
        ),
    ])
}

pub(crate) fn read_back(python: &Python, folder: &Path, expected: &Value) -> TestResult<Value> {
    let expected_file = folder.with_extension("json");
    std::fs::write(&expected_file, serde_json::to_vec(expected)?)?;
    let path = |path: &Path| path.to_str().map(str::to_owned).ok_or("path is not UTF-8");
    let found = python.run(SCRIPT, &[&path(folder)?, &path(&expected_file)?])?;
    Ok(serde_json::from_str(&found)?)
}

pub(crate) async fn publish(
    folder: &Path,
    partition_by: &[&str],
    columns: &[Column],
) -> TestResult {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns
            .iter()
            .map(|(name, array, _)| (*name, Arc::clone(array), true)),
    )?;
    let options = TableOptions {
        partition_by: partition_by.iter().map(|name| (*name).to_owned()).collect(),
        mode: PublishMode::Overwrite,
        ..TableOptions::default()
    };
    let table = table_at(folder)?;
    let (staging, change) =
        stage(&table, "run-1", options, &session(None)?, &[vec![batch]]).await?;
    staging.publish(change, info(1)).await?;
    assert_at_rest(folder).await
}

#[tokio::test]
async fn every_column_type_is_read_back_equal_by_duckdb_pyarrow_and_polars() -> TestResult {
    let Some(python) = Python::find()? else {
        return Ok(());
    };
    let parent = TempDir::new()?;
    let folder = parent.path().join("types");
    let id = Int64Array::from(vec![0, 1, 2, 3]);
    let mut columns: Vec<Column> = vec![(
        "id",
        Arc::new(id),
        vec![json!(0), json!(1), json!(2), json!(3)],
    )];
    columns.extend(numbers());
    columns.extend(decimals()?);
    columns.extend(plain()?);
    columns.extend(nested()?);
    publish(&folder, &[], &columns).await?;
    let values: serde_json::Map<String, Value> = columns
        .iter()
        .map(|(name, _, values)| ((*name).to_owned(), json!(values)))
        .collect();
    let differences = read_back(
        &python,
        &folder,
        &json!({ "columns": values, "partition": null }),
    )?;
    assert_eq!(differences, json!({}), "{differences:#}");
    Ok(())
}

/// More than 38 digits are stored, and read back by readers that have them. A reader that came to have them fails this
/// test, and the documentation with it.
#[tokio::test]
async fn a_decimal_of_more_than_38_digits_is_read_back_equal_by_pyarrow_alone() -> TestResult {
    let Some(python) = Python::find()? else {
        return Ok(());
    };
    let parent = TempDir::new()?;
    let folder = parent.path().join("wide");
    let wide = i256::from_string("123456789012345678901234567890123456789012345678901234567890")
        .ok_or("no number")?;
    let values = Decimal256Array::from(vec![Some(wide), Some(i256::from(-1)), None])
        .with_precision_and_scale(60, 5)?;
    let expected = vec![
        json!("1234567890123456789012345678901234567890123456789012345.67890"),
        json!("-0.00001"),
        Value::Null,
    ];
    let id = Int64Array::from(vec![0, 1, 2]);
    let columns: [Column; 2] = [
        ("id", Arc::new(id), vec![json!(0), json!(1), json!(2)]),
        ("wide", Arc::new(values), expected.clone()),
    ];
    publish(&folder, &[], &columns).await?;
    let expected = json!({ "columns": { "id": [0, 1, 2], "wide": expected }, "partition": null });
    let differences = read_back(&python, &folder, &expected)?;
    let readers: Vec<&String> = differences.as_object().ok_or("no answer")?.keys().collect();
    assert_eq!(readers, ["duckdb", "polars"], "{differences:#}");
    Ok(())
}
