//! Tables in formats that are only written: what each mode makes of them, and what is refused because it would have to read.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryArray, Float32Array, Float64Array, Int64Array, UInt64Array,
};
use datafusion::arrow::record_batch::RecordBatch;
use tables::{
    CompactOptions, Compression, Error, ExpireOptions, Format, PublishMode, Table, TableOptions,
};

use crate::modes::{FIRST, SECOND};
use crate::rows::{narrow_events, run_batch};
use crate::support::{
    TestResult, assert_at_rest, by_city, events, files_below, info, lines_of_file, new_table,
    rows_below, run_with, session,
};

/// Formats, each with a compression.
const WRITTEN: [(Format, Compression, &str); 6] = [
    (Format::Csv, Compression::None, ".csv"),
    (Format::Csv, Compression::Gzip(6), ".csv.gz"),
    (Format::Json, Compression::None, ".jsonl"),
    (Format::Json, Compression::Zstd(3), ".jsonl.zst"),
    (Format::Arrow, Compression::Lz4, ".arrow"),
    (Format::Avro, Compression::Deflate(6), ".avro"),
];

fn options(format: Format, compression: Compression, mode: PublishMode) -> TableOptions {
    TableOptions {
        format,
        compression,
        ..by_city(mode)
    }
}

fn error_of<T: std::fmt::Debug>(result: TestResult<T>) -> TestResult<String> {
    Ok(result.err().ok_or("it was accepted")?.to_string())
}

#[tokio::test]
async fn every_mode_but_merge_does_in_every_format_what_it_does_in_parquet() -> TestResult {
    for (format, compression, suffix) in WRITTEN {
        for mode in [
            PublishMode::Append,
            PublishMode::Overwrite,
            PublishMode::Replace,
        ] {
            let (_parent, folder, table) = new_table()?;
            let first = options(format, compression, PublishMode::Overwrite);
            run_with(&table, "run-1", first.clone(), &FIRST, info(1)).await?;
            // Again: the same bytes, and nothing to do.
            let again = run_with(&table, "run-2", first, &FIRST, info(1)).await?;
            assert_eq!(again.number, 1, "{format:?}");
            let second = options(format, compression, mode);
            let commit = run_with(&table, "run-3", second, &SECOND, info(2)).await?;
            assert_at_rest(&folder).await?;
            assert_eq!(commit.format(), format);
            let files = files_below(&folder);
            assert!(files.iter().all(|file| file.ends_with(suffix)), "{files:?}");
            let rows = match mode {
                PublishMode::Append => 5,
                PublishMode::Overwrite => 3,
                _ => 2,
            };
            assert_eq!(rows_below(&folder)?.len(), rows, "{format:?} {mode}");
            assert_eq!(commit.totals.rows, rows as u64, "{format:?} {mode}");
            assert!(table.verify(true).await?.is_clean(), "{format:?} {mode}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn lines_are_in_the_order_of_the_table_and_appending_twice_adds_files() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    for (run, rows) in [("run-1", FIRST.as_slice()), ("run-2", SECOND.as_slice())] {
        let options = options(Format::Csv, Compression::None, PublishMode::Append);
        run_with(&table, run, options, rows, info(1)).await?;
    }
    let files = files_below(&folder);
    let ghent: Vec<&String> = files.iter().filter(|file| file.contains("Ghent")).collect();
    assert_eq!(ghent.len(), 2, "{files:?}");
    let mut lines = Vec::new();
    for file in ghent {
        lines.push(lines_of_file(&folder.join(file))?);
    }
    lines.sort();
    assert_eq!(
        lines,
        [
            vec![
                "id,at,note",
                "1,1970-01-01T00:00:00.000010,a",
                "2,1970-01-01T00:00:00.000020,"
            ],
            vec!["id,at,note", "4,1970-01-01T00:00:00.000040,c"],
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_table_has_one_format_until_it_is_replaced() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    let csv = |mode| options(Format::Csv, Compression::None, mode);
    let json = |mode| options(Format::Json, Compression::None, mode);
    run_with(&table, "run-1", csv(PublishMode::Append), &FIRST, info(1)).await?;
    for refused in [json(PublishMode::Append), by_city(PublishMode::Overwrite)] {
        let error = error_of(run_with(&table, "run-2", refused, &SECOND, info(2)).await)?;
        assert!(
            error.contains("is stored as CSV and this run asks for"),
            "{error}"
        );
    }
    assert_eq!(rows_below(&folder)?.len(), 3);
    let commit = run_with(
        &table,
        "run-3",
        json(PublishMode::Replace),
        &SECOND,
        info(3),
    )
    .await?;
    assert_eq!(commit.format(), Format::Json);
    assert_at_rest(&folder).await?;
    let parquet = by_city(PublishMode::Replace);
    run_with(&table, "run-4", parquet, &FIRST, info(4)).await?;
    assert_at_rest(&folder).await?;
    assert!(
        files_below(&folder)
            .iter()
            .all(|file| file.ends_with(".parquet"))
    );
    Ok(())
}

#[tokio::test]
async fn another_compression_gives_a_file_another_name() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    for (run, compression) in [
        ("run-1", Compression::None),
        ("run-2", Compression::Gzip(1)),
    ] {
        let options = options(Format::Csv, compression, PublishMode::Overwrite);
        run_with(&table, run, options, &FIRST, info(1)).await?;
        assert_at_rest(&folder).await?;
    }
    assert!(
        files_below(&folder)
            .iter()
            .all(|file| file.ends_with(".csv.gz"))
    );
    Ok(())
}

#[tokio::test]
async fn what_would_read_published_rows_is_refused_with_the_way_out() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    let json = options(Format::Json, Compression::None, PublishMode::Append);
    run_with(&table, "run-1", json.clone(), &FIRST, info(1)).await?;
    run_with(&table, "run-2", json.clone(), &SECOND, info(2)).await?;
    let merge = TableOptions {
        mode: PublishMode::Merge,
        key: vec!["id".to_owned()],
        ..json
    };
    let error = error_of(run_with(&table, "run-3", merge, &SECOND, info(3)).await)?;
    assert!(error.contains("a merge reads published rows"), "{error}");
    let stop = std::future::pending();
    let compacted = table
        .compact("care", &session(None)?, &CompactOptions::default(), stop)
        .await;
    assert!(
        matches!(compacted, Err(Error::NotReadBack { .. })),
        "{compacted:?}"
    );
    assert_at_rest(&folder).await?;
    assert_eq!(rows_below(&folder)?.len(), 5);
    Ok(())
}

#[tokio::test]
async fn old_partitions_are_dropped_in_any_format() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    let days: ArrayRef = Arc::new(datafusion::arrow::array::Date32Array::from(vec![0, 20_000]));
    let id: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let rows = RecordBatch::try_from_iter([("id", id), ("day", days)])?;
    let by_day = TableOptions {
        format: Format::Csv,
        compression: Compression::None,
        partition_by: vec!["day".to_owned()],
        ..TableOptions::default()
    };
    run_batch(&table, "run-1", by_day, rows, info(1)).await?;
    let options = ExpireOptions {
        first_kept: chrono::NaiveDate::from_ymd_opt(2000, 1, 1).ok_or("no date")?,
        column: None,
        span: None,
        allow_empty: false,
    };
    table.expire("care", &options).await?;
    assert_at_rest(&folder).await?;
    assert_eq!(rows_below(&folder)?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_wider_integer_leaves_text_as_it_is_and_another_type_is_refused() -> TestResult {
    let (_parent, folder, table) = new_table()?;
    let csv = options(Format::Csv, Compression::None, PublishMode::Append);
    run_batch(
        &table,
        "run-1",
        csv.clone(),
        narrow_events(&FIRST)?,
        info(1),
    )
    .await?;
    let before = files_below(&folder);
    let (change, commit) = run_batch(&table, "run-2", csv, events(&SECOND)?, info(2)).await?;
    assert_eq!((change.rewritten, change.removed.len()), (0, 0));
    assert_eq!(commit.schema_changes.len(), 1);
    let after = files_below(&folder);
    assert!(before.iter().all(|file| after.contains(file)));
    assert_at_rest(&folder).await?;

    // The shortest text of a float of 32 bits is another one of 64.
    let (_parent, _, table) = new_table()?;
    let floats = |values: ArrayRef| RecordBatch::try_from_iter([("x", values)]);
    let plain = TableOptions {
        format: Format::Csv,
        compression: Compression::None,
        mode: PublishMode::Append,
        ..TableOptions::default()
    };
    let narrow = floats(Arc::new(Float32Array::from(vec![0.1])))?;
    run_batch(&table, "run-1", plain.clone(), narrow, info(1)).await?;
    let wide = floats(Arc::new(Float64Array::from(vec![0.1])))?;
    let error = error_of(run_batch(&table, "run-2", plain, wide, info(2)).await)?;
    assert!(
        error.contains("column x is Float32 in the table, Float64 in the run"),
        "{error}"
    );
    assert!(error.contains("would have to be rewritten"), "{error}");
    Ok(())
}

#[tokio::test]
async fn what_a_format_cannot_hold_is_refused_before_the_run_and_values_before_publishing()
-> TestResult {
    let (_parent, folder, table) = new_table()?;
    let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![b"x".as_slice()]));
    for format in [Format::Csv, Format::Json] {
        let rows = RecordBatch::try_from_iter([("raw", Arc::clone(&bytes))])?;
        let options = TableOptions {
            format,
            compression: Compression::None,
            ..TableOptions::default()
        };
        let begun = table.begin("run-1", options, &rows.schema()).await;
        let error = begun.err().ok_or("accepted")?;
        assert!(matches!(error, Error::Options { .. }));
        let said = error.to_string();
        assert!(
            said.contains("column \"raw\"") && said.contains("base64"),
            "{said}"
        );
    }
    assert!(
        !folder.exists(),
        "it was refused before anything was written"
    );
    for (name, array, way_out) in [
        (
            "total amount",
            Arc::new(Int64Array::from(vec![1])) as ArrayRef,
            "with AS",
        ),
        (
            "large",
            Arc::new(UInt64Array::from(vec![1])),
            "DECIMAL(20, 0)",
        ),
    ] {
        let rows = RecordBatch::try_from_iter([(name, array)])?;
        let options = TableOptions {
            format: Format::Avro,
            ..TableOptions::default()
        };
        let begun = table.begin("run-1", options, &rows.schema()).await;
        let said = begun.err().ok_or("accepted")?.to_string();
        assert!(said.contains(way_out), "{said}");
    }
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN]));
    let rows = RecordBatch::try_from_iter([("ratio", floats)])?;
    let options = TableOptions {
        format: Format::Json,
        compression: Compression::None,
        ..TableOptions::default()
    };
    let failed = run_batch(&table, "run-1", options, rows, info(1)).await;
    let error = failed.err().ok_or("published")?;
    let said = crate::support::chain(error.as_ref());
    assert!(said.contains("column ratio has the value NaN"), "{said}");
    assert_eq!(Table::current(&table).await?, None);
    Ok(())
}
