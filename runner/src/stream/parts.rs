//! The parts of a stream, each a task: what reads, what works, what writes. Owns how a chunk gets from one to the next, that the last
//! one is marked, and that the sink is ended only when everything before it came to its end.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use chrono::Utc;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::BatchCoalescer;
use datafusion::arrow::datatypes::SchemaRef;
use files::BadRow;
use futures::future::{BoxFuture, ready};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, stream};
use tokio_util::task::AbortOnDropHandle;

use super::buffer::{Broken, Receiver, Sender};
use super::chunk::{Chunk, Metadata};
use super::error::{Cause, Panicked, StreamError};
use super::held::{Held, bytes_of};
use super::monitor::Monitor;
use super::sink::Sink;
use super::source::Source;
use super::tries::AtWork;

/// Why a part ended before its end.
pub(super) enum Ended {
    /// For another one that did.
    Broken,
    /// By itself.
    Failed(StreamError),
}

impl From<Broken> for Ended {
    fn from(Broken: Broken) -> Self {
        Self::Broken
    }
}

impl From<StreamError> for Ended {
    fn from(error: StreamError) -> Self {
        Self::Failed(error)
    }
}

/// Waits for what may panic.
async fn caught<T>(work: impl Future<Output = Result<T, Cause>>) -> Result<T, Cause> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    done.unwrap_or_else(|panic| Err(Panicked::new(panic.as_ref()).into()))
}

/// What goes into a buffer. Holds one chunk back: which one is the last is known when no other comes.
struct Outlet {
    sender: Sender,
    last: Option<Held>,
}

impl Outlet {
    fn new(sender: Sender) -> Self {
        Self { sender, last: None }
    }

    async fn push(&mut self, chunk: Held) -> Result<(), Broken> {
        match self.last.replace(chunk) {
            Some(before) => self.sender.send(before).await,
            None => Ok(()),
        }
    }

    async fn end(mut self) -> Result<(), Broken> {
        if let Some(mut last) = self.last.take() {
            last.mark_last();
            self.sender.send(last).await?;
        }
        self.sender.end();
        Ok(())
    }
}

/// What a source is read with.
pub(super) struct Reading {
    pub(super) source: Source,
    /// Rows of a chunk; as the source has them if it is not said.
    pub(super) chunk_rows: Option<usize>,
    pub(super) monitor: Arc<Monitor>,
}

impl Reading {
    /// Reads the source to its end, and gives the rows that it put aside.
    pub(super) async fn read(self, sender: Sender) -> Result<Vec<BadRow>, Ended> {
        let Self {
            source,
            chunk_rows,
            monitor,
        } = self;
        let name = source.name().to_owned();
        let failed = |cause: Cause| StreamError::Source {
            from: name.clone(),
            chunks: monitor.read.chunks(),
            cause,
        };
        let mut opened = caught(source.open()).await.map_err(failed)?;
        let mut outlet = Outlet::new(sender);
        let mut cut = Cut::new(&opened.schema, chunk_rows);
        let chunk = |batch: RecordBatch| {
            let sequence = monitor.read.chunks();
            monitor.read.add(batch.num_rows(), bytes_of(&batch));
            let chunk = Chunk {
                id: sequence.to_string(),
                sequence,
                is_last: false,
                metadata: Metadata::from([("source".to_owned(), name.clone())]),
                created_at: Utc::now(),
                batch,
            };
            Held::new(chunk, &monitor)
        };
        loop {
            let next = async { opened.batches.next().await.transpose() };
            let Some(batch) = caught(next).await.map_err(failed)? else {
                break;
            };
            if batch.num_rows() == 0 {
                continue;
            }
            for batch in cut.push(batch).map_err(failed)? {
                outlet.push(chunk(batch)).await?;
            }
        }
        if let Some(batch) = cut.end().map_err(failed)? {
            outlet.push(chunk(batch)).await?;
        }
        let bad_rows = match &opened.bad_rows {
            Some(rows) => {
                rows.check().map_err(|error| failed(error.into()))?;
                rows.rows()
            }
            None => Vec::new(),
        };
        if monitor.read.chunks() == 0 {
            // So that those behind see the columns.
            outlet
                .push(chunk(RecordBatch::new_empty(opened.schema)))
                .await?;
        }
        outlet.end().await?;
        Ok(bad_rows)
    }
}

/// Cuts rows into chunks of equal length.
struct Cut(Option<BatchCoalescer>);

impl Cut {
    fn new(schema: &SchemaRef, rows: Option<usize>) -> Self {
        Self(rows.map(|rows| BatchCoalescer::new(Arc::clone(schema), rows)))
    }

    /// The chunks that are full with this batch.
    fn push(&mut self, batch: RecordBatch) -> Result<Vec<RecordBatch>, Cause> {
        let Some(coalescer) = &mut self.0 else {
            return Ok(vec![batch]);
        };
        coalescer.push_batch(batch)?;
        Ok(std::iter::from_fn(|| coalescer.next_completed_batch()).collect())
    }

    /// The last one.
    fn end(mut self) -> Result<Option<RecordBatch>, Cause> {
        let Some(coalescer) = &mut self.0 else {
            return Ok(None);
        };
        coalescer.finish_buffered_batch()?;
        Ok(coalescer.next_completed_batch())
    }
}

/// Does the work of a stage on every chunk.
pub(super) async fn work(
    stage: Arc<AtWork>,
    receiver: Receiver,
    sender: Sender,
) -> Result<(), Ended> {
    let (workers, ordered) = (stage.stage.workers, stage.stage.ordered);
    let chunks = stream::unfold(Some(receiver), |receiver| async {
        let mut receiver = receiver?;
        match receiver.next().await {
            Ok(chunk) => Some((Ok(chunk?), Some(receiver))),
            Err(broken) => Some((Err(broken), None)),
        }
    });
    let works = chunks.map(|chunk| -> BoxFuture<'static, Result<Vec<Held>, Ended>> {
        match chunk {
            Ok(chunk) => {
                let stage = Arc::clone(&stage);
                let task = tokio::spawn(async move { stage.work(chunk).await });
                AbortOnDropHandle::new(task)
                    .map(|done| match done {
                        Ok(done) => Ok(done?),
                        Err(error) if error.is_panic() => {
                            std::panic::resume_unwind(error.into_panic())
                        }
                        Err(_) => Err(Ended::Broken),
                    })
                    .boxed()
            }
            Err(broken) => ready(Err(broken.into())).boxed(),
        }
    });
    let mut done: BoxStream<'_, Result<Vec<Held>, Ended>> = match ordered {
        true => works.buffered(workers).boxed(),
        false => works.buffer_unordered(workers).boxed(),
    };
    let mut outlet = Outlet::new(sender);
    while let Some(chunks) = done.next().await {
        for chunk in chunks? {
            outlet.push(chunk).await?;
        }
    }
    outlet.end().await?;
    Ok(())
}

/// Gives the sink every chunk, and ends it.
pub(super) async fn write<S: Sink>(
    mut sink: S,
    mut receiver: Receiver,
    monitor: Arc<Monitor>,
) -> Result<S::Output, Ended> {
    let to = sink.describe();
    let failed = |id: Option<&str>, cause: Cause| StreamError::Sink {
        to: to.clone(),
        id: id.map(str::to_owned),
        cause,
    };
    while let Some(held) = receiver.next().await? {
        let chunk = held.chunk();
        let written = caught(sink.write(chunk.clone())).await;
        written.map_err(|cause| failed(Some(&chunk.id), cause))?;
        monitor.written.add(chunk.rows(), bytes_of(&chunk.batch));
    }
    if !monitor.begin_end() {
        return Err(StreamError::Cancelled.into());
    }
    let ended = caught(sink.finish()).await;
    ended.map_err(|cause| failed(None, cause).into())
}
