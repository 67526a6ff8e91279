//! Writing rows that come sorted by partition: one partition is open at a time, and what is written depends on the rows
//! alone. Also watches for keys that come twice.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::partition;
use datafusion::arrow::datatypes::UInt64Type;
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use futures::StreamExt;
use tracing::debug;

use super::encoder::PartitionWriter;
use super::names::Ordinals;
use super::split::range_of;
use super::{StagedFile, WriteSpec};

/// About what a set of 64-bit hashes takes per key.
const KEY_BYTES: usize = 18;

/// Writes all rows of `input`, which is sorted by [`WriteSpec::ordering`].
///
/// The row group being encoded is held in memory whatever the pool says: ending it early would make the bytes depend
/// on the memory budget. It is accounted, and bounded by `row_group_bytes`.
pub(super) async fn write(
    mut input: SendableRecordBatchStream,
    spec: &Arc<WriteSpec>,
    ordinals: &Arc<Ordinals>,
    reservation: &MemoryReservation,
) -> Result<Vec<StagedFile>> {
    let mut files = Vec::new();
    let mut keys = KeyWatch::new(spec)?;
    let mut open: Option<PartitionWriter> = None;
    while let Some(batch) = input.next().await {
        let batch = batch?;
        if batch.num_rows() == 0 {
            continue;
        }
        let rows = spec.file_batch(&batch)?;
        let hashes = keys.hashes(&batch)?;
        for range in same_partition(&batch, spec)? {
            let path = spec.partition_path(&batch, range.start)?;
            let part = spec.range(&batch, range.start);
            let mut writer = match open.take() {
                Some(writer) if writer.is_of(&path, part) => writer,
                other => {
                    if let Some(mut done) = other {
                        files.extend(keys.end(done.close().await?));
                    }
                    PartitionWriter::of_range(spec, ordinals, path, part)
                }
            };
            writer.write(rows.slice(range.start, range.len())).await?;
            keys.add(hashes.get(range).unwrap_or_default());
            account(reservation, &writer, &mut keys);
            open = Some(writer);
        }
    }
    if let Some(mut done) = open {
        files.extend(keys.end(done.close().await?));
    }
    reservation.free();
    Ok(files)
}

/// A key watch of up to this many bytes is kept whatever the pool says.
const MIN_WATCH_BYTES: usize = 8 << 20;

/// Accounts what is held; gives the watched keys up if that makes it fit.
fn account(reservation: &MemoryReservation, writer: &PartitionWriter, keys: &mut KeyWatch) {
    if reservation
        .try_resize(writer.memory() + keys.memory())
        .is_ok()
    {
        return;
    }
    // The sort below may have filled the pool. A small watch costs less than the second pass that giving it up brings.
    if keys.memory() <= MIN_WATCH_BYTES {
        reservation.resize(writer.memory() + keys.memory());
        return;
    }
    if keys.memory() > 0 {
        debug!(
            bytes = keys.memory(),
            "too many keys to watch in memory; the merge will look for duplicates"
        );
        keys.seen = None;
    }
    if reservation.try_resize(writer.memory()).is_err() {
        debug!(
            bytes = writer.memory(),
            "the open row group exceeds the memory pool"
        );
        reservation.resize(writer.memory());
    }
}

/// The rows of each partition, or of each range of one, in a sorted batch.
fn same_partition(batch: &RecordBatch, spec: &WriteSpec) -> Result<Vec<std::ops::Range<usize>>> {
    let slot = spec.split.then_some(spec.schema.fields().len());
    let columns: Vec<ArrayRef> = spec
        .partition
        .indices()
        .chain(slot)
        .map(|index| Arc::clone(batch.column(index)))
        .collect();
    if columns.is_empty() {
        return Ok(std::iter::once(0..batch.num_rows()).collect());
    }
    Ok(partition(&columns)?.ranges())
}

impl WriteSpec {
    /// Which range of its partition a row is in; 0 where partitions are not split.
    fn range(&self, batch: &RecordBatch, row: usize) -> u32 {
        let slots = self.split.then(|| batch.column(self.schema.fields().len()));
        let slots = slots.and_then(|slots| slots.as_primitive_opt::<UInt64Type>());
        slots.map_or(0, |slots| range_of(slots.value(row)))
    }
}

/// Sees whether a key comes twice in the open partition, by hashes: a repeated hash may be a mere collision, which a
/// merge finds out; none repeated proves that every key is unique.
struct KeyWatch {
    columns: Vec<usize>,
    converter: Option<RowConverter>,
    /// `None` once the memory pool refused to hold the set of this partition.
    seen: Option<HashSet<u64>>,
    repeated: u64,
}

impl KeyWatch {
    fn new(spec: &WriteSpec) -> Result<Self> {
        let columns = spec.watched_key.clone();
        let converter = if columns.is_empty() {
            None
        } else {
            let fields = columns
                .iter()
                .map(|column| SortField::new(spec.schema.field(*column).data_type().clone()));
            Some(RowConverter::new(fields.collect())?)
        };
        Ok(Self {
            columns,
            converter,
            seen: Some(HashSet::new()),
            repeated: 0,
        })
    }

    /// One hash per row; empty if no key is watched.
    fn hashes(&self, batch: &RecordBatch) -> Result<Vec<u64>> {
        let Some(converter) = &self.converter else {
            return Ok(Vec::new());
        };
        let columns: Vec<ArrayRef> = self
            .columns
            .iter()
            .map(|column| Arc::clone(batch.column(*column)))
            .collect();
        let rows = converter.convert_columns(&columns)?;
        let hash = |row: datafusion::arrow::row::Row<'_>| {
            let mut hasher = DefaultHasher::new();
            hasher.write(row.as_ref());
            hasher.finish()
        };
        Ok(rows.iter().map(hash).collect())
    }

    fn add(&mut self, hashes: &[u64]) {
        let Some(seen) = &mut self.seen else { return };
        self.repeated += hashes
            .iter()
            .map(|hash| u64::from(!seen.insert(*hash)))
            .sum::<u64>();
    }

    fn memory(&self) -> usize {
        self.seen
            .as_ref()
            .map_or(0, |seen| seen.capacity() * KEY_BYTES)
    }

    /// Notes the finding in the files of the partition that ends, and starts over.
    fn end(&mut self, mut files: Vec<StagedFile>) -> Vec<StagedFile> {
        let watched = self.converter.is_some() && self.seen.is_some();
        for (position, file) in files.iter_mut().enumerate() {
            // The count is the partition's; its first file carries it.
            file.repeated_keys = watched.then_some(if position == 0 { self.repeated } else { 0 });
        }
        self.seen = Some(HashSet::new());
        self.repeated = 0;
        files
    }
}
