//! Attempts at staging a run's rows in other processes: executors of a cluster. Owns that rows are believed only from one
//! attempt, and only if each part of its plan ran once; how plans get to other processes is not known here.
//!
//! Other processes can do less than they seem to: a file is invisible until the run's own process publishes it, so a
//! writer that was given up and goes on does no harm. Each attempt has a folder of its own, and a fence that stops the
//! writers of the ones before (`write::fence`).

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::record_batch::RecordBatch;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

use super::{Staged, Staging};
use crate::error::{Error, Result};
use crate::log::DataFile;
use crate::write::fence::Fence;
use crate::write::task_partition::repeated;
use crate::write::{self, rows_folder};

/// A file with fewer rows than this is not worth having for the time that exchanging the rows would take.
const MIN_FILE_ROWS: usize = 10_000;

/// One attempt. Writers of it may write while it is alive.
#[derive(Debug)]
pub struct RemoteAttempt {
    number: u32,
    _fence: Fence,
}

impl Staging {
    /// Begins an attempt at staging the rows in other processes. Writers of other attempts of this run stop; what they
    /// staged is dropped with the run. No two attempts of a run may have the same number.
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

    /// As [`Staging::write_plan`], for a plan whose parts are executed by `processes`, which work on `streams` in all.
    ///
    /// With an order, rows are distributed to streams so that each partition of the table is written by one, or each
    /// range of it where it is split. Without one no row travels: each process writes its files of every partition it
    /// has rows of. If those would be small, by the partitions that the table has now, the rows are exchanged here too.
    ///
    /// # Errors
    /// As [`Staging::write_plan`].
    pub fn remote_plan(
        &self,
        attempt: &RemoteAttempt,
        input: Arc<dyn ExecutionPlan>,
        processes: usize,
        streams: usize,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let exchanged = few_rows_each(input.as_ref(), self.partitions() * processes);
        let spec = self.write_spec().in_attempt(attempt.number, exchanged);
        write::plan(input, spec, self.split.as_ref(), Some(streams))
            .map_err(|source| self.write_error(source))
    }

    /// The partitions that the table has now; 0 if it is new.
    fn partitions(&self) -> usize {
        let files = self.base.iter().flat_map(|base| &base.files);
        let partitions: HashSet<&str> = files.map(DataFile::partition).collect();
        partitions.len()
    }

    /// Reads the rows that the plan of [`Staging::remote_plan`] gave, and makes them the run's.
    ///
    /// # Errors
    /// [`Error::StagedFile`] as in [`Staging::staged`]. [`Error::RanTwice`] if a part of the plan ran more than once:
    /// then some rows would be there twice. Another attempt may do better. A part that did not run at all is not noticed
    /// here: its rows are missing in the sum, which is for the caller to compare.
    pub fn staged_remotely(
        &mut self,
        attempt: &RemoteAttempt,
        batches: &[RecordBatch],
    ) -> Result<Staged> {
        let rows = write::read_rows(batches).map_err(|source| self.write_error(source))?;
        if let Some(part) = repeated(&rows.task_partitions) {
            return Err(Error::RanTwice {
                table: self.store.location().to_owned(),
                part,
            });
        }
        let folder = rows_folder(&self.token, Some(attempt.number));
        let staged = self.checked(&folder, rows)?;
        self.rows = folder;
        Ok(staged)
    }
}

/// Whether so many files would have few rows each, as far as that can be told.
fn few_rows_each(input: &dyn ExecutionPlan, files: usize) -> bool {
    let statistics = StatisticsContext::new().compute(input, &StatisticsArgs::new());
    let rows = statistics
        .ok()
        .and_then(|statistics| statistics.num_rows.get_value().copied());
    files > 1 && rows.is_some_and(|rows| rows / files < MIN_FILE_ROWS)
}
