//! Rows with another schema than the table: what each contract applies, refuses, or leaves out.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use datafusion::arrow::datatypes::DataType;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tables::{Error, PublishMode, SchemaChange, SchemaPolicy, SortKey, TableOptions};

use crate::modes::FIRST;
use crate::rows::{named_columns, narrow_events, run_batch, wider_events};
use crate::support::{
    Event, TestResult, assert_at_rest, by_city, control, events, files_below, info, new_table,
    rows_below, run, run_with, session, stage,
};

const SECOND: [Event; 2] = [Event(2, "Ghent", 21, Some("c")), Event(5, "Riga", 50, None)];

fn type_of(file: &Path, column: &str) -> TestResult<Option<DataType>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file)?)?;
    let schema = reader.schema();
    Ok(schema
        .field_with_name(column)
        .ok()
        .map(|field| field.data_type().clone()))
}

#[tokio::test]
async fn a_new_column_is_added_and_files_that_are_not_touched_stay_without_it() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    run(&table, "run-1", PublishMode::Merge, &FIRST, info(1)).await?;
    let oulu = |files: Vec<String>| files.into_iter().find(|file| file.starts_with("city=Oulu"));
    let before = oulu(files_below(&folder));
    let (change, commit) = run_batch(
        &table,
        "run-2",
        by_city(PublishMode::Merge),
        wider_events(&SECOND)?,
        info(2),
    )
    .await?;
    let added = SchemaChange {
        column: "score".to_owned(),
        from: None,
        to: Some("Int64".to_owned()),
    };
    assert_eq!(change.schema_changes, std::slice::from_ref(&added));
    assert_eq!(commit.schema_changes, [added]);
    assert_eq!(change.rewritten, 0);
    assert_eq!(oulu(files_below(&folder)), before);
    let at = |second: i64| format!("1970-01-01T00:00:00.{second:06}");
    assert_eq!(
        rows_below(&folder)?,
        [
            // The kept row of a merged partition has NULL in the new column.
            format!("city=Ghent: 1|{}|a|", at(10)),
            format!("city=Ghent: 2|{}|c|20", at(21)),
            format!("city=Oulu: 3|{}|b", at(30)),
            format!("city=Riga: 5|{}||50", at(50)),
        ]
    );
    let record = std::fs::read_to_string(control(&folder).join("commits/00000002.json"))?;
    let record: serde_json::Value = serde_json::from_str(&record)?;
    assert_eq!(
        record["schema_changes"],
        serde_json::json!([{ "column": "score", "to": "Int64" }])
    );
    // A file without the column takes part in later merges.
    let (change, commit) = run_batch(
        &table,
        "run-3",
        by_city(PublishMode::Merge),
        wider_events(&[Event(7, "Oulu", 7, None)])?,
        info(3),
    )
    .await?;
    assert!(change.schema_changes.is_empty() && commit.schema_changes.is_empty());
    assert!(rows_below(&folder)?.contains(&format!("city=Oulu: 3|{}|b|", at(30))));
    // Rows of the schema before lack a column now.
    let refused = run(&table, "run-4", PublishMode::Merge, &FIRST, info(4)).await;
    let error = refused.err().ok_or("accepted")?.to_string();
    assert!(
        error.contains("column score (Int64) of the table is missing in the run"),
        "{error}"
    );
    assert_at_rest(&folder).await
}

#[tokio::test]
async fn a_wider_type_is_in_every_file_after_the_commit_in_every_mode() -> TestResult {
    let modes = [
        (PublishMode::Append, 5, 2),
        (PublishMode::Overwrite, 3, 1),
        (PublishMode::Merge, 4, 1),
    ];
    for (mode, rows, rewritten) in modes {
        let (_parent, folder, table) = new_table()?;
        let first = narrow_events(&FIRST)?;
        run_batch(&table, "run-1", by_city(mode), first, info(1)).await?;
        let (change, commit) =
            run_batch(&table, "run-2", by_city(mode), events(&SECOND)?, info(2)).await?;
        assert_eq!(change.rewritten, rewritten, "{mode}");
        assert_eq!(
            change.schema_changes[0].to_string(),
            "column id is Int64 now, it was Int32"
        );
        assert_eq!((commit.number, commit.totals.rows), (2, rows), "{mode}");
        let files = files_below(&folder);
        assert_eq!(files.len(), 3, "{mode}: {files:?}");
        for file in files {
            let found = type_of(&folder.join(&file), "id")?;
            assert_eq!(found, Some(DataType::Int64), "{mode}: {file}");
        }
        assert_at_rest(&folder).await?;
        // Narrower rows fit from now on; nothing changes any more.
        let second = narrow_events(&SECOND)?;
        let options = by_city(PublishMode::Overwrite);
        let (change, _) = run_batch(&table, "run-3", options, second, info(3)).await?;
        assert!(change.schema_changes.is_empty());
        assert_eq!(change.rewritten, 0);
    }
    Ok(())
}

#[tokio::test]
async fn freeze_refuses_every_difference_before_a_row_is_read_also_when_replacing() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    run(&table, "run-1", PublishMode::Overwrite, &FIRST, info(1)).await?;
    for mode in [PublishMode::Overwrite, PublishMode::Replace] {
        let options = TableOptions {
            contract: SchemaPolicy::Freeze,
            ..by_city(mode)
        };
        let schema = wider_events(&SECOND)?.schema();
        let error = table.begin("run-2", options, &schema).await.err();
        let Some(Error::SchemaChanged { differences, .. }) = error else {
            return Err(format!("{mode}: {error:?}").into());
        };
        assert_eq!(differences.len(), 1);
        assert_eq!(differences[0].column, "score");
    }
    // Replacing with contract `evolve` sets the schema, and the record says what became of the columns.
    let (_, commit) = run_batch(
        &table,
        "run-3",
        by_city(PublishMode::Replace),
        wider_events(&SECOND)?,
        info(3),
    )
    .await?;
    assert_eq!(commit.schema_changes.len(), 1);
    assert_at_rest(&folder).await
}

/// Whole numbers and a city.
fn numbers(number: ArrayRef) -> TestResult<RecordBatch> {
    let cities = (0..number.len()).map(|row| ["Ghent", "Oulu", "Riga"][row % 3]);
    let cities = StringArray::from_iter_values(cities);
    Ok(RecordBatch::try_from_iter([
        ("number", number),
        ("city", Arc::new(cities) as ArrayRef),
    ])?)
}

#[tokio::test]
async fn rows_that_do_not_fit_are_left_out_and_counted_and_all_others_are_written() -> TestResult {
    let texts = [
        Some("1"),
        Some("two"),
        None,
        Some("-4"),
        Some("5.5"),
        Some("99999999999"),
    ];
    let floats = [1.0, 2.5, f64::NAN, -4.0, 1e300, 6.0];
    let bigs = [
        1,
        i64::MAX,
        3,
        i64::from(i32::MIN),
        5,
        i64::from(i32::MAX) + 1,
    ];
    let cases: [(ArrayRef, u64); 3] = [
        (Arc::new(StringArray::from(texts.to_vec())), 3),
        (Arc::new(Float64Array::from(floats.to_vec())), 3),
        (Arc::new(Int64Array::from(bigs.to_vec())), 2),
    ];
    for (arriving, discarded) in cases {
        for sort in [Vec::new(), vec![SortKey::ascending("number")]] {
            let (_parent, folder, table) = new_table()?;
            let options = TableOptions {
                partition_by: vec!["city".to_owned()],
                mode: PublishMode::Append,
                contract: SchemaPolicy::DiscardRow,
                sort,
                ..TableOptions::default()
            };
            let first = numbers(Arc::new(Int32Array::from(vec![7, 8, 9])))?;
            run_batch(&table, "run-1", options.clone(), first, info(1)).await?;
            let rows = numbers(Arc::clone(&arriving))?;
            // One stream has rows that fit, the other has only one that does not.
            let parts = [vec![rows.clone()], vec![rows.slice(1, 1)]];
            let ctx = session(None)?;
            let (staging, change) = stage(&table, "run-2", options.clone(), &ctx, &parts).await?;
            let all = 7;
            assert_eq!(change.rows_discarded, discarded + 1, "{arriving:?}");
            assert_eq!(change.rows_staged + change.rows_discarded, all);
            let commit = staging.publish(change, info(2)).await?;
            assert_eq!(commit.totals.rows, 3 + all - discarded - 1);
            for file in files_below(&folder) {
                assert_eq!(
                    type_of(&folder.join(&file), "number")?,
                    Some(DataType::Int32)
                );
            }
            let rows = rows_below(&folder)?;
            assert!(rows.contains(&"city=Ghent: 1".to_owned()), "{rows:#?}");
            assert!(!rows.contains(&"city=Oulu: ".to_owned()), "{rows:#?}");
            assert_at_rest(&folder).await?;
            // A run of which nothing fits publishes nothing and says how much it left out.
            let none = numbers(Arc::new(StringArray::from(vec!["x", "y"])))?;
            let (change, commit) = run_batch(&table, "run-3", options, none, info(2)).await?;
            assert_eq!((change.rows_discarded, change.rows_staged), (2, 0));
            assert_eq!(commit.number, 2);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_type_that_no_value_can_be_told_to_fit_is_refused_by_every_contract() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    let options = by_city(PublishMode::Overwrite);
    run_with(&table, "run-1", options.clone(), &FIRST, info(1)).await?;
    let mut columns = named_columns(&events(&FIRST)?);
    let list = datafusion::arrow::array::ListArray::from_iter_primitive::<
        datafusion::arrow::datatypes::Int64Type,
        _,
        _,
    >([Some(vec![Some(1)]), None, None]);
    columns[0].1 = Arc::new(list);
    let schema = RecordBatch::try_from_iter(columns)?.schema();
    for (_, contract) in SchemaPolicy::NAMES {
        let options = TableOptions {
            contract,
            sort: Vec::new(),
            ..options.clone()
        };
        let error = table.begin("run-2", options, &schema).await.err();
        assert!(
            matches!(error, Some(Error::SchemaChanged { .. })),
            "{contract}: {error:?}"
        );
    }
    assert_at_rest(&folder).await
}
