//! A stream as it is put together, and its run. Owns which parts there are and what becomes of the whole when one fails, when it
//! is cancelled, or when nobody waits for it any more.

use std::sync::Arc;
use std::time::Duration;

use files::BadRow;
use tokio::runtime::{Builder, Handle as Runtime};
use tokio::task::JoinSet;

use super::buffer::{Limits, buffer};
use super::error::StreamError;
use super::metrics::{Metrics, Status};
use super::monitor::{Handle, Monitor};
use super::parts::{self, Ended, Reading};
use super::sink::Sink;
use super::source::Source;
use super::stage::Stage;
use super::tries::{AtWork, PutAside};

/// Chunks that wait between two parts, at most, unless something else is said.
const BUFFER: usize = 16;
/// Stack of a thread: queries are planned by recursion.
const STACK_BYTES: usize = 16 << 20;
/// How long threads are waited for that work without end.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// A stream that is put together: a source and the stages behind it. It runs into a sink.
///
/// ```
/// use std::sync::Arc;
///
/// use runner::stream::arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// use runner::stream::{Flow, MemorySink, Source, Stage};
///
/// let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10));
/// let batch = RecordBatch::try_from_iter([("n", numbers)])?;
/// let report = Flow::new(Source::memory(batch.schema(), vec![batch]))
///     .chunk_rows(4)
///     .stage(Stage::blocking("first", |chunk| {
///         let first = chunk.batch.slice(0, 1);
///         Ok(chunk.with(first))
///     }))
///     .run_blocking(MemorySink::new())?;
/// assert_eq!(report.metrics.items, 3);
/// assert!(report.output[2].is_last);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Flow {
    source: Source,
    stages: Vec<Stage>,
    chunk_rows: Option<usize>,
    buffer: usize,
    resume_at: Option<usize>,
    memory: Option<u64>,
    monitor: Arc<Monitor>,
}

/// A stream that came to its end.
#[derive(Debug)]
pub struct Report<T> {
    /// What the sink is.
    pub output: T,
    /// The counts.
    pub metrics: Metrics,
    /// Chunks that stages could not do, and were allowed to put aside; those of a stage together, in the order of the source.
    pub put_aside: Vec<PutAside>,
    /// Rows of files that could not be read, and were allowed to be bad (`on_error 'quarantine'`).
    pub bad_rows: Vec<BadRow>,
}

/// How a part came to its end.
enum Part<T> {
    Read(Vec<BadRow>),
    Worked,
    Written(T),
}

/// What is left of a stream that came to its end.
struct Done<T> {
    output: T,
    put_aside: Vec<PutAside>,
    bad_rows: Vec<BadRow>,
}

/// Says of a stream that it was cancelled if nothing else is said of it: nobody waits for it any more.
struct Abandoned<'a>(&'a Monitor);

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        self.0.end(Status::Cancelled);
    }
}

impl Flow {
    /// Of this source, without stages.
    pub fn new(source: impl Into<Source>) -> Self {
        Self {
            source: source.into(),
            stages: Vec::new(),
            chunk_rows: None,
            buffer: BUFFER,
            resume_at: None,
            memory: None,
            monitor: Arc::default(),
        }
    }

    /// With a stage behind the others.
    #[must_use]
    pub fn stage(mut self, stage: Stage) -> Self {
        self.stages.push(stage);
        self
    }

    /// In chunks of so many rows; only the last one may have fewer. Default: in those that the source has.
    #[must_use]
    pub fn chunk_rows(mut self, rows: usize) -> Self {
        self.chunk_rows = Some(rows);
        self
    }

    /// So many chunks may wait between two parts of the stream; when they do, the part before them has to wait. If it is the
    /// source, the stream is [`Status::Paused`]. Default: 16.
    #[must_use]
    pub fn buffer(mut self, chunks: usize) -> Self {
        self.buffer = chunks;
        self
    }

    /// A part that has to wait goes on when only so many chunks wait. Default: half of the buffer.
    #[must_use]
    pub fn resume_at(mut self, chunks: usize) -> Self {
        self.resume_at = Some(chunks);
        self
    }

    /// While the chunks under way hold so many bytes, no part goes on that has a chunk waiting behind it. They may hold more by what
    /// is made of them meanwhile. Default: only their number counts.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// To look at it while it runs, and to cancel it.
    pub fn handle(&self) -> Handle {
        Handle::new(&self.monitor)
    }

    /// Runs it into a sink. Dropped before it is done, it ends everything that it does.
    ///
    /// # Errors
    /// The first thing that went wrong. The sink was not ended then, so that a file is not there.
    pub async fn run<S: Sink>(self, sink: S) -> Result<Report<S::Output>, StreamError> {
        let monitor = Arc::clone(&self.monitor);
        let _abandoned = Abandoned(&monitor);
        let done = self.drive(sink).await;
        monitor.end(match &done {
            Ok(_) => Status::Completed,
            Err(StreamError::Cancelled) => Status::Cancelled,
            Err(_) => Status::Failed,
        });
        let Done {
            output,
            put_aside,
            bad_rows,
        } = done?;
        Ok(Report {
            output,
            metrics: monitor.metrics(),
            put_aside,
            bad_rows,
        })
    }

    /// Runs it into a sink and blocks this thread until it is done, on threads of its own.
    ///
    /// # Errors
    /// As [`Self::run`]; [`StreamError::InsideRuntime`] in an async runtime.
    pub fn run_blocking<S: Sink>(self, sink: S) -> Result<Report<S::Output>, StreamError> {
        if Runtime::try_current().is_ok() {
            return Err(StreamError::InsideRuntime);
        }
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .thread_name("stream")
            .thread_stack_size(STACK_BYTES)
            .build()
            .map_err(|source| StreamError::Threads { source })?;
        let outcome = runtime.block_on(self.run(sink));
        runtime.shutdown_timeout(END_TIMEOUT);
        outcome
    }

    /// What is waited between parts, if all that was asked for is possible.
    fn limits(&self) -> Result<Limits, StreamError> {
        let resume_at = self.resume_at.unwrap_or(self.buffer / 2);
        let idle = self.stages.iter().find(|stage| stage.workers == 0);
        let problem = match idle {
            Some(stage) => format!("stage `{}` has no workers", stage.name),
            None if self.buffer == 0 => "a buffer of no chunks lets none through".to_owned(),
            None if self.chunk_rows == Some(0) => "chunks of no rows have no end".to_owned(),
            None if resume_at >= self.buffer => format!(
                "what waits at {} chunks cannot go on at {resume_at}; `resume_at` is less than `buffer`",
                self.buffer
            ),
            None => {
                return Ok(Limits {
                    pause_at: self.buffer,
                    resume_at,
                    memory: self.memory,
                });
            }
        };
        Err(StreamError::Setting { problem })
    }

    async fn drive<S: Sink>(self, sink: S) -> Result<Done<S::Output>, StreamError> {
        let limits = self.limits()?;
        let monitor = self.monitor;
        let stages = self.stages.into_iter();
        let stages: Vec<Arc<AtWork>> = stages
            .map(|stage| Arc::new(AtWork::new(stage, &monitor)))
            .collect();
        let counters = stages.iter().map(|stage| Arc::clone(&stage.counters));
        monitor.begin(counters.collect());

        let mut parts = JoinSet::new();
        let (sender, mut receiver) = buffer(limits, &monitor, true);
        let reading = Reading {
            source: self.source,
            chunk_rows: self.chunk_rows,
            monitor: Arc::clone(&monitor),
        };
        parts.spawn(async move { Ok(Part::Read(reading.read(sender).await?)) });
        for stage in &stages {
            let (sender, behind) = buffer(limits, &monitor, false);
            let before = std::mem::replace(&mut receiver, behind);
            let stage = Arc::clone(stage);
            parts.spawn(async move {
                parts::work(stage, before, sender).await?;
                Ok(Part::Worked)
            });
        }
        let writing = parts::write(sink, receiver, Arc::clone(&monitor));
        parts.spawn(async move { Ok(Part::Written(writing.await?)) });

        let (output, bad_rows) = match ended(&mut parts, &monitor).await {
            Ok(ended) => ended,
            Err(error) => {
                // Until nothing is at work any more.
                parts.shutdown().await;
                return Err(error);
            }
        };
        Ok(Done {
            output,
            put_aside: stages.iter().flat_map(|stage| stage.put_aside()).collect(),
            bad_rows,
        })
    }
}

/// Waits until all parts have come to their end, or one has not.
async fn ended<T: 'static>(
    parts: &mut JoinSet<Result<Part<T>, Ended>>,
    monitor: &Monitor,
) -> Result<(T, Vec<BadRow>), StreamError> {
    let (mut output, mut bad_rows) = (None, Vec::new());
    loop {
        let part = tokio::select! {
            biased;
            () = monitor.cancelled() => return Err(StreamError::Cancelled),
            part = parts.join_next() => part,
        };
        match part {
            Some(Ok(Ok(Part::Read(rows)))) => bad_rows = rows,
            // One that ended for another: that one has yet to be heard.
            Some(Ok(Ok(Part::Worked) | Err(Ended::Broken))) => {}
            Some(Ok(Ok(Part::Written(written)))) => output = Some(written),
            Some(Ok(Err(Ended::Failed(error)))) => return Err(error),
            Some(Err(error)) if error.is_panic() => {
                std::panic::resume_unwind(error.into_panic());
            }
            Some(Err(_)) => return Err(StreamError::Cancelled),
            // Without an output every part would have ended for another: the runtime is being shut down.
            None => {
                let output = output.ok_or(StreamError::Cancelled)?;
                return Ok((output, bad_rows));
            }
        }
    }
}
