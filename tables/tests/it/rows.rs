//! Rows of other columns than those of events, and whole runs with them.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use tables::{Change, Commit, CommitInfo, Table, TableOptions};

use crate::support::{Event, TestResult, events, session, stage};

/// The same events with an `id` of a narrower type.
pub(crate) fn narrow_events(rows: &[Event]) -> TestResult<RecordBatch> {
    let mut columns = named_columns(&events(rows)?);
    columns[0].1 = cast(&columns[0].1, &DataType::Int32)?;
    Ok(RecordBatch::try_from_iter(columns)?)
}

/// The same events with one column more, `score`.
pub(crate) fn wider_events(rows: &[Event]) -> TestResult<RecordBatch> {
    let events = events(rows)?;
    let score: Int64Array = rows.iter().map(|row| row.0 * 10).collect();
    let mut columns = named_columns(&events);
    columns.push(("score".to_owned(), Arc::new(score)));
    Ok(RecordBatch::try_from_iter(columns)?)
}

/// The columns of a batch with their names.
pub(crate) fn named_columns(batch: &RecordBatch) -> Vec<(String, ArrayRef)> {
    let names = batch.schema();
    let names = names.fields().iter().map(|field| field.name().clone());
    names.zip(batch.columns().iter().cloned()).collect()
}

/// A whole run with rows of any columns; gives the change too.
pub(crate) async fn run_batch(
    table: &Table,
    run_id: &str,
    options: TableOptions,
    rows: RecordBatch,
    info: CommitInfo,
) -> TestResult<(Change, Commit)> {
    let ctx = session(None)?;
    let (staging, change) = stage(table, run_id, options, &ctx, &[vec![rows]]).await?;
    let commit = staging.publish(change.clone(), info).await?;
    Ok((change, commit))
}
