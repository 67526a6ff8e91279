//! Streams as a library: `runner::stream`.

mod examples;
mod failures;
mod files;
mod order;
mod pressure;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;
use runner::stream::{Chunk, Flow, Source};

/// Longer than anything takes that does not hang.
const DEADLINE: Duration = Duration::from_secs(60);

/// The numbers from 0, so many in a batch.
fn batches(count: i64, rows: i64) -> Vec<RecordBatch> {
    let batch = |first: i64| {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + rows));
        RecordBatch::try_from_iter([("n", numbers)]).expect("one column")
    };
    (0..count).map(|number| batch(number * rows)).collect()
}

fn numbers(count: i64, rows: i64) -> Source {
    Source::memory(batches(1, 1)[0].schema(), batches(count, rows))
}

/// A stream of so many chunks with a row each.
fn flow(chunks: i64) -> Flow {
    Flow::new(numbers(chunks, 1))
}

fn values(chunk: &Chunk) -> Vec<i64> {
    let column = chunk.batch.column(0).as_primitive::<Int64Type>();
    column.values().to_vec()
}

fn all_values<'a>(chunks: impl IntoIterator<Item = &'a Chunk>) -> Vec<i64> {
    chunks.into_iter().flat_map(values).collect()
}

/// Waits for it, and fails if it hangs.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(DEADLINE, work).await;
    done.expect("it hangs")
}

/// Waits until it holds.
async fn until(holds: impl Fn() -> bool) {
    soon(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// The names of the files in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("it is a folder");
    let names = entries.map(|entry| entry.expect("it is listed").file_name());
    let mut names: Vec<String> = names
        .map(|name| name.into_string().expect("it is text"))
        .collect();
    names.sort();
    names
}
