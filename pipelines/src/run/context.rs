//! What every stage of one run shares: its place in the store, its settings, its memory monitor, its cancellation.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::Utc;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::ceiling::Ceiling;
use super::compute::Compute;
use super::error::RunError;
use crate::memory::MemoryMonitor;
use crate::progress::Progress;
use crate::settings::RunSettings;
use crate::signals::Signals;
use crate::store::{
    MemorySnapshot, RunAttempt, RunIdentity, RunStore, StageEnd, StageName, Warning,
};

/// One attempt of one run.
#[derive(Debug)]
pub struct RunContext {
    /// Where the run is recorded.
    pub store: Arc<dyn RunStore>,
    /// Which run, which attempt.
    pub attempt: RunAttempt,
    /// The pipeline's name.
    pub pipeline: String,
    /// What was asked for.
    pub identity: RunIdentity,
    /// The run's own folder: landed chunks, spill files.
    pub work_dir: PathBuf,
    /// What was asked for and from where.
    pub settings: RunSettings,
    /// Measures this process.
    pub memory: Arc<MemoryMonitor>,
    /// Stops the run that passes its ceiling.
    pub ceiling: Ceiling,
    /// Where queries are planned and executed.
    pub compute: Compute,
    /// Shows what happens.
    pub progress: Arc<Progress>,
    /// Set when the run has to stop: by a signal, or because another process took it over.
    pub cancel: CancellationToken,
    /// Which signal came.
    pub signals: Signals,
}

/// What a stage that ended has to tell.
#[derive(Debug, Clone, Default)]
pub struct StageReport {
    /// Rows it handled.
    pub rows: u64,
    /// Bytes it handled.
    pub bytes: u64,
    /// Further facts for the run document.
    pub detail: Value,
}

impl RunContext {
    /// Folder for the engine's spill files.
    pub fn spill_dir(&self) -> PathBuf {
        self.work_dir.join("spill")
    }

    /// Notes that a stage begins.
    ///
    /// # Errors
    /// When the store refuses: the run belongs to another process now, or the store cannot be written.
    pub async fn begin(&self, stage: StageName) -> Result<(), RunError> {
        tracing::info!(run = %self.attempt.run, stage = %stage, "stage begins");
        self.store
            .start_stage(self.attempt, stage, Utc::now())
            .await?;
        Ok(())
    }

    /// Notes what a stage did.
    ///
    /// # Errors
    /// As [`RunContext::begin`].
    pub async fn end(&self, stage: StageName, report: StageReport) -> Result<(), RunError> {
        tracing::info!(run = %self.attempt.run, stage = %stage, rows = report.rows, bytes = report.bytes, "stage ended");
        let end = StageEnd {
            at: Utc::now(),
            rows: report.rows,
            bytes: report.bytes,
            detail: report.detail,
        };
        self.store.finish_stage(self.attempt, stage, &end).await?;
        Ok(())
    }

    /// Keeps one measurement of memory.
    ///
    /// # Errors
    /// As [`RunContext::begin`].
    pub async fn snapshot(&self, label: &str) -> Result<(), RunError> {
        let report = self.memory.report();
        let snapshot = MemorySnapshot {
            at: Utc::now(),
            label: String::from(label),
            rss_bytes: report.now.resident,
            virtual_bytes: report.now.virtual_size,
            percent: report.percent,
            peak_bytes: report.peak,
            average_bytes: report.average,
        };
        self.store.add_snapshot(self.attempt, &snapshot).await?;
        Ok(())
    }

    /// Says something that does not stop the run, and keeps it.
    ///
    /// # Errors
    /// As [`RunContext::begin`].
    pub async fn warn(&self, message: String) -> Result<(), RunError> {
        self.progress.warn(&message);
        self.store
            .add_warning(
                self.attempt,
                &Warning {
                    at: Utc::now(),
                    message,
                },
            )
            .await?;
        Ok(())
    }

    /// Refuses to go on once the run was asked to stop.
    ///
    /// # Errors
    /// [`RunError::Interrupted`].
    pub fn check_cancelled(&self) -> Result<(), RunError> {
        if self.cancel.is_cancelled() {
            Err(self.interrupted())
        } else {
            Ok(())
        }
    }

    /// Plans or executes a query, beside what keeps the run going. A run that was asked to stop does not wait for it.
    ///
    /// # Errors
    /// [`RunError::Interrupted`] and what else cancels a run.
    pub async fn query<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, RunError> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(self.interrupted()),
            done = self.compute.run(work) => done.map_err(|_| self.interrupted()),
        }
    }

    /// Why the run stops, once it was cancelled.
    pub fn interrupted(&self) -> RunError {
        if let Some(exceeded) = self.ceiling.exceeded() {
            return RunError::Memory {
                source: exceeded.clone(),
            };
        }
        match self.signals.received() {
            Some(signal) => RunError::Interrupted { signal },
            None => RunError::Superseded,
        }
    }
}
