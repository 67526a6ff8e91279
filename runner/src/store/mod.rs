//! The run store: what each run did, kept durably.
//!
//! Owns the record of runs (state, stages, landing ledger, memory, quarantine, outputs, warnings), the
//! rule that one pipeline has at most one running run, and the fencing of attempts that lost their run.
//! Does not own published data: what a table holds is decided by the table's own commit log, so losing
//! the run store loses history and the resumption of unfinished runs, never a published row. Does not
//! decide what a run does next, read the clock or look at processes: times and the judgement whether an
//! owner lives come in as arguments.
//!
//! ```text
//!                        ┌──────────── adopt_run (attempt + 1) ────────────┐
//!                        ▼                                                 │
//! create_run ──► running ──finish_run──► failed | cancelled ───────────────┤
//!                   │    └─finish_run──► succeeded | partial   (final)     │
//!                   └──owner found dead──► interrupted ────────────────────┘
//! ```
//!
//! # Contract, the same for every backend
//!
//! - A verb that returned `Ok` is durable: it survives the loss of the process and of power.
//! - A verb is all or nothing. A caller that is cancelled while it waits for one cannot know which; it
//!   asks again, and [`RunWriter::append_chunks`], [`RunWriter::add_quarantined`],
//!   [`RunWriter::record_output`], [`RunWriter::start_stage`], [`RunWriter::finish_stage`] and
//!   [`RunWriter::finish_run`] may be repeated with the same arguments.
//! - Every verb that writes for a run names the [`RunAttempt`] it writes for, and is refused once
//!   another process adopted the run or the run is finished.
//! - Times keep microseconds.
//!
//! The contract is a suite in `tests/it/store/contract`, which each backend runs.

mod document;
mod error;
mod identity;
mod owner;
mod records;
mod run;
mod sqlite;
mod words;

pub use document::{QuarantineSummary, RunDocument, SCHEMA_VERSION, SourceLedger};
pub use error::StoreError;
pub use identity::{RunAttempt, RunId, RunIdentity};
pub use owner::{HEARTBEAT_INTERVAL, LEASE, Owner, OwnerAlive, Processes};
pub use records::{
    Chunk, LedgerTotals, MemorySnapshot, Output, Quarantined, RowPlace, Stage, StageEnd, StageName,
    Warning,
};
pub use run::{
    Claim, Counts, Decision, ErrorClass, NewRun, Outcome, Run, RunEnd, RunError, RunFilter,
    RunMode, RunState, Setting,
};
pub use sqlite::SqliteRunStore;
pub use words::UnknownWord;

use std::collections::HashSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::stream::{self, BoxStream, StreamExt};

/// What is known of runs. See the [module](self) for what every implementation promises.
///
/// All verbs of the store's traits may fail with [`StoreError::Busy`], [`StoreError::DiskFull`], [`StoreError::Io`],
/// [`StoreError::Corrupt`] and [`StoreError::Query`]; only further errors are named at each.
#[async_trait]
pub trait RunReader: std::fmt::Debug + Send + Sync {
    /// The run whose id begins with `prefix`, upper or lower case, with or without hyphens.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] with near ids, [`StoreError::Ambiguous`].
    async fn run(&self, prefix: &str) -> Result<Run, StoreError>;

    /// Runs, newest first.
    ///
    /// # Errors
    /// None of its own.
    async fn runs(&self, filter: &RunFilter) -> Result<Vec<Run>, StoreError>;

    /// The run with which "the same run asked for again" goes on: the most recent one of this identity
    /// if it has not published. It may still have a live owner; [`RunStore::adopt_run`] decides that.
    ///
    /// # Errors
    /// None of its own.
    async fn find_resumable(&self, identity: &RunIdentity) -> Result<Option<Run>, StoreError>;

    /// Up to `limit` ledger entries of a source with sequence numbers greater than `after`, in order.
    /// [`read_ledger`] reads all of them page by page.
    ///
    /// # Errors
    /// None of its own; an unknown run or source has no entries.
    async fn chunks(
        &self,
        run: RunId,
        source: &str,
        after: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Chunk>, StoreError>;

    /// Quarantined items in the order of their arrival, and how many there are in all.
    ///
    /// # Errors
    /// None of its own.
    async fn quarantined(
        &self,
        run: RunId,
        offset: u64,
        limit: u32,
    ) -> Result<QuarantineSummary, StoreError>;

    /// The stages of every attempt of a run, in the order in which they began.
    ///
    /// # Errors
    /// None of its own; an unknown run has none.
    async fn stages(&self, run: RunId) -> Result<Vec<Stage>, StoreError>;

    /// Everything that is known of a run as one document, read in one snapshot.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    async fn document(&self, run: RunId) -> Result<RunDocument, StoreError>;
}

/// What the process that works on a run records of it. Every verb names the attempt, and is refused once another process
/// adopted the run or the run is finished.
#[async_trait]
pub trait RunWriter: std::fmt::Debug + Send + Sync {
    /// Says that the owner is alive, at least every [`HEARTBEAT_INTERVAL`].
    ///
    /// # Errors
    /// [`StoreError::Superseded`] or [`StoreError::NotRunning`]: this process lost the run and stops.
    async fn heartbeat(&self, attempt: RunAttempt, at: DateTime<Utc>) -> Result<(), StoreError>;

    /// Whether somebody asked this attempt to stop.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn cancel_requested(&self, attempt: RunAttempt) -> Result<bool, StoreError>;

    /// Keeps where the plan runs and why, replacing an earlier decision of the run.
    ///
    /// # Errors
    /// [`StoreError::Superseded`], [`StoreError::NotRunning`].
    async fn record_decision(
        &self,
        attempt: RunAttempt,
        mode: RunMode,
        decision: &Decision,
    ) -> Result<(), StoreError>;

    /// Notes that a stage began. A stage that began before in this attempt keeps its first time.
    ///
    /// # Errors
    /// [`StoreError::Superseded`], [`StoreError::NotRunning`].
    async fn start_stage(
        &self,
        attempt: RunAttempt,
        stage: StageName,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError>;

    /// Notes what a stage did; a repetition replaces it.
    ///
    /// # Errors
    /// [`StoreError::StageNotStarted`], [`StoreError::Superseded`], [`StoreError::NotRunning`].
    async fn finish_stage(
        &self,
        attempt: RunAttempt,
        stage: StageName,
        end: &StageEnd,
    ) -> Result<(), StoreError>;

    /// Appends entries to the landing ledger, all or none. Within a source sequence numbers count 0, 1,
    /// 2, … without gaps. An entry that is already there, equal in all fields but `landed_at`, is left as it is.
    ///
    /// # Errors
    /// [`StoreError::LedgerGap`] when a number is skipped, [`StoreError::LedgerConflict`] when the
    /// number is taken by a different entry, [`StoreError::Superseded`], [`StoreError::NotRunning`].
    async fn append_chunks(&self, attempt: RunAttempt, chunks: &[Chunk]) -> Result<(), StoreError>;

    /// Keeps one measurement of this process's memory.
    ///
    /// # Errors
    /// [`StoreError::Superseded`], [`StoreError::NotRunning`].
    async fn add_snapshot(
        &self,
        attempt: RunAttempt,
        snapshot: &MemorySnapshot,
    ) -> Result<(), StoreError>;

    /// Puts items into quarantine, all or none, and returns how many were new: an item of the same
    /// source, URL, reason and offset is kept once per run, as first seen.
    ///
    /// # Errors
    /// [`StoreError::Superseded`], [`StoreError::NotRunning`].
    async fn add_quarantined(
        &self,
        attempt: RunAttempt,
        items: &[Quarantined],
    ) -> Result<u64, StoreError>;

    /// Forgets the quarantined items of a source whose unit is not among `units`, and returns how many.
    /// A new attempt asks for those units again and finds out anew what is wrong with them.
    ///
    /// # Errors
    /// [`StoreError::Superseded`], [`StoreError::NotRunning`].
    async fn retain_quarantined(
        &self,
        attempt: RunAttempt,
        source: &str,
        units: &HashSet<String>,
    ) -> Result<u64, StoreError>;

    /// Keeps something that the user should know although the run goes on.
    ///
    /// # Errors
    /// [`StoreError::Superseded`], [`StoreError::NotRunning`].
    async fn add_warning(&self, attempt: RunAttempt, warning: &Warning) -> Result<(), StoreError>;

    /// Keeps what an output of the run holds now, replacing what was kept under its name.
    ///
    /// # Errors
    /// [`StoreError::Superseded`], [`StoreError::NotRunning`].
    async fn record_output(&self, attempt: RunAttempt, output: &Output) -> Result<(), StoreError>;

    /// Ends the run. The same end asked for again answers with the stored run.
    ///
    /// # Errors
    /// [`StoreError::Superseded`], [`StoreError::NotRunning`] when it ended otherwise.
    async fn finish_run(&self, attempt: RunAttempt, end: &RunEnd) -> Result<Run, StoreError>;
}

/// Where runs are recorded: who works on which, what is known of them, and what is recorded.
#[async_trait]
pub trait RunStore: RunReader + RunWriter {
    /// Records a new run as running, attempt 1. Decided in one transaction, so that of any number of
    /// processes asking at once one wins. Running runs of the same pipeline whose owner is not alive
    /// become [`RunState::Interrupted`] on the way.
    ///
    /// # Errors
    /// [`StoreError::AlreadyRunning`] when a run of this pipeline has a live owner; nothing is changed.
    async fn create_run(
        &self,
        new: &NewRun,
        owner_alive: &OwnerAlive<'_>,
    ) -> Result<Run, StoreError>;

    /// Takes an unfinished run over: the claim's owner, its settings, attempt + 1, running again. The
    /// attempt named is the one that the caller saw, so that of several adopters one wins. How the
    /// attempt before ended is kept as a warning.
    ///
    /// # Errors
    /// [`StoreError::AlreadyRunning`] when this or another run of the pipeline has a live owner,
    /// [`StoreError::Superseded`] when someone adopted it first, [`StoreError::NotResumable`] when it
    /// has published, [`StoreError::NotFound`].
    async fn adopt_run(
        &self,
        seen: RunAttempt,
        claim: &Claim,
        owner_alive: &OwnerAlive<'_>,
    ) -> Result<Run, StoreError>;

    /// Asks the process that works on this attempt to stop; it looks with [`RunWriter::cancel_requested`]. Asking again
    /// changes nothing.
    ///
    /// # Errors
    /// [`StoreError::NotRunning`], [`StoreError::Superseded`], [`StoreError::NotFound`].
    async fn request_cancel(
        &self,
        attempt: RunAttempt,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError>;

    /// Waits for writes under way and lets go of the store. Every verb fails afterwards.
    async fn close(&self);
}

/// How many ledger entries [`read_ledger`] asks for at once.
const LEDGER_PAGE: u32 = 1_000;

/// All ledger entries of a source in order, read in pages: no transaction stays open between them, and
/// memory does not grow with the ledger. Entries appended meanwhile are included.
pub fn read_ledger<'a>(
    store: &'a (impl RunReader + ?Sized),
    run: RunId,
    source: &'a str,
) -> BoxStream<'a, Result<Chunk, StoreError>> {
    let pages = stream::try_unfold(
        Some(None),
        move |position: Option<Option<u64>>| async move {
            let Some(after) = position else {
                return Ok(None);
            };
            let page = store.chunks(run, source, after, LEDGER_PAGE).await?;
            let next = page.last().map(|chunk| Some(chunk.sequence));
            Ok::<_, StoreError>(Some((page, next)))
        },
    );
    pages
        .flat_map(|page| match page {
            Ok(chunks) => stream::iter(chunks.into_iter().map(Ok).collect::<Vec<_>>()),
            Err(error) => stream::iter(vec![Err(error)]),
        })
        .boxed()
}
