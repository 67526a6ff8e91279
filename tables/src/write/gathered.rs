//! Writing rows that come in any order: rows are gathered, taken apart by partition, and encoded into one open file
//! per partition, as far as memory and file handles reach.
//!
//! An engine's batch of 8,192 rows falls into slivers when a table has many partitions, and encoding slivers is slow.
//! So a hundred thousand rows are gathered first, and each partition's rows are then copied out together.
//!
//! Memory, in the order in which it is given back when the pool refuses: the largest row group is ended early; the
//! file that was written to longest ago is closed (a later row of its partition begins another file). When nothing is
//! left to give back, the little that remains is taken from the pool regardless: a query's writer must not fail where
//! it can go on.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::interleave_record_batch;
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use futures::StreamExt;
use tracing::debug;

use super::encoder::PartitionWriter;
use super::{Ordinals, StagedFile, WriteSpec, bytes_of};

/// Rows gathered before they are taken apart.
const GATHER_ROWS: usize = 131_072;
/// A row group that is smaller than this is not worth ending early: closing files gives more back.
const WORTH_FLUSHING: usize = 64 << 10;
/// Open files of all streams together: well below the 1,024 handles that a process commonly has.
const MAX_OPEN_FILES: usize = 256;
/// The place of one gathered row: its batch, and its row there.
type Place = (usize, usize);

/// Writes all rows of `input`. `streams` is how many of these run at once.
pub(super) async fn write(
    mut input: SendableRecordBatchStream,
    spec: &Arc<WriteSpec>,
    ordinals: &Arc<Ordinals>,
    reservation: &MemoryReservation,
    streams: usize,
) -> Result<Vec<StagedFile>> {
    let mut gathered = Gathered::new(
        spec,
        ordinals,
        reservation,
        (MAX_OPEN_FILES / streams.max(1)).max(4),
    )?;
    while let Some(batch) = input.next().await {
        gathered.gather(&batch?).await?;
    }
    gathered.finish().await
}

struct Gathered<'a> {
    spec: &'a Arc<WriteSpec>,
    ordinals: &'a Arc<Ordinals>,
    reservation: &'a MemoryReservation,
    max_open: usize,
    converter: Option<RowConverter>,
    /// Partition values in row form to the position in `partitions`.
    positions: HashMap<Box<[u8]>, usize>,
    partitions: Vec<Partition>,
    /// Bytes of `positions` and `partitions`.
    index_bytes: usize,
    /// Gathered rows, file columns only.
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
    /// Open files, by position, and the bytes they held when last looked at.
    open: HashMap<usize, usize>,
    open_bytes: usize,
    clock: u64,
    files: Vec<StagedFile>,
}

struct Partition {
    path: String,
    places: Vec<Place>,
    writer: Option<PartitionWriter>,
    last_used: u64,
}

impl<'a> Gathered<'a> {
    fn new(
        spec: &'a Arc<WriteSpec>,
        ordinals: &'a Arc<Ordinals>,
        reservation: &'a MemoryReservation,
        max_open: usize,
    ) -> Result<Self> {
        let fields: Vec<SortField> = spec
            .partition
            .indices()
            .map(|column| SortField::new(spec.schema.field(column).data_type().clone()))
            .collect();
        let converter = if fields.is_empty() {
            None
        } else {
            Some(RowConverter::new(fields)?)
        };
        Ok(Self {
            spec,
            ordinals,
            reservation,
            max_open,
            converter,
            positions: HashMap::new(),
            partitions: Vec::new(),
            index_bytes: 0,
            batches: Vec::new(),
            rows: 0,
            bytes: 0,
            open: HashMap::new(),
            open_bytes: 0,
            clock: 0,
            files: Vec::new(),
        })
    }

    async fn gather(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.place_rows(batch)?;
        let rows = self.spec.file_batch(batch)?;
        self.bytes += bytes_of(&rows) + batch.num_rows() * size_of::<Place>();
        self.rows += batch.num_rows();
        self.batches.push(rows);
        if self.rows >= GATHER_ROWS || self.reservation.try_resize(self.held()).is_err() {
            self.drain().await?;
        }
        Ok(())
    }

    /// Notes for every row of the batch which partition it goes to.
    fn place_rows(&mut self, batch: &RecordBatch) -> Result<()> {
        let at = self.batches.len();
        let Some(converter) = &self.converter else {
            if self.partitions.is_empty() {
                self.partitions
                    .push(Partition::new(self.spec.partition_path(batch, 0)?));
            }
            self.partitions[0]
                .places
                .extend((0..batch.num_rows()).map(|row| (at, row)));
            return Ok(());
        };
        let columns: Vec<ArrayRef> = self
            .spec
            .partition
            .indices()
            .map(|column| Arc::clone(batch.column(column)))
            .collect();
        let values = converter.convert_columns(&columns)?;
        let mut last: Option<(usize, usize)> = None;
        for row in 0..batch.num_rows() {
            let value = values.row(row);
            let position = match last {
                // Neighbours are often of one partition.
                Some((before, position)) if values.row(before) == value => position,
                _ => match self.positions.get(value.as_ref()) {
                    Some(position) => *position,
                    None => {
                        let partition = Partition::new(self.spec.partition_path(batch, row)?);
                        self.index_bytes += partition.path.len()
                            + value.as_ref().len()
                            + 2 * size_of::<Partition>();
                        self.partitions.push(partition);
                        self.positions
                            .insert(value.as_ref().into(), self.partitions.len() - 1);
                        self.partitions.len() - 1
                    }
                },
            };
            last = Some((row, position));
            self.partitions[position].places.push((at, row));
        }
        Ok(())
    }

    /// Hands the gathered rows to the writers of their partitions.
    async fn drain(&mut self) -> Result<()> {
        let batches = std::mem::take(&mut self.batches);
        let sources: Vec<&RecordBatch> = batches.iter().collect();
        for position in 0..self.partitions.len() {
            let places = std::mem::take(&mut self.partitions[position].places);
            if places.is_empty() {
                continue;
            }
            let rows = interleave_record_batch(&sources, &places)?;
            self.open(position).await?;
            let partition = &mut self.partitions[position];
            let writer = partition.writer.get_or_insert_with(|| {
                PartitionWriter::new(self.spec, self.ordinals, partition.path.clone())
            });
            writer.write(rows).await?;
            self.clock += 1;
            partition.last_used = self.clock;
            let memory = writer.memory();
            self.note(position, memory);
            self.fit().await?;
        }
        self.rows = 0;
        self.bytes = 0;
        drop(sources);
        drop(batches);
        self.fit().await
    }

    fn held(&self) -> usize {
        self.bytes + self.index_bytes + self.open_bytes
    }

    fn note(&mut self, position: usize, memory: usize) {
        let before = self.open.insert(position, memory).unwrap_or(0);
        self.open_bytes = self.open_bytes + memory - before;
    }

    /// Makes room for one more open file.
    async fn open(&mut self, position: usize) -> Result<()> {
        while !self.open.contains_key(&position) && self.open.len() >= self.max_open {
            self.close_oldest().await?;
        }
        Ok(())
    }

    /// Brings what is held in line with the memory pool.
    async fn fit(&mut self) -> Result<()> {
        while self.reservation.try_resize(self.held()).is_err() {
            let largest = self
                .open
                .keys()
                .filter_map(|position| {
                    let writer = self.partitions[*position].writer.as_ref()?;
                    Some((writer.buffered(), *position))
                })
                .max();
            match largest {
                Some((buffered, position)) if buffered >= WORTH_FLUSHING => {
                    if let Some(writer) = &mut self.partitions[position].writer {
                        writer.flush_row_group().await?;
                        let memory = writer.memory();
                        self.note(position, memory);
                    }
                }
                Some(_) => self.close_oldest().await?,
                None => {
                    debug!(
                        held = self.held(),
                        "the writer's rest exceeds the memory pool"
                    );
                    self.reservation.resize(self.held());
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn close_oldest(&mut self) -> Result<()> {
        let oldest = self
            .open
            .keys()
            .copied()
            .min_by_key(|position| self.partitions[*position].last_used);
        if let Some(position) = oldest {
            self.close(position).await?;
        }
        Ok(())
    }

    async fn close(&mut self, position: usize) -> Result<()> {
        self.open_bytes -= self.open.remove(&position).unwrap_or(0);
        if let Some(mut writer) = self.partitions[position].writer.take() {
            self.files.extend(writer.close().await?);
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Vec<StagedFile>> {
        self.drain().await?;
        for position in 0..self.partitions.len() {
            self.close(position).await?;
        }
        self.reservation.free();
        Ok(self.files)
    }
}

impl Partition {
    fn new(path: String) -> Self {
        Self {
            path,
            places: Vec::new(),
            writer: None,
            last_used: 0,
        }
    }
}
