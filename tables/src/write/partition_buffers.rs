//! The open partitions of an operator without an order, shared by its streams: whoever has rows for a partition adds
//! them, whoever has time encodes. Owns the rows that wait, the files that are open, and their memory.
//!
//! Rows wait as they are, uncompressed, because an open row group costs more than its bytes: the codec's tables, the
//! dictionaries and the page buffers of every column, none of which can be bounded for many partitions at once. When
//! memory is short the partition that holds most is encoded and its row group ended, so the row groups that come of it
//! are twice as large as an equal share. A partition with many rows is encoded before that, and its row group goes on.
//!
//! With more partitions than files can be open, or than memory holds row groups of, the rows are sorted by partition
//! from then on (`by_partition`), and each partition is written once.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryReservation};
use futures::{StreamExt, TryStreamExt, stream};
use tracing::debug;

use super::by_partition::{self, Sorting};
use super::encoder::{CHUNK_ROWS, PartitionWriter, bytes_of};
use super::partition_writers::PartitionWriters;
use super::{StagedFile, WriteSpec};
use crate::error::Error;

/// Open files of all streams together: well below the 1,024 handles that a process commonly has.
const MAX_OPEN_FILES: usize = 256;
/// Rows of a partition are encoded when they are this many bytes, whether or not memory is short.
const ENCODE_BYTES: usize = 8 << 20;
/// If the largest row group that could be ended holds less, it is better to sort.
const MIN_ROW_GROUP_BYTES: usize = 128 << 10;
/// Bytes that rows wait in whatever the memory pool says.
const MIN_BUFFER_BYTES: usize = 8 << 20;
/// The most that rows wait in, however large the memory pool is: row groups are large enough by then.
const MAX_BUFFER_BYTES: usize = 512 << 20;
/// About what a numbered partition takes, with its path twice.
const PARTITION_BYTES: usize = 256;
/// About what the note of a finished file takes.
const FILE_BYTES: usize = 512;

/// The partitions of one operator. See the module.
pub(super) struct PartitionBuffers {
    pub(super) writers: Arc<PartitionWriters>,
    streams: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Streams that add rows now.
    active: usize,
    /// Streams of the operator that have not added all their rows, those included that nobody has polled yet. The last
    /// of them closes everything: one that ends before another begins must not, or the other would open each file again.
    unfinished: usize,
    reservation: Option<MemoryReservation>,
    /// What may be held, bytes.
    limit: usize,
    /// By number.
    open: Vec<Partition>,
    /// Rows that wait in `open`, bytes.
    waiting: usize,
    /// Row groups that are open and not worked on, bytes.
    encoding: usize,
    /// Rows that are being encoded, bytes.
    busy: usize,
    /// Rows that streams gather, bytes.
    gathered: usize,
    rows: u64,
    files: Vec<StagedFile>,
    sorting: Option<Sorting>,
}

#[derive(Default)]
struct Partition {
    rows: Vec<RecordBatch>,
    bytes: usize,
    /// Open files that nobody works on, and the bytes of their open row groups. More than one only if several streams
    /// had rows of the partition at once.
    idle: Vec<(PartitionWriter, usize)>,
}

impl Partition {
    fn held(&self) -> usize {
        self.bytes + self.idle.iter().map(|(_, bytes)| bytes).sum::<usize>()
    }
}

/// Rows to encode.
struct Job {
    number: u32,
    writer: PartitionWriter,
    rows: Vec<RecordBatch>,
    bytes: usize,
    end_row_group: bool,
}

enum Next {
    Encode(Box<Job>),
    Sort,
    Nothing,
}

impl fmt::Debug for PartitionBuffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartitionBuffers").finish_non_exhaustive()
    }
}

impl PartitionBuffers {
    /// For an operator of that many streams.
    pub(super) fn new(spec: &Arc<WriteSpec>, streams: usize) -> Self {
        let streams = streams.max(1);
        let state = State {
            unfinished: streams,
            ..State::default()
        };
        Self {
            writers: Arc::new(PartitionWriters::new(spec)),
            streams,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream that begins to add rows.
    pub(super) fn enter(self: &Arc<Self>, context: &Arc<TaskContext>) -> BufferedStream {
        let mut state = self.state();
        state.active += 1;
        if state.reservation.is_none() {
            let pool = context.memory_pool();
            state.limit = match pool.memory_limit() {
                MemoryLimit::Finite(bytes) => (bytes / 2).min(MAX_BUFFER_BYTES),
                _ => MAX_BUFFER_BYTES,
            };
            state.reservation = Some(MemoryConsumer::new("PartitionedWriteExec").register(pool));
        }
        let gather_bytes = (state.limit / 6 / self.streams).clamp(256 << 10, 16 << 20);
        drop(state);
        BufferedStream {
            buffers: Arc::clone(self),
            context: Arc::clone(context),
            gathered: 0,
            gather_bytes,
            ended: false,
        }
    }

    /// What is to be done before more rows are taken.
    fn next(&self, state: &mut State) -> Next {
        let held = state.waiting + state.encoding + state.gathered;
        let index = self.writers.numbers.count() * PARTITION_BYTES + state.files.len() * FILE_BYTES;
        let total = held + state.busy + index;
        let full = held > state.limit;
        // When others have all of the pool, a little is held regardless, so that row groups do not become slivers.
        let little = held <= MIN_BUFFER_BYTES.min(state.limit / 2);
        let refused = state.reservation.as_ref().is_some_and(|reservation| {
            let refused = reservation.try_resize(total).is_err();
            if refused && little {
                reservation.resize(total);
            }
            refused && !little
        });
        let by = |partition: &Partition| {
            if full || refused {
                partition.held()
            } else {
                partition.bytes
            }
        };
        let largest = (0..state.open.len()).max_by_key(|at| by(&state.open[*at]));
        let (at, bytes) = largest.map_or((0, 0), |at| (at, by(&state.open[at])));
        if full && bytes < MIN_ROW_GROUP_BYTES && state.open.len() > 1 && state.busy == 0 {
            return Next::Sort;
        }
        if bytes == 0 || !(full || refused || bytes >= ENCODE_BYTES) {
            if refused {
                debug!(total, "the writer's rest exceeds the memory pool");
                if let Some(reservation) = &state.reservation {
                    reservation.resize(total);
                }
            }
            return Next::Nothing;
        }
        let partition = &mut state.open[at];
        let (rows, bytes) = (std::mem::take(&mut partition.rows), partition.bytes);
        partition.bytes = 0;
        let number = u32::try_from(at).unwrap_or(u32::MAX);
        let (writer, encoding) = match partition.idle.pop() {
            Some(idle) => idle,
            None => (self.writers.writer(number), 0),
        };
        state.waiting -= bytes;
        state.encoding -= encoding;
        state.busy += bytes + encoding;
        Next::Encode(Box::new(Job {
            number,
            writer,
            rows,
            bytes: bytes + encoding,
            end_row_group: full || refused,
        }))
    }
}

/// One stream's use of the open partitions. Dropping it before [`BufferedStream::finish`] gives everything up, as the
/// stream did: the stream stays unfinished, so none of the others gives files.
pub(super) struct BufferedStream {
    pub(super) buffers: Arc<PartitionBuffers>,
    context: Arc<TaskContext>,
    gathered: usize,
    /// Bytes that a stream should gather before it adds them.
    pub(super) gather_bytes: usize,
    ended: bool,
}

impl BufferedStream {
    /// Counts rows that came in.
    pub(super) fn count(&self, rows: usize) {
        self.buffers.state().rows += rows as u64;
    }

    /// Notes what the stream gathers.
    pub(super) fn hold(&mut self, bytes: usize) {
        let mut state = self.buffers.state();
        state.gathered = state.gathered + bytes - self.gathered;
        self.gathered = bytes;
    }

    /// Where rows are to be sent instead of being added. From the moment there are too many partitions.
    pub(super) async fn sorts(&self) -> Result<bool> {
        if self.buffers.state().sorting.is_some() {
            return Ok(true);
        }
        if self.buffers.writers.numbers.count() > MAX_OPEN_FILES {
            self.begin_to_sort().await?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Adds rows of one partition, of the file's schema; gives them back if they have to be sent.
    pub(super) fn add(&self, number: u32, rows: RecordBatch) -> Option<RecordBatch> {
        let bytes = bytes_of(&rows);
        let mut state = self.buffers.state();
        if state.sorting.is_some() {
            return Some(rows);
        }
        let at = number as usize;
        if state.open.len() <= at {
            state.open.resize_with(at + 1, Partition::default);
        }
        let partition = &mut state.open[at];
        partition.rows.push(rows);
        partition.bytes += bytes;
        state.waiting += bytes;
        None
    }

    fn next(&self) -> Next {
        self.buffers.next(&mut self.buffers.state())
    }

    /// Encodes until what waits fits.
    pub(super) async fn settle(&self) -> Result<()> {
        loop {
            match self.next() {
                Next::Nothing => return Ok(()),
                Next::Sort => return self.begin_to_sort().await,
                Next::Encode(job) => {
                    let Job {
                        number,
                        mut writer,
                        rows,
                        bytes,
                        end_row_group,
                    } = *job;
                    if end_row_group {
                        writer.expect_rows(rows.iter().map(RecordBatch::num_rows).sum());
                    }
                    encode(&mut writer, rows).await?;
                    if end_row_group {
                        writer.end_row_group().await?;
                    }
                    if let Some(mut writer) = self.put_back(number, writer, bytes) {
                        let files = writer.close().await?;
                        self.buffers.state().files.extend(files);
                    }
                }
            }
        }
    }

    /// Puts a writer back whose job of so many bytes is done, or gives it back because no files are kept open any more.
    fn put_back(
        &self,
        number: u32,
        writer: PartitionWriter,
        done: usize,
    ) -> Option<PartitionWriter> {
        let encoding = writer.encoding();
        let mut state = self.buffers.state();
        state.busy -= done;
        if state.sorting.is_some() {
            return Some(writer);
        }
        state.encoding += encoding;
        state.open[number as usize].idle.push((writer, encoding));
        None
    }

    /// Sends rows, of the file's schema, to be sorted; `numbers` are their partitions.
    pub(super) async fn send(&self, rows: &RecordBatch, numbers: Vec<u32>) -> Result<()> {
        let (sender, batch) = {
            let state = self.buffers.state();
            let Some(sorting) = &state.sorting else {
                return Err(gone());
            };
            (sorting.sender.clone(), sorting.batch(rows, numbers)?)
        };
        if sender.send(batch).await.is_ok() {
            return Ok(());
        }
        // The sort has ended before its input: it failed. One stream says why.
        let sorting = self.buffers.state().sorting.take();
        match sorting {
            Some(sorting) => Err(sorting.finish().await.err().unwrap_or_else(gone)),
            None => Err(gone()),
        }
    }

    async fn begin_to_sort(&self) -> Result<()> {
        let (open, spec) = {
            let mut state = self.buffers.state();
            if state.sorting.is_some() {
                return Ok(());
            }
            debug!(
                partitions = self.buffers.writers.numbers.count(),
                "too many partitions to keep open; the rows are sorted by partition"
            );
            state.sorting = Some(by_partition::start(
                &self.buffers.writers,
                &self.context,
                self.buffers.streams,
            )?);
            (state.waiting, state.encoding) = (0, 0);
            let index = self.buffers.writers.numbers.count() * PARTITION_BYTES;
            let busy = state.busy;
            if let Some(reservation) = &state.reservation {
                reservation.resize(index + busy);
            }
            (std::mem::take(&mut state.open), &self.buffers.writers.spec)
        };
        for (at, partition) in open.into_iter().enumerate() {
            for (mut writer, _) in partition.idle {
                let files = writer.close().await?;
                self.buffers.state().files.extend(files);
            }
            if !partition.rows.is_empty() {
                let rows = concat_batches(&spec.file_schema, &partition.rows)?;
                let number = u32::try_from(at).unwrap_or(u32::MAX);
                self.send(&rows, vec![number; rows.num_rows()]).await?;
            }
        }
        Ok(())
    }

    /// Ends this stream. The last of the operator's closes all files and gives them; the others give none.
    pub(super) async fn finish(mut self) -> Result<Vec<StagedFile>> {
        let mut state = {
            let mut state = self.buffers.state();
            self.ended = true;
            state.active -= 1;
            state.unfinished = state.unfinished.saturating_sub(1);
            state.gathered -= self.gathered;
            if state.active > 0 || state.unfinished > 0 {
                return Ok(Vec::new());
            }
            std::mem::take(&mut *state)
        };
        let mut files = std::mem::take(&mut state.files);
        if let Some(sorting) = state.sorting.take() {
            files.extend(sorting.finish().await?);
        }
        let closing = std::mem::take(&mut state.open)
            .into_iter()
            .enumerate()
            .filter(|(_, partition)| !partition.rows.is_empty() || !partition.idle.is_empty())
            .map(|(at, partition)| {
                let number = u32::try_from(at).unwrap_or(u32::MAX);
                let buffers = Arc::clone(&self.buffers);
                async move {
                    SpawnedTask::spawn(close(buffers, number, partition))
                        .join_unwind()
                        .await
                }
            });
        let closed: Vec<Vec<StagedFile>> = stream::iter(closing)
            .buffer_unordered(self.buffers.streams)
            .map(|joined| {
                joined.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))?
            })
            .try_collect()
            .await?;
        files.extend(closed.into_iter().flatten());
        files.sort_by(|a, b| (&a.partition, a.ordinal).cmp(&(&b.partition, b.ordinal)));
        let written: u64 = files.iter().map(|file| file.rows).sum();
        if written != state.rows {
            return Err(Error::RowsLost {
                read: state.rows,
                written,
                // Left out before they came here.
                discarded: 0,
            }
            .into());
        }
        Ok(files)
    }
}

impl Drop for BufferedStream {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let mut state = self.buffers.state();
        state.active -= 1;
        state.gathered -= self.gathered;
        if state.active == 0 {
            // The rows of this stream are missing: whatever others still add, the files are never given.
            *state = State {
                unfinished: state.unfinished,
                ..State::default()
            };
        }
    }
}

/// Encodes rows, which are given back as they are encoded. Small batches are joined first: every call of the encoder
/// costs as much as some hundred rows, for each column.
async fn encode(writer: &mut PartitionWriter, rows: Vec<RecordBatch>) -> Result<()> {
    let mut rows = rows.into_iter().peekable();
    while let Some(first) = rows.next() {
        let mut count = first.num_rows();
        let mut joined = vec![first];
        while let Some(next) = rows.next_if(|next| count + next.num_rows() <= CHUNK_ROWS) {
            count += next.num_rows();
            joined.push(next);
        }
        let batch = match joined.as_slice() {
            [one] => one.clone(),
            [first, ..] => concat_batches(first.schema_ref(), &joined)?,
            [] => continue,
        };
        drop(joined);
        writer.append(&batch).await?;
        // Encoding never waits by itself; others of this thread have their turn, and a cancelled run ends.
        tokio::task::yield_now().await;
    }
    Ok(())
}

async fn close(
    buffers: Arc<PartitionBuffers>,
    number: u32,
    partition: Partition,
) -> Result<Vec<StagedFile>> {
    let mut idle = partition.idle.into_iter();
    let mut first = match idle.next() {
        Some((writer, _)) => writer,
        None => buffers.writers.writer(number),
    };
    first.expect_rows(partition.rows.iter().map(RecordBatch::num_rows).sum());
    encode(&mut first, partition.rows).await?;
    let mut files = first.close().await?;
    for (mut writer, _) in idle {
        files.extend(writer.close().await?);
    }
    Ok(files)
}

fn gone() -> DataFusionError {
    DataFusionError::Execution(
        "the rows could not be sorted by partition; another stream says why".to_owned(),
    )
}
