//! What a kind of output is: how one is opened, how rows get into it, and how they become visible, all at once.
//!
//! Owns the contract between a run and the kinds of outputs. A [`Sink`] is a place; a [`Transaction`] is one run's work on
//! it, of which nobody else sees anything before [`Transaction::commit`]:
//!
//! ```text
//! open ─► (sample) ─► begin_attempt ─► write_plan ─► executed ─► staged ─► checks ─► prepare ─► commit
//!                        ▲                             │                                │
//!                        └── another attempt ──────────┘                 abandon ◄──────┘ instead, at any time
//! ```
//!
//! Where plans are executed and how often is tried is the run's.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::Schema;
use datafusion::catalog::TableProvider;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use tables::{
    Claim, CommitInfo, Committed, FilesRead, MergeCounts, SchemaChange, StagedInputs, TableOptions,
    Totals,
};

/// What the operations of a sink and of its transactions fail with.
pub type Result<T> = std::result::Result<T, tables::Error>;

/// A place where the rows of an output go.
#[async_trait]
pub trait Sink: fmt::Debug + Send + Sync {
    /// Begins a run's work: finishes what an earlier process left undone, shuts other writers out, compares schemas. Reads
    /// no rows. What the run is about to publish may be published already, by itself or for the same request: then
    /// there is nothing to do.
    ///
    /// # Errors
    /// When another writer is at work, the schema or the options do not fit, or the place cannot be written.
    async fn open(&self, opening: Opening<'_>) -> Result<Opened>;
}

/// What a run opens a sink for.
#[derive(Debug)]
pub struct Opening<'a> {
    /// The run's id.
    pub run_id: &'a str,
    /// Columns of the rows.
    pub schema: &'a Schema,
    /// How they are laid out and published.
    pub options: TableOptions,
    /// Which commit would be this run's own.
    pub claim: Claim,
    /// Whether the staged rows are read before they are published; if not, some places save a copy of them.
    pub checked: bool,
}

/// What opening a sink came to.
#[derive(Debug)]
pub enum Opened {
    /// Rows may be written.
    Transaction(Box<dyn Transaction>),
    /// They are published already.
    Committed(Box<Committed>),
}

/// Who writes the rows of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writers {
    /// This process.
    Here,
    /// Executors of a cluster, of whom those of an earlier attempt may still be at work.
    Executors {
        /// The attempt's number, from 1; each has its own.
        attempt: u32,
        /// Processes.
        processes: usize,
        /// Partitions of a plan that they work on at once, together.
        streams: usize,
    },
}

/// What an attempt staged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StagedRows {
    /// Rows that would be published, before any merge.
    pub rows: u64,
    /// Rows that were left out because they do not fit the table's types.
    pub discarded: u64,
    /// Bytes, as they are stored.
    pub bytes: u64,
    /// What those were before they were compressed.
    pub plain_bytes: u64,
}

/// What a transaction published, or what one before had published of the same.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The number of the commit that has the rows.
    pub commit: u64,
    /// The run that made it: another one, where nothing changed or the same was asked for before.
    pub run_id: String,
    /// When it was made, if it was by a process before this one.
    pub committed_before: Option<DateTime<Utc>>,
    /// Rows that were staged, before any merge.
    pub rows: u64,
    /// Rows that were left out because they do not fit the table's types.
    pub rows_discarded: u64,
    /// Rows that the run that made it read from its sources; `None` for this one, who knows.
    pub rows_read: Option<u64>,
    /// Bytes that were added.
    pub bytes: u64,
    /// Files that were added.
    pub files_added: u64,
    /// Files that were removed or replaced.
    pub files_removed: u64,
    /// Files that were there already, byte by byte.
    pub files_unchanged: u64,
    /// Files that were written again only because a column got a wider type.
    pub files_rewritten: u64,
    /// What a merge did to rows.
    pub merge: Option<MergeCounts>,
    /// What changed in the schema.
    pub schema_changes: Vec<SchemaChange>,
    /// All that is there now.
    pub totals: Totals,
    /// How long readers could see a partition with both its old and its new files; `None` for no time at all.
    pub window: Option<Duration>,
    /// What could not be cleared away afterwards.
    pub uncleared: Option<String>,
}

impl Publication {
    /// Whether this process changed what readers see.
    pub fn changed(&self) -> bool {
        self.committed_before.is_none()
            && (self.files_added > 0 || self.files_removed > 0 || !self.schema_changes.is_empty())
    }
}

/// One run's work on a sink. Dropping it leaves what was staged to the next run, which drops it.
#[async_trait]
pub trait Transaction: fmt::Debug + Send + Sync {
    /// How far the log of the place was when this began: every commit of the run comes after it.
    fn log_position(&self) -> u64;

    /// The commit of an earlier process that was decided and unfinished, and was finished by opening.
    fn finished(&self) -> Option<u64>;

    /// Which files sources that are read file by file were read from, by what the place knows of before this began.
    fn files_read(&self) -> FilesRead {
        FilesRead::default()
    }

    /// Copies files into `folder` beside what is staged, where executors who write can read them; `ctx` can open the
    /// folder afterwards. They go with the transaction.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    async fn stage_inputs(
        &self,
        folder: &str,
        files: &[PathBuf],
        ctx: &SessionContext,
    ) -> Result<StagedInputs>;

    /// The part of a query that is looked at before its rows are written, if that decides where they go.
    ///
    /// # Errors
    /// When the query does not have the columns that this was opened with.
    fn sample_query(&self, query: &LogicalPlan) -> Result<Option<LogicalPlan>>;

    /// Wraps the plan of [`Transaction::sample_query`]; `None` if there is no need to look after all.
    ///
    /// # Errors
    /// As there.
    fn sample_plan(&self, input: Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>>;

    /// Takes the rows that the plan of [`Transaction::sample_plan`] gave, and tells how many were looked at.
    ///
    /// # Errors
    /// When they are not of that plan.
    fn use_sample(&mut self, sampled: &[RecordBatch]) -> Result<u64>;

    /// Begins an attempt at staging the rows. Writers of earlier ones are stopped, and their rows dropped at the end.
    ///
    /// # Errors
    /// When earlier writers cannot be stopped: then nobody may write.
    async fn begin_attempt(&mut self, writers: Writers) -> Result<()>;

    /// Wraps the plan of a query so that executing it stages its rows; every partition has to be executed to its end.
    ///
    /// # Errors
    /// When the query does not have the columns that this was opened with.
    fn write_plan(&self, input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>>;

    /// Takes what executing that plan gave. Rows that are missing are not noticed here: the caller compares the number.
    ///
    /// # Errors
    /// When rows would be there twice, or are not of this attempt: another attempt may do better.
    fn staged(&mut self, written: &[RecordBatch]) -> Result<StagedRows>;

    /// The staged rows as a table, for checks; `ctx` can read it.
    ///
    /// # Errors
    /// When they cannot be read.
    async fn staged_table(
        &self,
        ctx: &SessionContext,
    ) -> datafusion::error::Result<Arc<dyn TableProvider>>;

    /// Works out what publishing would change, and makes what has to be there for it. Decides nothing. `ctx` gives
    /// memory and the folder for what does not fit.
    ///
    /// # Errors
    /// When rows cannot be merged, or nothing was staged. The transaction is then only to be abandoned.
    async fn prepare(&mut self, ctx: &SessionContext) -> Result<()>;

    /// Publishes what was prepared, all or nothing, and ends. An unchanged place gets no new commit.
    ///
    /// # Errors
    /// Nothing is published, unless the error [leaves a commit](tables::Error::leaves_commit).
    async fn commit(self: Box<Self>, info: CommitInfo) -> Result<Publication>;

    /// Drops everything staged and ends. The place is as before.
    ///
    /// # Errors
    /// When something remains; the next run tries again.
    async fn abandon(self: Box<Self>) -> Result<()>;
}
