//! Tries at staging a run's rows in other processes: executors of a cluster. Owns that rows are believed only from one
//! try, and only if each partition has one writer; how plans get to other processes is not known here.
//!
//! Other processes can do less than they seem to: a file is invisible until the run's own process publishes it, so a
//! writer that was given up and goes on does no harm. Each try has a folder of its own, and a fence that stops the
//! writers of the ones before (`write::fence`).

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::record_batch::RecordBatch;
use datafusion::physical_plan::ExecutionPlan;

use crate::error::{Error, Result};
use crate::staging::{Staged, Staging};
use crate::write::fence::Fence;
use crate::write::{self, rows_folder};

/// One try. Writers of it may write while it is alive.
#[derive(Debug)]
pub struct RemoteAttempt {
    number: u32,
    _fence: Fence,
}

impl Staging {
    /// Begins a try at staging the rows in other processes. Writers of other tries of this run stop; what they staged is
    /// dropped with the run. No two tries of a run may have the same number.
    ///
    /// # Errors
    /// [`Error::Store`] if the fence cannot be set: then nobody may write.
    pub async fn begin_remote(&self, number: u32) -> Result<RemoteAttempt> {
        self.store.others_stage(&self.token);
        let fence = Fence::set(&self.store, &self.token, number).await?;
        Ok(RemoteAttempt {
            number,
            _fence: fence,
        })
    }

    /// As [`Staging::write_plan`], for a plan whose parts are executed by other processes, `streams` in all: rows are
    /// dealt to them so that each partition of the table is written by one.
    ///
    /// # Errors
    /// As [`Staging::write_plan`].
    pub fn remote_plan(
        &self,
        attempt: &RemoteAttempt,
        input: Arc<dyn ExecutionPlan>,
        streams: usize,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let spec = self.write_spec().in_attempt(attempt.number);
        write::plan(input, spec, Some(streams)).map_err(|source| self.write_error(source))
    }

    /// Reads the rows that the plan of [`Staging::remote_plan`] gave, and makes them the run's.
    ///
    /// # Errors
    /// [`Error::StagedFile`] as in [`Staging::staged`], and if a partition was written by two instances of the operator:
    /// then a part of the plan ran more than once, and some rows would be there twice. Another try may do better.
    pub fn staged_remotely(
        &mut self,
        attempt: &RemoteAttempt,
        batches: &[RecordBatch],
    ) -> Result<Staged> {
        let folder = rows_folder(&self.token, Some(attempt.number));
        let staged = self.staged_in(&folder, batches)?;
        let mut writers: HashMap<&str, &str> = HashMap::new();
        for file in &staged.files {
            let writer = writers.entry(&file.partition).or_insert(&file.writer);
            if *writer != file.writer {
                return Err(Error::StagedFile {
                    path: file.staged.clone(),
                    reason: "in a partition that another writer wrote too: a part of the plan ran more than once"
                        .to_owned(),
                });
            }
        }
        self.rows = folder;
        Ok(staged)
    }
}
