//! Compaction: the small files of a partition become few large ones, with the same rows. Owns which files are merged;
//! they are written by `write` and published like any others.
//!
//! A file is small when it has less than half of the target size, and, where the table's partitions are split, less than
//! half of the rows. The small files of a partition are merged when there
//! are enough of them, and larger ones are left alone, so that compacting every day costs what arrived that day. Where
//! the log says that the table has an order, the new files have it.
//!
//! Partitions are rewritten one after the other, each in one stream under the memory pool of the session; all of them
//! are one commit. Rows are counted: a partition that would come out with another number of them ends the run.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::execution::SessionStateBuilder;
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;
use tracing::{info, warn};

use super::{Change, CommitAction, CommitMode, MaintenanceAction, Requirements};
use crate::error::{Error, Result};
use crate::log::{Commit, DataFile};
use crate::maintenance::{self, PartitionFilter};
use crate::options::TableOptions;
use crate::scan::{Files, Source};
use crate::staging::Staging;
use crate::table::Table;
use crate::write::{self, StagedFile};

/// Rows in a batch, and rows in a batch when memory is short.
const BATCH_ROWS: [usize; 2] = [8192, 1024];

/// What to compact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactOptions {
    /// About how large files should be, in bytes. Default: the target file size in the table's log, else 512 MiB.
    pub target_bytes: Option<u64>,
    /// Only partitions that one of these takes. Default: all.
    pub partitions: Vec<PartitionFilter>,
    /// Small files that a partition must have to be touched; at least 2, which is the default.
    pub min_files: usize,
}

impl Default for CompactOptions {
    fn default() -> Self {
        Self {
            target_bytes: None,
            partitions: Vec::new(),
            min_files: 2,
        }
    }
}

/// What a compaction did, or would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Compaction {
    /// The size that files should have, in bytes.
    pub target_bytes: u64,
    /// The partitions that are rewritten, by their paths.
    pub partitions: Vec<CompactedPartition>,
    /// Partitions with files that are left as they are.
    pub untouched: u64,
    /// Whether the log says how the table is written. If not, its files get the default encoding and no order.
    pub options_known: bool,
    /// The commit that it made; `None` for a plan, and when there was nothing to do.
    pub commit: Option<u64>,
    /// See [`Commit::uncleared`].
    pub uncleared: Option<String>,
}

/// The files of one partition that become fewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactedPartition {
    /// The partition's path below the table.
    pub partition: String,
    /// Rows in the files; the same before and after.
    pub rows: u64,
    /// Small files before.
    pub files_before: u64,
    /// Their bytes.
    pub bytes_before: u64,
    /// Files after; `None` in a plan.
    pub files_after: Option<u64>,
    /// Their bytes; `None` in a plan.
    pub bytes_after: Option<u64>,
}

impl Table {
    /// What [`Table::compact`] would rewrite. Reads the log only, takes no lease and writes nothing.
    ///
    /// # Errors
    /// [`Error::NoTable`], [`Error::NotReadBack`] for a format that is only written, [`Error::Options`] for a partition
    /// column that the table does not have, those of [`Table::current`].
    pub async fn plan_compaction(&self, options: &CompactOptions) -> Result<Compaction> {
        let commit = maintenance::current(self).await?;
        self.check_read_back(&commit)?;
        maintenance::check_filters(&options.partitions, &commit)?;
        Ok(Work::of(&commit, options).into_plan(&commit))
    }

    /// Merges small files, partition by partition, in one commit of mode `compact`. Rows, schema, cursors and intervals
    /// stay as they are. Where there is nothing to do, nothing is written and no lease is taken, unless a process that was
    /// cut off left something to finish.
    ///
    /// `ctx` gives the memory pool and the folder for spilling. When `stop` completes before the commit is decided, the
    /// work ends with [`Error::Stopped`] and the table is as before; later it is ignored. Asked for again after any
    /// failure, compaction begins anew with what is small then.
    ///
    /// # Errors
    /// Those of [`Table::plan_compaction`], [`Table::begin`] and [`Staging::publish`]; [`Error::Compact`] with the
    /// engine's error; [`Error::RowsChanged`].
    pub async fn compact(
        &self,
        run_id: &str,
        ctx: &SessionContext,
        options: &CompactOptions,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<Compaction> {
        let plan = self.plan_compaction(options).await?;
        if plan.partitions.is_empty() {
            maintenance::bring_to_rest(self).await?;
            return Ok(plan);
        }
        let action = Compact { ctx, options };
        let (mut compaction, commit) = maintenance::carry_out(self, run_id, action, stop).await?;
        if let Some(commit) = commit {
            compaction.commit = Some(commit.number);
            compaction.uncleared = commit.uncleared;
        }
        Ok(compaction)
    }

    fn check_read_back(&self, commit: &Commit) -> Result<()> {
        let format = commit.format();
        if format.is_read_back() {
            return Ok(());
        }
        Err(Error::NotReadBack {
            table: self.location().to_owned(),
            format: format.name(),
            problem: "they cannot be compacted. Fewer and larger files come of publishing with single_file true, or of \
                      storing the output as PARQUET"
                .to_owned(),
        })
    }
}

/// Merging the small files of each partition.
struct Compact<'a> {
    ctx: &'a SessionContext,
    options: &'a CompactOptions,
}

impl fmt::Debug for Compact<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compact")
            .field("options", self.options)
            .finish_non_exhaustive()
    }
}

impl CommitAction for Compact<'_> {
    fn mode(&self) -> CommitMode {
        CommitMode::Compact
    }

    fn requirements(&self) -> Requirements {
        Requirements {
            carries_options: true,
            ..Requirements::default()
        }
    }
}

/// Which files of which partitions are merged.
struct Work {
    target_bytes: u64,
    small: BTreeMap<String, Vec<DataFile>>,
    untouched: u64,
}

impl Work {
    fn of(commit: &Commit, options: &CompactOptions) -> Self {
        let written = maintenance::options_of(commit);
        let target_bytes = options
            .target_bytes
            .unwrap_or(written.target_file_bytes)
            .max(1);
        let split_rows = written.split_rows.unwrap_or(u64::MAX);
        let mut partitions: BTreeMap<String, Vec<DataFile>> = BTreeMap::new();
        for file in &commit.files {
            let small = partitions.entry(file.partition().to_owned()).or_default();
            if file.bytes < target_bytes.div_ceil(2) && file.rows < split_rows.div_ceil(2) {
                small.push(file.clone());
            }
        }
        let all = partitions.len();
        let enough = options.min_files.max(2);
        partitions.retain(|partition, small| {
            small.len() >= enough && maintenance::chosen(&options.partitions, partition)
        });
        Self {
            target_bytes,
            untouched: (all - partitions.len()) as u64,
            small: partitions,
        }
    }

    fn into_plan(self, commit: &Commit) -> Compaction {
        Compaction {
            target_bytes: self.target_bytes,
            untouched: self.untouched,
            options_known: commit.options.is_some(),
            commit: None,
            uncleared: None,
            partitions: self
                .small
                .into_iter()
                .map(|(partition, files)| CompactedPartition {
                    partition,
                    rows: files.iter().map(|file| file.rows).sum(),
                    files_before: files.len() as u64,
                    bytes_before: files.iter().map(|file| file.bytes).sum(),
                    files_after: None,
                    bytes_after: None,
                })
                .collect(),
        }
    }
}

impl MaintenanceAction for Compact<'_> {
    type Report = Compaction;

    /// Stages the files that replace the small ones of every partition.
    async fn prepare(self, run: &Staging, base: &Commit) -> Result<(Compaction, Change)> {
        maintenance::check_filters(&self.options.partitions, base)?;
        run.open_to(self.ctx);
        let work = Work::of(base, self.options);
        let write_options = TableOptions {
            target_file_bytes: work.target_bytes,
            ..run.options().clone()
        };
        let mut done = Vec::new();
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        let (target_bytes, mut untouched) = (work.target_bytes, work.untouched);
        for (partition, small) in work.small {
            let job = Job {
                run,
                partition: &partition,
                small: &small,
                options: &write_options,
            };
            let files = job.run(self.ctx).await?;
            if files.len() >= small.len() {
                // Nothing gained; and what is compacted again and again must come to rest.
                untouched += 1;
                continue;
            }
            info!(
                table = run.store().location(),
                partition,
                files = small.len(),
                become = files.len(),
                "rewrote a partition"
            );
            done.push(CompactedPartition {
                rows: small.iter().map(|file| file.rows).sum(),
                files_before: small.len() as u64,
                bytes_before: small.iter().map(|file| file.bytes).sum(),
                files_after: Some(files.len() as u64),
                bytes_after: Some(files.iter().map(|file| file.bytes).sum()),
                partition,
            });
            added.extend(files);
            removed.extend(small);
        }
        let compaction = Compaction {
            target_bytes,
            partitions: done,
            untouched,
            options_known: base.options.is_some(),
            commit: None,
            uncleared: None,
        };
        Ok((compaction, Change::of(added, removed)))
    }
}

/// One partition.
struct Job<'a> {
    run: &'a Staging,
    partition: &'a str,
    small: &'a [DataFile],
    options: &'a TableOptions,
}

impl Job<'_> {
    async fn run(&self, ctx: &SessionContext) -> Result<Vec<StagedFile>> {
        let mut result = self.write(ctx, "compacted", BATCH_ROWS[0]).await;
        if let Err(error) = &result
            && matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
        {
            warn!(partition = self.partition, %error, "compaction did not fit in memory; trying again with small batches");
            // In another folder: the first attempt may have begun files.
            result = self.write(ctx, "compacted-again", BATCH_ROWS[1]).await;
        }
        let table = || self.run.store().location().to_owned();
        let files = result.map_err(|source| Error::Compact {
            table: table(),
            partition: self.partition.to_owned(),
            source,
        })?;
        let before: u64 = self.small.iter().map(|file| file.rows).sum();
        let after: u64 = files.iter().map(|file| file.rows).sum();
        if before != after {
            return Err(Error::RowsChanged {
                table: table(),
                partition: self.partition.to_owned(),
                before,
                after,
            });
        }
        Ok(files)
    }

    /// Reads these files in one stream and writes their rows.
    async fn write(
        &self,
        ctx: &SessionContext,
        folder: &str,
        batch_rows: usize,
    ) -> EngineResult<Vec<StagedFile>> {
        let store = self.run.store().as_ref();
        let files: EngineResult<Vec<Source>> = self
            .small
            .iter()
            .map(|file| Source::published(store, file))
            .collect();
        let files = Files::new(files?, self.run.schema().file_schema())?;
        let ctx = one_stream(ctx, batch_rows);
        let rows = ctx.read_table(Arc::new(files))?;
        let plan = rows.create_physical_plan().await?;
        let spec = self
            .run
            .spec_of_partition(folder, self.partition, self.options)
            .readable(false);
        let batches = collect(write::plan(plan, spec, None, None)?, ctx.task_ctx()).await?;
        Ok(write::read_rows(&batches)?.files)
    }
}

/// The same session in one stream: its memory is one sort's, and without an order the rows keep theirs.
fn one_stream(ctx: &SessionContext, batch_rows: usize) -> SessionContext {
    let state = ctx.state();
    let config = state.config().clone();
    let batch_rows = batch_rows.min(config.batch_size());
    SessionContext::new_with_state(
        SessionStateBuilder::new_from_existing(state)
            .with_config(config.with_target_partitions(1).with_batch_size(batch_rows))
            .build(),
    )
}
