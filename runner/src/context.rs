//! What every stage of one run shares: its place in the store, its settings, its memory monitor, its cancellation.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::Utc;
use connectors::Registry;
use serde_json::Value;
use tables::StorageOptions;

use super::compute::Compute;
use super::error::RunError;
use super::event::{RunEvent, RunObserver, StageProgress, Status};
use super::memory::{MemoryMonitor, Share};
use super::stop::{Stop, StopReason};
use crate::settings::RunSettings;
use crate::store::{
    MemorySnapshot, RunAttempt, RunIdentity, RunStore, StageEnd, StageName, Warning,
};

/// One attempt of one run.
#[derive(Debug)]
pub struct RunContext {
    /// The kinds of sources that there are.
    pub registry: Arc<Registry>,
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
    /// How it reaches object stores, with clients and counts of its own.
    pub storage: StorageOptions,
    /// Measures this process.
    pub memory: Arc<MemoryMonitor>,
    /// Its share of the process's memory.
    pub share: Share,
    /// Where queries are planned and executed.
    pub compute: Compute,
    /// Is told what happens.
    pub observer: Arc<dyn RunObserver>,
    /// Whether and why the run has to stop.
    pub stop: Stop,
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

    /// Tells the observer.
    pub fn tell(&self, event: &RunEvent<'_>) {
        self.observer.observe(event);
    }

    /// Tells the observer how it learns how far a stage is.
    pub fn show(&self, stage: StageName, status: impl Fn() -> Status + Send + Sync + 'static) {
        self.tell(&RunEvent::Progress {
            stage,
            progress: StageProgress::new(status),
        });
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
        self.tell(&RunEvent::Warning(&message));
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
        if self.stop.is_asked() {
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
            () = self.stop.asked() => Err(self.interrupted()),
            done = self.compute.run(work) => done.map_err(|_| self.interrupted()),
        }
    }

    /// Why the run stops, once it was cancelled.
    pub fn interrupted(&self) -> RunError {
        match self.stop.reason() {
            Some(StopReason::OutOfMemory(exceeded)) => RunError::Memory {
                source: exceeded.clone(),
            },
            Some(StopReason::Superseded) | None => RunError::Superseded,
            Some(reason) => RunError::Interrupted {
                reason: reason.clone(),
            },
        }
    }
}
