//! Maintenance of a table as a library call. Owns the memory, threads and folders that merging files needs; which files are
//! merged, and how, is `tables`'.

use std::path::Path;
use std::sync::Arc;

use chrono::Utc;
use engine::SessionOptions;
use tables::{CompactOptions, Compaction, StorageOptions, Table};

use crate::compute::Compute;
use crate::error::RunError;
use crate::memory::{MemoryMonitor, ProcessMemory, Record};
use crate::scratch::Scratch;
use crate::settings::RunSettings;
use crate::stop::{Stop, StopReason};
use crate::store::RunId;

/// What maintenance is given by the process that it is in.
#[derive(Debug)]
pub struct Maintenance<'a> {
    /// Where spill files go, in a folder that is removed at the end.
    pub state_dir: &'a Path,
    /// How object stores are reached.
    pub storage: StorageOptions,
    /// What the process may hold.
    pub memory: Arc<ProcessMemory>,
    /// The ceiling of this work.
    pub settings: &'a RunSettings,
}

impl Maintenance<'_> {
    /// Merges the small files of a table, and tells the highest resident memory meanwhile, bytes. May be repeated; when
    /// `stop` is asked, or the future is dropped, the table is as before.
    ///
    /// # Errors
    /// [`RunError::Care`] with the table's error, [`RunError::Stopped`] and [`RunError::Memory`] when it had to stop.
    pub async fn compact(
        self,
        table: &Table,
        options: CompactOptions,
        stop: &Stop,
    ) -> Result<(Compaction, u64), RunError> {
        let monitor = MemoryMonitor::start();
        let run = RunId::mint(Utc::now());
        let scratch = Scratch::make(self.state_dir, run)?;
        let ctx = engine::session(&SessionOptions {
            storage: self.storage,
            budget: self.settings.budget(),
            spill_dir: scratch.folder().to_path_buf(),
            settings: Vec::new(),
        })
        .map_err(|source| RunError::Engine {
            doing: String::from("building the session"),
            source: Box::new(source),
        })?;
        let unrecorded: Record = Box::new(|_| Box::pin(std::future::ready(())));
        let ceiling = self.settings.memory.value;
        let _share = self.memory.share(ceiling, stop, unrecorded)?;
        let compute = Compute::start().map_err(RunError::no_threads)?;
        let (stopped, merged) = (stop.token().cancelled_owned(), table.clone());
        let merging = compute.run(async move {
            let run = run.to_string();
            merged.compact(&run, &ctx, &options, stopped).await
        });
        let merging = merging.await;
        let merging = merging.map_err(|error| RunError::no_threads(error.into()))?;
        let done = match (merging, stop.reason()) {
            (Err(tables::Error::Stopped { .. }), Some(StopReason::OutOfMemory(exceeded))) => {
                return Err(RunError::Memory {
                    source: exceeded.clone(),
                });
            }
            (Err(tables::Error::Stopped { .. }), Some(reason)) => {
                return Err(RunError::Stopped {
                    reason: reason.clone(),
                });
            }
            (done, _) => done?,
        };
        Ok((done, monitor.report().peak))
    }
}
