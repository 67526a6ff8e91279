//! Parquet files: where rows are from, and files whose bytes were changed. What is read of those may be other data; what may not be is a
//! panic that ends the process, or an error that names no file.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
};
use datafusion::arrow::datatypes::Int32Type;
use datafusion::error::DataFusionError;
use datafusion::object_store::ObjectStoreExt;
use datafusion::object_store::memory::InMemory;
use datafusion::object_store::path::Path as StorePath;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, Encoding};
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;
use files::listing::{Wanted, list};
use files::{DeclaredParquet, ParquetTable, ReadError, guard_scans};
use rstest::rstest;
use url::Url;

use super::cases::lines;

fn rows() -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter(
        (0..40).map(|i| (i % 7 > 0).then_some(i * i)),
    ));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..40).map(|i| format!("n{}", i % 5)),
    ));
    let flags: ArrayRef = Arc::new(BooleanArray::from_iter((0..40).map(|i| Some(i % 3 == 0))));
    let values: ArrayRef = Arc::new(Float64Array::from_iter_values(
        (0..40).map(|i| f64::from(i) / 3.0),
    ));
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(
        (0..40).map(|i| (i % 4 > 0).then(|| vec![Some(i), None])),
    ));
    RecordBatch::try_from_iter([
        ("id", ids),
        ("name", names),
        ("flag", flags),
        ("value", values),
        ("list", lists),
    ])
    .unwrap()
}

fn file(properties: WriterProperties) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows().schema(), Some(properties)).unwrap();
    writer.write(&rows()).unwrap();
    writer.close().unwrap();
    bytes
}

async fn read(bytes: &[u8]) -> Result<usize, DataFusionError> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("f.parquet"), bytes).unwrap();
    let location = folder.path().display().to_string();
    let wanted = Wanted {
        location: &location,
        suffixes: &["parquet"],
        partition_by: &[],
    };
    let listing = list(wanted, &|url| {
        Err(DataFusionError::Internal(format!("no store for {url}")))
    });
    let declared = DeclaredParquet {
        location: location.clone(),
        columns: None,
        partition_by: Vec::new(),
        options: datafusion::common::config::TableParquetOptions::default(),
        file_column: None,
    };
    let ctx = SessionContext::new();
    let table = ParquetTable::open(declared, listing.await?.files, &ctx.state()).await?;
    let rows = ctx.read_table(Arc::new(table))?;
    let plan = guard_scans(rows.create_physical_plan().await?)?;
    let rows = collect(plan, ctx.task_ctx()).await?;
    Ok(rows.iter().map(RecordBatch::num_rows).sum())
}

#[rstest]
fn no_change_of_a_byte_ends_the_process(#[values(true, false)] dictionaries: bool) {
    files::hide_panics_of_readers();
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(dictionaries)
        .set_compression(Compression::UNCOMPRESSED);
    let properties = match dictionaries {
        true => properties,
        false => properties
            .set_column_encoding("id".into(), Encoding::DELTA_BINARY_PACKED)
            .set_column_encoding("name".into(), Encoding::DELTA_BYTE_ARRAY)
            .set_column_encoding("value".into(), Encoding::BYTE_STREAM_SPLIT),
    };
    let whole = file(properties.build());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    assert_eq!(runtime.block_on(read(&whole)).unwrap(), 40);
    let mut gave_up = 0;
    for at in 0..whole.len() {
        for byte in [0, 0xff] {
            let mut changed = whole.clone();
            changed[at] = byte;
            let Err(error) = runtime.block_on(read(&changed)) else {
                continue;
            };
            let told = tables::causes(&error).find_map(|cause| cause.downcast_ref::<ReadError>());
            if let Some(told) = told {
                assert!(told.file.ends_with("f.parquet"), "{told}");
                gave_up += usize::from(told.problem.contains("gave up"));
            }
        }
    }
    // Else nothing was tried.
    assert!(gave_up > 0);
}

fn ids(ids: std::ops::Range<i64>) -> Vec<u8> {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(ids));
    let rows = RecordBatch::try_from_iter([("id", ids)]).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.into_inner().unwrap()
}

/// A table of the files at a location, with the file of each row.
async fn table(
    ctx: &SessionContext,
    location: &str,
    partition_by: &[&str],
    file_column: &str,
) -> Result<(), DataFusionError> {
    let runtime = ctx.runtime_env();
    let partition_by: Vec<String> = partition_by.iter().map(|&name| name.to_owned()).collect();
    let wanted = Wanted {
        location,
        suffixes: &["parquet"],
        partition_by: &partition_by,
    };
    let listing = list(wanted, &|url| runtime.object_store_registry.get_store(url)).await?;
    let declared = DeclaredParquet {
        location: location.to_owned(),
        columns: None,
        partition_by,
        options: datafusion::common::config::TableParquetOptions::default(),
        file_column: Some(file_column.to_owned()),
    };
    let table = ParquetTable::open(declared, listing.files, &ctx.state()).await?;
    ctx.register_table("t", Arc::new(table))?;
    Ok(())
}

async fn query(ctx: &SessionContext, query: &str) -> Vec<String> {
    let rows = ctx.sql(query).await.unwrap().collect().await.unwrap();
    lines(&rows)
}

#[tokio::test]
async fn a_row_says_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().display().to_string();
    for (name, range) in [("day=1/a", 0..3), ("day=2/b", 10..12)] {
        let path = folder.path().join(format!("{name}.parquet"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, ids(range)).unwrap();
    }
    let ctx = SessionContext::new();
    table(&ctx, &root, &["day"], "_file").await.unwrap();
    let rows = query(&ctx, "SELECT * FROM t").await;
    assert_eq!(rows.len(), 5);
    assert!(
        rows.contains(&format!("2|1|{root}/day=1/a.parquet")),
        "{rows:?}"
    );
    let filtered = "SELECT id FROM t WHERE _file LIKE '%b.parquet' AND id > 10";
    assert_eq!(query(&ctx, filtered).await, ["11"]);
    let counted = "SELECT _file, count(*) FROM t GROUP BY _file";
    let expected = [("1/a", 3), ("2/b", 2)];
    let expected = expected.map(|(name, count)| format!("{root}/day={name}.parquet|{count}"));
    assert_eq!(query(&ctx, counted).await, expected);
    assert_eq!(query(&ctx, "SELECT day FROM t WHERE id = 10").await, ["2"]);
    let error = table(&ctx, &root, &["day"], "day").await.unwrap_err();
    assert!(error.to_string().contains("is there already"), "{error}");
}

#[tokio::test]
async fn files_of_several_stores_are_one_table() {
    let ctx = SessionContext::new();
    for (name, range) in [("one", 0..3), ("two", 10..12)] {
        let store = Arc::new(InMemory::new());
        let key = StorePath::from("in/a.parquet");
        store.put(&key, ids(range).into()).await.unwrap();
        let url = Url::parse(&format!("memory://{name}")).unwrap();
        ctx.register_object_store(&url, store);
    }
    let location = r#"["memory://one/in/", "memory://two/in/a.parquet"]"#;
    table(&ctx, location, &[], "_file").await.unwrap();
    let rows = query(
        &ctx,
        "SELECT _file, min(id), count(*) FROM t GROUP BY _file",
    )
    .await;
    assert_eq!(
        rows,
        [
            "memory://one/in/a.parquet|0|3",
            "memory://two/in/a.parquet|10|2"
        ]
    );
    let limited = query(&ctx, "SELECT id FROM t LIMIT 4").await;
    assert_eq!(limited.len(), 4);
}
