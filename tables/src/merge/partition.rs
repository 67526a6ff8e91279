//! Merging within one partition: published rows whose key neither arrives nor moved away, and the arriving ones.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{Column, JoinType, NullEquality};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{LogicalPlanBuilder, ident};
use datafusion::physical_plan::collect;
use datafusion::prelude::{DataFrame, SessionContext};

use super::attempt::Attempt;
use super::winners::winners;
use super::work::{Merged, Work};
use crate::error::Error;
use crate::log::DataFile;
use crate::scan::{Files, Source};
use crate::staging::Staging;
use crate::write::{self, StagedFile, WriteSpec};

/// What merging a partition came to.
#[derive(Debug)]
pub(super) struct Outcome {
    files: Vec<StagedFile>,
    /// Distinct arriving keys.
    keys: u64,
}

impl Outcome {
    pub(super) fn of(self, work: Work) -> Merged {
        let rows = |files: &[StagedFile]| files.iter().map(|file| file.rows).sum::<u64>();
        let arrived = rows(&work.arrived);
        let moved = rows(&work.moved);
        let published: u64 = work.published.iter().map(|file| file.rows).sum();
        let kept = rows(&self.files).saturating_sub(self.keys);
        let updated = published.saturating_sub(kept).saturating_sub(moved);
        Merged {
            published: work.published,
            files: self.files,
            inserted: self.keys.saturating_sub(updated),
            updated,
            moved,
            duplicates_dropped: arrived.saturating_sub(self.keys),
        }
    }
}

/// A merge of one partition, in one attempt.
pub(super) struct Merge<'a> {
    staging: &'a Staging,
    ctx: SessionContext,
    partition: &'a str,
    attempt: Attempt,
    schema: SchemaRef,
    /// The key columns that are in the files.
    key: Vec<String>,
}

impl<'a> Merge<'a> {
    pub(super) fn new(
        staging: &'a Staging,
        ctx: SessionContext,
        partition: &'a str,
        attempt: Attempt,
    ) -> Self {
        let in_files = |name: &&String| !staging.schema().is_partition(name);
        let key = staging.options().key.iter().filter(in_files);
        Self {
            staging,
            ctx,
            partition,
            attempt,
            schema: staging.schema().file_schema(),
            key: key.cloned().collect(),
        }
    }

    /// The merged files.
    ///
    /// Winners are staged before they are merged, if there is anything to win: the sort that finds them and the join
    /// and the sort of the merge then need not share the memory pool. Where memory is short the kept rows are staged
    /// for the same reason, so that the join is done before the sort begins.
    pub(super) async fn run(&self, work: &Work) -> Result<Outcome> {
        let mut arrived = work.arrived.clone();
        let unique = arrived.iter().all(|file| file.repeated_keys == Some(0));
        if !unique {
            let columns = self.schema.fields().iter();
            let columns: Vec<String> = columns.map(|field| field.name().clone()).collect();
            let rows = self.read(self.staged(&arrived)?, &self.schema)?;
            let rows = winners(rows, &self.key, self.staging.options(), &columns)?;
            arrived = self.write(rows, "winners").await?;
        }
        let keys = arrived.iter().map(|file| file.rows).sum();
        if work.published.is_empty() && unique {
            // The staged files are the answer already.
            return Ok(Outcome {
                files: arrived,
                keys,
            });
        }
        let mut staged = arrived;
        let mut rows = None;
        if !work.published.is_empty() {
            let kept = self.kept(&work.published, &staged, &work.moved)?;
            if self.attempt == Attempt::Usual {
                rows = Some(kept);
            } else {
                staged.extend(self.write(kept, "kept").await?);
            }
        }
        if !staged.is_empty() {
            let staged = self.read(self.staged(&staged)?, &self.schema)?;
            rows = Some(match rows {
                Some(kept) => kept.union(staged)?,
                None => staged,
            });
        }
        let files = match rows {
            Some(rows) => self.publishable(rows, "merged").await?,
            None => Vec::new(),
        };
        Ok(Outcome { files, keys })
    }

    /// The same rows, and those of `arrived`, in files of the table's present schema.
    pub(super) async fn rewrite(
        &self,
        published: &[DataFile],
        arrived: &[StagedFile],
    ) -> Result<Vec<StagedFile>> {
        let mut sources = self.published(published)?;
        sources.extend(self.staged(arrived)?);
        let rows = self.read(sources, &self.schema)?;
        self.publishable(rows, "rewritten").await
    }

    /// Stages rows that a later step reads.
    async fn write(&self, rows: DataFrame, folder: &str) -> Result<Vec<StagedFile>> {
        self.execute(rows, self.spec(folder).unordered()).await
    }

    /// Stages rows that are published next, under the name of the one file that they replace.
    async fn publishable(&self, rows: DataFrame, folder: &str) -> Result<Vec<StagedFile>> {
        let spec = self
            .spec(folder)
            .readable(false)
            .replacing(self.staging.base());
        self.execute(rows, spec).await
    }

    fn spec(&self, folder: &str) -> WriteSpec {
        let folder = format!("{folder}{}", self.attempt.suffix());
        let staging = self.staging;
        staging.spec_of_partition(&folder, self.partition, staging.options())
    }

    async fn execute(&self, rows: DataFrame, spec: WriteSpec) -> Result<Vec<StagedFile>> {
        let plan = write::plan(rows.create_physical_plan().await?, spec, None, None)?;
        execute(&self.ctx, plan).await
    }

    fn published(&self, files: &[DataFile]) -> Result<Vec<Source>> {
        let store = self.staging.store().as_ref();
        files
            .iter()
            .map(|file| Source::published(store, file))
            .collect()
    }

    fn staged(&self, files: &[StagedFile]) -> Result<Vec<Source>> {
        let store = self.staging.store().as_ref();
        files
            .iter()
            .map(|file| Source::staged(store, file))
            .collect()
    }

    fn read(&self, sources: Vec<Source>, schema: &SchemaRef) -> Result<DataFrame> {
        let files = Files::new(sources, Arc::clone(schema))?;
        self.ctx.read_table(Arc::new(files))
    }

    /// Published rows whose key is in none of the staged files.
    fn kept(
        &self,
        published: &[DataFile],
        arrived: &[StagedFile],
        moved: &[StagedFile],
    ) -> Result<DataFrame> {
        let indices: Result<Vec<usize>, _> = self
            .key
            .iter()
            .map(|name| self.schema.index_of(name))
            .collect();
        let schema = Arc::new(self.schema.project(&indices?)?);
        let mut sources = self.staged(arrived)?;
        sources.extend(self.staged(moved)?);
        let keys = self.read(sources, &schema)?;
        let renamed: Vec<String> = (0..self.key.len()).map(alias).collect();
        let aliases = self.key.iter().zip(&renamed);
        let keys = keys.select(aliases.map(|(name, alias)| ident(name).alias(alias)))?;
        let published = self.read(self.published(published)?, &self.schema)?;
        // The keys are the left side, which is the one that is built in memory.
        join(keys, &renamed, published, &self.key, JoinType::RightAnti)
    }
}

/// What the key column at this position is called on the left side of a join.
pub(super) fn alias(position: usize) -> String {
    format!("__spillway_key_{position}")
}

/// Joins by keys, among which NULL equals NULL.
pub(super) fn join(
    left: DataFrame,
    left_key: &[String],
    right: DataFrame,
    right_key: &[String],
    join_type: JoinType,
) -> Result<DataFrame> {
    let unqualified = |names: &[String]| {
        names
            .iter()
            .map(Column::new_unqualified)
            .collect::<Vec<_>>()
    };
    let (_, left) = left.into_parts();
    let (state, right) = right.into_parts();
    let plan = LogicalPlanBuilder::from(left)
        .join_detailed(
            right,
            join_type,
            (unqualified(left_key), unqualified(right_key)),
            None,
            NullEquality::NullEqualsNull,
        )?
        .build()?;
    Ok(DataFrame::new(state, plan))
}

/// Runs a plan that writes, as a task of its own: two partitions that are merged at a time then use two threads.
pub(super) async fn execute(
    ctx: &SessionContext,
    plan: Arc<dyn datafusion::physical_plan::ExecutionPlan>,
) -> Result<Vec<StagedFile>> {
    let written = SpawnedTask::spawn(collect(plan, ctx.task_ctx()))
        .join()
        .await
        .map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))??;
    Ok(write::read_rows(&written)?.files)
}

/// The error of a merge in a partition.
pub(super) fn failed(staging: &Staging, partition: &str, source: DataFusionError) -> Error {
    Error::Merge {
        table: staging.store().location().to_owned(),
        partition: partition.to_owned(),
        source,
    }
}
