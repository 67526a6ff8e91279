//! Any table, in every format and compression, is read back equal: by our own reader before it is published, which is what
//! checks do, and by programs that know nothing of ours afterwards.

mod any_table;

use connectors::Tables;
use connectors::sink::{Opened, Opening, Publication, Sink, Writers};
use connectors::source::{Declared, Read, SourceFactory};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionConfig, SessionContext, col};
use serde_json::{Value, json};
use tables::{
    Claim, CommitInfo, Compression, Format, PublishMode, SortKey, Table, TableOptions, Transaction,
};
use testkit::Python;

use any_table::any_table;

use crate::support::Outcome;

const SCRIPT: &str = include_str!("read.py");

/// Every format with every compression that is its own.
const FORMATS: [(Format, Compression); 12] = [
    (Format::Csv, Compression::None),
    (Format::Csv, Compression::Gzip(6)),
    (Format::Csv, Compression::Zstd(3)),
    (Format::Json, Compression::None),
    (Format::Json, Compression::Gzip(1)),
    (Format::Json, Compression::Zstd(9)),
    (Format::Arrow, Compression::None),
    (Format::Arrow, Compression::Lz4),
    (Format::Avro, Compression::None),
    (Format::Avro, Compression::Deflate(6)),
    (Format::Avro, Compression::Snappy),
    (Format::Avro, Compression::Zstd(3)),
];

#[expect(clippy::disallowed_methods, reason = "the engine is above this crate")]
fn session() -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(3);
    SessionContext::new_with_config(config)
}

/// Publishes rows, in batches of odd sizes and by two streams, and gives what was read back before.
async fn publish(
    folder: &str,
    options: TableOptions,
    rows: &RecordBatch,
) -> Result<(RecordBatch, Publication), Box<dyn std::error::Error>> {
    let ctx = session();
    let (table, schema) = (Table::at(folder)?, rows.schema());
    let opened = table.open(Opening {
        run_id: "run-1",
        schema: &schema,
        options,
        claim: Claim {
            transaction: Transaction {
                application: "any".to_owned(),
                request: "any".to_owned(),
                output: "t".to_owned(),
            },
            interval: None,
            plan_fingerprint: None,
            since: None,
        },
        checked: true,
    });
    let Opened::Transaction(mut transaction) = opened.await? else {
        return Err("it is published already".into());
    };
    transaction.begin_attempt(Writers::Here).await?;
    let size = 997;
    let cut = |from: usize, to: usize| -> Vec<RecordBatch> {
        let starts = (from..to).step_by(size);
        starts.map(|at| rows.slice(at, size.min(to - at))).collect()
    };
    let middle = rows.num_rows() / 2;
    let parts = [cut(0, middle), cut(middle, rows.num_rows())];
    let input = MemorySourceConfig::try_new_exec(&parts, rows.schema(), None)?;
    let written = collect(transaction.write_plan(input)?, ctx.task_ctx()).await?;
    let staged = transaction.staged(&written)?;
    assert_eq!(staged.rows, rows.num_rows() as u64);
    assert!(
        staged.rows == 0 || staged.plain_bytes > staged.bytes / 2,
        "what was compressed is told: {staged:?}"
    );
    let table = transaction.staged_table(&ctx).await?;
    let found = ctx
        .read_table(table)?
        .sort(vec![col("id").sort(true, false)])?;
    let found = found.collect().await?;
    let schema = found.first().ok_or("no rows")?.schema();
    let found = concat_batches(&schema, &found)?;
    transaction.prepare(&ctx).await?;
    let publication = transaction.commit(CommitInfo::default()).await?;
    Ok((found, publication))
}

/// The rows that a source of the kind `TABLE` has, in the order of `id`.
async fn read_as_table(folder: &str) -> Result<RecordBatch, Box<dyn std::error::Error>> {
    let ctx = session();
    let declared = Declared {
        location: folder.to_owned(),
        ..Declared::default()
    };
    let Read::InPlace(source) = Tables.read(&declared) else {
        return Err("it is read in place".into());
    };
    let table = source.table(&ctx.state()).await?;
    let schema = table.schema();
    let rows = ctx
        .read_table(table)?
        .sort(vec![col("id").sort(true, false)])?;
    let rows = rows.collect().await?;
    Ok(concat_batches(&schema, &rows)?)
}

fn assert_equal(found: &RecordBatch, expected: &RecordBatch, what: &str) {
    assert_eq!(found.num_rows(), expected.num_rows(), "{what}");
    assert_eq!(found.num_columns(), expected.num_columns(), "{what}");
    for field in expected.schema().fields() {
        let name = field.name();
        let (one, other) = (
            found.column_by_name(name).expect("the column was read"),
            expected.column_by_name(name).expect("a column of its own"),
        );
        if one.to_data() == other.to_data() {
            continue;
        }
        let options = FormatOptions::new().with_null("NULL");
        let shown = |array| ArrayFormatter::try_new(array, &options).expect("a type that is shown");
        for row in 0..expected.num_rows() {
            let (one, other) = (shown(one.as_ref()), shown(other.as_ref()));
            assert_eq!(
                one.value(row).to_string(),
                other.value(row).to_string(),
                "{what}: column {name}, row {row}"
            );
        }
        assert_eq!(one.data_type(), other.data_type(), "{what}: column {name}");
    }
}

#[tokio::test]
async fn any_table_is_read_back_equal_from_every_format_and_compression() -> Outcome {
    for (seed, (format, compression)) in FORMATS.into_iter().enumerate() {
        for (partitioned, sorted, single_file) in [
            (false, false, false),
            (true, false, false),
            (true, true, false),
            (true, false, true),
            (false, false, true),
        ] {
            // More than one chunk of rows where there can be several files.
            let rows = if partitioned || single_file {
                1_500
            } else {
                9_000
            };
            let rows = any_table(format, seed as u64, rows);
            let folder = tempfile::tempdir()?;
            let folder = folder.path().join("t");
            let options = TableOptions {
                format,
                compression,
                single_file,
                partition_by: partitioned.then(|| "part".to_owned()).into_iter().collect(),
                sort: sorted
                    .then(|| SortKey::ascending("id"))
                    .into_iter()
                    .collect(),
                // Several files, where that is allowed.
                target_file_bytes: 100_000,
                ..TableOptions::default()
            };
            let what = format!(
                "{format:?} {compression:?} partitioned: {partitioned}, sorted: {sorted}, single: {single_file}"
            );
            let folder = folder.to_str().ok_or("no text")?;
            let (found, publication) = publish(folder, options, &rows).await?;
            assert_equal(&found, &rows, &what);
            let again = read_as_table(folder).await?;
            assert_equal(&again, &rows, &format!("{what}, as a table"));
            assert_eq!(again.schema(), rows.schema(), "{what}, as a table");
            let partitions = if partitioned { 4 } else { 1 };
            assert_eq!(publication.totals.partitions, partitions, "{what}");
            if single_file {
                assert_eq!(publication.totals.files, partitions, "{what}");
            } else if compression == Compression::None && !partitioned {
                assert!(publication.totals.files > partitions, "{what}");
            }
            let verified = Table::at(folder)?.verify(true).await?;
            assert!(verified.is_clean(), "{what}: {verified:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn any_table_of_parquet_is_read_back_equal_as_a_table() -> Outcome {
    for partitioned in [false, true] {
        let rows = any_table(Format::Arrow, 77, 5_000);
        let folder = tempfile::tempdir()?;
        let folder = folder.path().join("t").display().to_string();
        let options = TableOptions {
            partition_by: partitioned.then(|| "part".to_owned()).into_iter().collect(),
            target_file_bytes: 100_000,
            ..TableOptions::default()
        };
        publish(&folder, options, &rows).await?;
        let again = read_as_table(&folder).await?;
        assert_equal(&again, &rows, "as a table");
        assert_eq!(again.schema(), rows.schema());
    }
    Ok(())
}

#[tokio::test]
async fn other_programs_read_the_same_values() -> Outcome {
    let Some(python) = Python::find()? else {
        return Ok(());
    };
    for (seed, (format, compression)) in FORMATS.into_iter().enumerate() {
        // For these, fastavro needs libraries besides.
        if let (Format::Avro, Compression::Snappy | Compression::Zstd(_)) = (format, compression) {
            continue;
        }
        let rows = any_table(format, 100 + seed as u64, 9_000);
        let parent = tempfile::tempdir()?;
        let folder = |name: &str| parent.path().join(name).display().to_string();
        let (written, parquet) = (folder("written"), folder("parquet"));
        let options = TableOptions {
            format,
            compression,
            mode: PublishMode::Append,
            ..TableOptions::default()
        };
        publish(&written, options, &rows).await?;
        publish(&parquet, TableOptions::default(), &rows).await?;
        let found = python.run(SCRIPT, &[format.name(), &written, &parquet])?;
        let found: Value = serde_json::from_str(&found)?;
        assert_eq!(
            found["differences"],
            json!({}),
            "{format:?} {compression:?}: {found:#}"
        );
        let read = found["values"].as_u64().unwrap_or_default();
        assert!(read > 9_000 * 20, "{format:?} {compression:?}: {found:#}");
    }
    Ok(())
}

#[tokio::test]
async fn rows_of_no_file_are_checked_as_no_rows() -> Outcome {
    for (format, _) in FORMATS {
        let rows = any_table(format, 1, 1).slice(0, 0);
        let folder = tempfile::tempdir()?;
        let folder = folder.path().join("t").display().to_string();
        let options = TableOptions {
            format,
            compression: Compression::None,
            ..TableOptions::default()
        };
        let error = publish(&folder, options, &rows).await.unwrap_err();
        assert_eq!(error.to_string(), "no rows", "{format:?}");
    }
    Ok(())
}
