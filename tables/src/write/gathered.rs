//! Writing rows that come in any order: each stream gathers rows, scatters them to partitions, and adds them to the
//! buffers that all streams share (`partition_buffers`).
//!
//! An engine's batch of 8,192 rows falls into slivers when a table has many partitions, and encoding slivers is slow.
//! So megabytes of rows are gathered first, and each partition's rows are then copied out together.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use futures::StreamExt;

use super::encoder::bytes_of;
use super::partition_buffers::{BufferedStream, PartitionBuffers};
use super::partition_index::PartitionLookup;
use super::scatter::scatter;
use super::{StagedFile, WriteSpec};

/// Writes all rows of `input`. The last stream of the operator to end gives the files of all.
pub(super) async fn write(
    mut input: SendableRecordBatchStream,
    buffers: Arc<PartitionBuffers>,
    context: Arc<TaskContext>,
) -> Result<Vec<StagedFile>> {
    let mut lookup = lookup(&buffers.writers.spec)?;
    let mut gathered = Gathered::default();
    let mut open = buffers.enter(&context);
    while let Some(batch) = input.next().await {
        let batch = batch?;
        if batch.num_rows() == 0 {
            continue;
        }
        let numbers = lookup.of(&batch, &buffers.writers.numbers)?;
        let rows = buffers.writers.spec.file_batch(&batch)?;
        open.count(rows.num_rows());
        gathered.bytes += bytes_of(&rows) + size_of_val(numbers.as_slice());
        gathered.batches.push(rows);
        gathered.numbers.push(numbers);
        open.hold(gathered.bytes);
        if gathered.bytes >= open.gather_bytes {
            gathered.add_to(&mut open).await?;
        }
    }
    gathered.add_to(&mut open).await?;
    open.finish().await
}

fn lookup(spec: &WriteSpec) -> Result<PartitionLookup> {
    PartitionLookup::over(&spec.schema, spec.partition.clone(), spec.prefix.clone())
}

/// Rows of one stream, of the file's schema, and the partition of each.
#[derive(Default)]
struct Gathered {
    batches: Vec<RecordBatch>,
    numbers: Vec<Vec<u32>>,
    bytes: usize,
}

impl Gathered {
    /// Hands the rows over and is empty again.
    async fn add_to(&mut self, open: &mut BufferedStream) -> Result<()> {
        let Self {
            batches, numbers, ..
        } = std::mem::take(self);
        if batches.is_empty() {
            return Ok(());
        }
        if open.sorts().await? {
            for (rows, numbers) in batches.into_iter().zip(numbers) {
                open.send(&rows, numbers).await?;
            }
            open.hold(0);
            return Ok(());
        }
        let mut unsorted = Vec::new();
        for (number, rows) in scatter(batches, &numbers)? {
            if let Some(rows) = open.add(number, rows) {
                unsorted.push((number, rows));
            }
        }
        open.hold(0);
        // Another stream began to sort meanwhile.
        for (number, rows) in unsorted {
            open.send(&rows, vec![number; rows.num_rows()]).await?;
        }
        open.settle().await
    }
}
