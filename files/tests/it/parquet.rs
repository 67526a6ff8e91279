//! Parquet files whose bytes were changed. What is read may be other data; what may not be is a panic that ends the process,
//! or an error that names no file.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
};
use datafusion::arrow::datatypes::Int32Type;
use datafusion::error::DataFusionError;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, Encoding};
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;
use files::listing::{Wanted, list};
use files::{DeclaredParquet, ParquetTable, ReadError, guard_scans};
use rstest::rstest;

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
