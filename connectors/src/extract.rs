//! What every extracted source offers, whatever it reads: an estimate, and a stream of units.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;
use futures::stream::BoxStream;
use tokio_util::sync::CancellationToken;

pub use crate::failure::{ErrorClass, FailureKind, RequestFailure};
pub use crate::metrics::{Metrics, MetricsSnapshot};

/// A source opened with its options, ready to be read.
#[async_trait]
pub trait Extract: fmt::Debug + Send + Sync {
    /// One line that says what is read, without secrets and without asking the network.
    fn describe(&self) -> String;

    /// The columns of what lands.
    fn schema(&self) -> SchemaRef;

    /// How much there is to read. Asks the server for at most three answers and lands nothing.
    ///
    /// # Errors
    /// As [`Extract::units`] would fail at its start.
    async fn estimate(&self) -> Result<Estimate, ExtractError>;

    /// Reads everything, unit by unit, in no particular order.
    ///
    /// Nothing is asked before the stream is first polled. A unit comes with all its records or
    /// as quarantined, never in part. An error is the last item: every unit that could be read
    /// has come before it, and a later call with the same landed units goes on from there.
    /// Dropping the stream, or cancelling, ends every request. A stream that is not read stops
    /// asking once a bounded number of units wait.
    ///
    /// Must be polled inside a tokio runtime.
    fn units(self: Arc<Self>, control: Control) -> BoxStream<'static, Result<Unit, ExtractError>>;
}

/// How much a source holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    /// Entries of the source's list, where it tells.
    pub items: Option<u64>,
    /// Records that will be landed, where that can be told.
    pub rows: Option<u64>,
    /// Whether the numbers are counts rather than upper bounds.
    pub exact: bool,
    /// Where the numbers come from.
    pub source: String,
}

/// Holds an extraction back while there is no room for what it would bring.
#[async_trait]
pub trait Gate: fmt::Debug + Send + Sync {
    /// Returns when the next unit or page may be asked for. Must be safe to drop while waiting.
    async fn ready(&self);
}

/// A gate that is always open.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenGate;

#[async_trait]
impl Gate for OpenGate {
    async fn ready(&self) {}
}

/// Answers whether the unit of that key was landed by an earlier attempt.
pub type Landed = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What the caller of an extraction steers it with.
#[derive(Clone)]
pub struct Control {
    /// Units for which this is true are not asked for again.
    pub landed: Landed,
    /// Waited for before each unit and each page of the list.
    pub gate: Arc<dyn Gate>,
    /// Ends the extraction with [`ExtractError::Cancelled`].
    pub cancel: CancellationToken,
    /// Counted into.
    pub metrics: Arc<Metrics>,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            landed: Arc::new(|_| false),
            gate: Arc::new(OpenGate),
            cancel: CancellationToken::new(),
            metrics: Arc::default(),
        }
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Control")
            .field("gate", &self.gate)
            .field("cancelled", &self.cancel.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// The smallest amount that is landed in whole or not at all, such as a bug of a tracker.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Its key, the same in every run.
    pub key: String,
    /// Its records; none when all were filtered out or the unit is quarantined in whole. They have the names of
    /// [`Extract::schema`]'s columns; the type of a column may be another one that can be cast to it.
    pub records: Vec<RecordBatch>,
    /// What they count towards the size of a chunk.
    pub bytes: usize,
    /// What of it could not be read, or the unit itself.
    pub quarantined: Vec<Quarantined>,
}

impl Unit {
    /// How many records it has.
    pub fn rows(&self) -> usize {
        self.records.iter().map(RecordBatch::num_rows).sum()
    }
}

/// The most bytes of a body that a quarantined item keeps.
pub const QUARANTINED_BODY_BYTES: usize = 64 * 1024;

/// Something that could not be fetched or understood, set aside so that the run can go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The key of the unit that it belongs to.
    pub unit: String,
    /// The spec's name of the resource.
    pub resource: String,
    /// Where it was asked for; never holds a secret.
    pub url: String,
    /// What happened, in one line.
    pub reason: String,
    /// `transient` (every attempt failed; worth another run), `permanent` (gone, private or
    /// refused) or `malformed` (answered, but not what the spec describes).
    pub class: &'static str,
    /// What the server sent, at most [`QUARANTINED_BODY_BYTES`] of it.
    pub body: Option<String>,
}

/// Why an extraction ended early. What was handed on before stays valid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExtractError {
    /// A request without which nothing more can be read failed for good.
    #[error("{failure}; {advice}")]
    Request {
        /// The request and its last answer.
        failure: Box<RequestFailure>,
        /// What to do about it.
        advice: String,
    },
    /// An entry without which nothing can be read is not as the spec says.
    #[error("the `{resource}` at {url} {problem}; check that the spec describes this API")]
    Entry {
        /// The spec's name of the resource.
        resource: String,
        /// Where it was asked for.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A stream of batches ended with an error.
    #[error("the batches ended early")]
    Stream {
        /// How.
        #[source]
        source: DataFusionError,
    },
    /// The caller asked to stop.
    #[error("the extraction was cancelled")]
    Cancelled,
    /// A task of the extraction ended by a defect of this program.
    #[error("a task of the extraction did not end as it should")]
    TaskFailed {
        /// How it ended.
        #[source]
        source: tokio::task::JoinError,
    },
}

impl ExtractError {
    /// Who can do something about it: the user, time, or nobody without a change at the server.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Request { failure, .. } => failure.class(),
            Self::Entry { .. } | Self::Stream { .. } | Self::TaskFailed { .. } => {
                ErrorClass::Permanent
            }
            Self::Cancelled => ErrorClass::Transient,
        }
    }
}
