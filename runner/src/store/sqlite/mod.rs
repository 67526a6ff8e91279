//! The run store in one SQLite file, for one machine.
//!
//! Owns the file: its settings, schema and every statement on it. Any number of processes may have it
//! open. The file is in write-ahead mode, so readers do not wait for a writer; writers wait for each
//! other, and every write is one short transaction begun with `BEGIN IMMEDIATE`, so that what it read is
//! still true when it writes. `synchronous = FULL` makes a commit durable before it is acknowledged. The
//! file must be on a local filesystem: SQLite's write-ahead mode does not work over a network one.
//!
//! Times are stored as RFC 3339 text in UTC with six decimals rather than as integers: all of them have
//! the same width, so their text order is their time order, and a person who opens the file can read them.

mod document;
mod fault;
mod ledger;
mod open;
mod records;
mod rows;
mod runs;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};
use sqlx::Connection;
use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, Transaction};

use self::open::Connections;
use super::document::{QuarantineSummary, RunDocument};
use super::error::StoreError;
use super::identity::{RunAttempt, RunId, RunIdentity};
use super::owner::OwnerAlive;
use super::records::{
    Chunk, MemorySnapshot, Output, Quarantined, Stage, StageEnd, StageName, Warning,
};
use super::run::{Claim, Decision, NewRun, Run, RunEnd, RunFilter, RunMode};
use super::{RunReader, RunStore, RunWriter};

/// A run store in a SQLite file. Cloning is not needed: share it behind an [`Arc`](std::sync::Arc).
#[derive(Debug)]
pub struct SqliteRunStore {
    path: PathBuf,
    connections: Connections,
}

impl SqliteRunStore {
    /// Opens the store in the file `path`, creating it and its folder where they are missing and
    /// bringing its schema up to date. Several processes may do so at once.
    ///
    /// # Errors
    /// [`StoreError::Open`], [`StoreError::Unwritable`], [`StoreError::Corrupt`], [`StoreError::Foreign`],
    /// [`StoreError::NewerSchema`], [`StoreError::Schema`], [`StoreError::Busy`], [`StoreError::DiskFull`],
    /// [`StoreError::Io`]. What was in the file stays as it was.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            connections: open::open(path).await?,
            path: path.to_owned(),
        })
    }

    /// Opens the store only if its file is there, for commands that look and must leave no trace.
    ///
    /// # Errors
    /// As [`SqliteRunStore::open`].
    pub async fn open_existing(path: &Path) -> Result<Option<Self>, StoreError> {
        match tokio::fs::try_exists(path).await {
            Ok(true) => Self::open(path).await.map(Some),
            Ok(false) => Ok(None),
            Err(source) => Err(StoreError::Open {
                path: path.to_owned(),
                source: source.into(),
            }),
        }
    }

    /// The file, as it was named when the store was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives an error of the database its place and the operation that met it.
    fn fault(&self, operation: &'static str) -> impl Fn(sqlx::Error) -> StoreError + '_ {
        move |error| fault::store_error(&self.path, operation, error)
    }

    /// Begins a transaction that holds the write lock from its first moment.
    async fn begin_write(
        &self,
        operation: &'static str,
    ) -> Result<Transaction<'static, Sqlite>, StoreError> {
        match self.connections.writer.begin_with("BEGIN IMMEDIATE").await {
            // A commit that failed for want of space leaves the connection's count of open transactions wrong for
            // good. SQLite itself has rolled back, so a new connection goes on from there.
            Err(sqlx::Error::InvalidSavePointStatement) => {
                let spoilt = self
                    .connections
                    .writer
                    .acquire()
                    .await
                    .map_err(self.fault(operation))?;
                spoilt
                    .detach()
                    .close_hard()
                    .await
                    .map_err(self.fault(operation))?;
                self.connections
                    .writer
                    .begin_with("BEGIN IMMEDIATE")
                    .await
                    .map_err(self.fault(operation))
            }
            begun => begun.map_err(self.fault(operation)),
        }
    }

    async fn commit(
        &self,
        transaction: Transaction<'static, Sqlite>,
        operation: &'static str,
    ) -> Result<(), StoreError> {
        transaction.commit().await.map_err(self.fault(operation))
    }

    async fn reader(&self, operation: &'static str) -> Result<PoolConnection<Sqlite>, StoreError> {
        self.connections
            .readers
            .acquire()
            .await
            .map_err(self.fault(operation))
    }
}

/// A time as the store writes it.
fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// A count as SQLite's integers hold it. Nothing that is counted reaches 2⁶³; if it did, the largest
/// integer would say "too many to count" rather than lose the run.
fn integer(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[async_trait]
impl RunReader for SqliteRunStore {
    async fn run(&self, prefix: &str) -> Result<Run, StoreError> {
        self.find_by_prefix(prefix).await
    }

    async fn runs(&self, filter: &RunFilter) -> Result<Vec<Run>, StoreError> {
        self.list(filter).await
    }

    async fn find_resumable(&self, identity: &RunIdentity) -> Result<Option<Run>, StoreError> {
        let newest = self.newest_of(identity).await?;
        Ok(newest.filter(|run| run.state.is_resumable()))
    }

    async fn chunks(
        &self,
        run: RunId,
        source: &str,
        after: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Chunk>, StoreError> {
        self.ledger_page(run, source, after, limit).await
    }

    async fn quarantined(
        &self,
        run: RunId,
        offset: u64,
        limit: u32,
    ) -> Result<QuarantineSummary, StoreError> {
        let mut connection = self.reader("list quarantined items").await?;
        self.quarantine_page(&mut connection, run, offset, limit)
            .await
    }

    async fn stages(&self, run: RunId) -> Result<Vec<Stage>, StoreError> {
        let mut connection = self.reader("read the stages of a run").await?;
        Self::stages(self, &mut connection, run).await
    }

    async fn document(&self, run: RunId) -> Result<RunDocument, StoreError> {
        self.assemble(run).await
    }
}

#[async_trait]
impl RunWriter for SqliteRunStore {
    async fn heartbeat(&self, attempt: RunAttempt, at: DateTime<Utc>) -> Result<(), StoreError> {
        self.beat(attempt, at).await
    }

    async fn cancel_requested(&self, attempt: RunAttempt) -> Result<bool, StoreError> {
        self.is_asked_to_cancel(attempt).await
    }

    async fn record_decision(
        &self,
        attempt: RunAttempt,
        mode: RunMode,
        decision: &Decision,
    ) -> Result<(), StoreError> {
        self.decide(attempt, mode, decision).await
    }

    async fn start_stage(
        &self,
        attempt: RunAttempt,
        stage: StageName,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.insert_stage(attempt, stage, at).await
    }

    async fn finish_stage(
        &self,
        attempt: RunAttempt,
        stage: StageName,
        end: &StageEnd,
    ) -> Result<(), StoreError> {
        self.end_stage(attempt, stage, end).await
    }

    async fn append_chunks(&self, attempt: RunAttempt, chunks: &[Chunk]) -> Result<(), StoreError> {
        self.append(attempt, chunks).await
    }

    async fn add_snapshot(
        &self,
        attempt: RunAttempt,
        snapshot: &MemorySnapshot,
    ) -> Result<(), StoreError> {
        self.insert_snapshot(attempt, snapshot).await
    }

    async fn add_quarantined(
        &self,
        attempt: RunAttempt,
        items: &[Quarantined],
    ) -> Result<u64, StoreError> {
        self.insert_quarantined(attempt, items).await
    }

    async fn retain_quarantined(
        &self,
        attempt: RunAttempt,
        source: &str,
        units: &HashSet<String>,
    ) -> Result<u64, StoreError> {
        self.delete_quarantined_except(attempt, source, units).await
    }

    async fn add_warning(&self, attempt: RunAttempt, warning: &Warning) -> Result<(), StoreError> {
        self.insert_warning(attempt, warning).await
    }

    async fn record_output(&self, attempt: RunAttempt, output: &Output) -> Result<(), StoreError> {
        self.upsert_output(attempt, output).await
    }

    async fn finish_run(&self, attempt: RunAttempt, end: &RunEnd) -> Result<Run, StoreError> {
        self.finish(attempt, end).await
    }
}

#[async_trait]
impl RunStore for SqliteRunStore {
    async fn create_run(
        &self,
        new: &NewRun,
        owner_alive: &OwnerAlive<'_>,
    ) -> Result<Run, StoreError> {
        self.create(new, owner_alive).await
    }

    async fn adopt_run(
        &self,
        seen: RunAttempt,
        claim: &Claim,
        owner_alive: &OwnerAlive<'_>,
    ) -> Result<Run, StoreError> {
        self.adopt(seen, claim, owner_alive).await
    }

    async fn request_cancel(
        &self,
        attempt: RunAttempt,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.ask_to_cancel(attempt, at).await
    }

    async fn close(&self) {
        // Readers first: the last connection to leave folds the write-ahead log into the file.
        self.connections.readers.close().await;
        self.connections.writer.close().await;
    }
}
