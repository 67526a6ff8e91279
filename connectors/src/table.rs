//! Tables as sinks: a [`Table`] in a folder or a bucket.
//!
//! Owns how the steps of a transaction are those of `tables`. Layout, log and recovery are `tables`' own.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use tables::{
    Begun, Change, Commit, CommitInfo, Committed, Error, FilesRead, Format, RemoteAttempt, Staged,
    StagedInputs, Staging, Table,
};

use crate::sink::{Opened, Opening, Publication, Result, Sink, StagedRows, Transaction, Writers};
use crate::staged::StagedFiles;

#[async_trait]
impl Sink for Table {
    async fn open(&self, opening: Opening<'_>) -> Result<Opened> {
        let Opening {
            run_id,
            schema,
            options,
            claim,
            checked,
        } = opening;
        let format = options.format;
        match self.begin_once(run_id, options, schema, claim).await? {
            Begun::Committed(committed) => Ok(Opened::Committed(committed)),
            Begun::Staging(mut staging) => {
                if !checked {
                    staging.rows_are_not_read();
                }
                Ok(Opened::Transaction(Box::new(TableTransaction {
                    staging: *staging,
                    format,
                    executors: None,
                    staged: None,
                    change: None,
                })))
            }
        }
    }
}

/// A run that writes into the staging area of a table.
#[derive(Debug)]
struct TableTransaction {
    staging: Staging,
    format: Format,
    /// The attempt under way, if executors work on it.
    executors: Option<Executors>,
    staged: Option<Staged>,
    change: Option<Change>,
}

/// An attempt of executors.
#[derive(Debug)]
struct Executors {
    attempt: RemoteAttempt,
    processes: usize,
    streams: usize,
}

impl TableTransaction {
    fn out_of_order(&self, missing: &str) -> Error {
        Error::Write {
            table: self.staging.location().to_owned(),
            source: DataFusionError::Internal(format!("the rows of the output were not {missing}")),
        }
    }
}

#[async_trait]
impl Transaction for TableTransaction {
    fn log_position(&self) -> u64 {
        self.staging.log_position()
    }

    fn finished(&self) -> Option<u64> {
        self.staging.recovery().rolled_forward
    }

    fn files_read(&self) -> FilesRead {
        let base = self.staging.base();
        base.map(|base| base.files_read.clone()).unwrap_or_default()
    }

    async fn stage_inputs(
        &self,
        folder: &str,
        files: &[PathBuf],
        ctx: &SessionContext,
    ) -> Result<StagedInputs> {
        self.staging.stage_inputs(folder, files, ctx).await
    }

    fn sample_query(&self, query: &LogicalPlan) -> Result<Option<LogicalPlan>> {
        self.staging.sample_query(query)
    }

    fn sample_plan(&self, input: Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        self.staging.sample_plan(input)
    }

    fn use_sample(&mut self, sampled: &[RecordBatch]) -> Result<u64> {
        self.staging.split(sampled)
    }

    async fn begin_attempt(&mut self, writers: Writers) -> Result<()> {
        self.staged = None;
        self.executors = match writers {
            Writers::Here => None,
            Writers::Executors {
                attempt,
                processes,
                streams,
            } => Some(Executors {
                attempt: self.staging.begin_remote(attempt).await?,
                processes,
                streams,
            }),
        };
        Ok(())
    }

    fn write_plan(&self, input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        match &self.executors {
            Some(executors) => self.staging.remote_plan(
                &executors.attempt,
                input,
                executors.processes,
                executors.streams,
            ),
            None => self.staging.write_plan(input),
        }
    }

    fn staged(&mut self, written: &[RecordBatch]) -> Result<StagedRows> {
        let staged = match &self.executors {
            Some(executors) => self.staging.staged_remotely(&executors.attempt, written)?,
            None => self.staging.staged(written)?,
        };
        let rows = StagedRows {
            rows: staged.rows(),
            discarded: staged.rows_discarded,
            bytes: staged.bytes(),
            plain_bytes: staged.plain_bytes(),
        };
        self.staged = Some(staged);
        Ok(rows)
    }

    async fn staged_table(
        &self,
        ctx: &SessionContext,
    ) -> std::result::Result<Arc<dyn TableProvider>, DataFusionError> {
        let folder = self
            .staging
            .staged_url(ctx)
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        let has_files = (self.staged.as_ref()).is_some_and(|staged| !staged.files.is_empty());
        let rows = StagedFiles {
            folder,
            has_files,
            format: self.format,
            schema: self.staging.schema(),
        };
        rows.table(ctx).await
    }

    async fn prepare(&mut self, ctx: &SessionContext) -> Result<()> {
        let staged = self.staged.take();
        let staged = staged.ok_or_else(|| self.out_of_order("staged"))?;
        self.change = Some(self.staging.prepare(ctx, staged).await?);
        Ok(())
    }

    async fn commit(mut self: Box<Self>, info: CommitInfo) -> Result<Publication> {
        let change = self.change.take();
        let change = change.ok_or_else(|| self.out_of_order("prepared"))?;
        let commit = self.staging.publish(change.clone(), info).await?;
        Ok(published(change, commit))
    }

    async fn abandon(self: Box<Self>) -> Result<()> {
        self.staging.abandon().await
    }
}

fn published(change: Change, commit: Commit) -> Publication {
    Publication {
        commit: commit.number,
        run_id: commit.run_id,
        committed_before: None,
        rows: change.rows_staged,
        rows_discarded: change.rows_discarded,
        rows_read: None,
        bytes: change.bytes_written,
        files_added: change.added.len() as u64,
        files_removed: (change.removed.len() + change.replaced()) as u64,
        files_unchanged: change.unchanged.len() as u64,
        files_rewritten: change.rewritten,
        merge: change.merge,
        schema_changes: change.schema_changes,
        totals: commit.totals,
        window: commit.window,
        uncleared: commit.uncleared,
    }
}

impl From<Committed> for Publication {
    fn from(before: Committed) -> Self {
        Self {
            commit: before.number,
            run_id: before.run_id,
            committed_before: Some(before.committed_at),
            rows: before.rows_staged,
            rows_discarded: before.rows_discarded,
            rows_read: before.rows_read,
            bytes: before.added.bytes,
            files_added: before.added.files,
            files_removed: before.files_removed,
            files_unchanged: 0,
            files_rewritten: 0,
            merge: None,
            schema_changes: Vec::new(),
            totals: before.totals,
            window: None,
            uncleared: None,
        }
    }
}
