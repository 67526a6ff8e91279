//! Merging arriving rows into the published rows of one partition: copy on write. Owns which row wins; the files are
//! written by `write` and published like any others.
//!
//! - A published row goes when a row with its key arrives in its partition.
//! - Among arriving rows with one key the winner has the greatest values in the `sort` columns, compared ascending with
//!   NULL least whatever their declared direction; then in the remaining columns. It does not depend on the order of
//!   arrival.
//! - NULL in a key equals NULL, so that a rerun replaces its own rows.
//!
//! Partitions are merged one after the other, each with a plan of the engine that spills its sorts; what must fit in
//! memory is the keys of one partition. A merge that exhausts the memory pool is tried once more in one stream.

use std::sync::Arc;

use datafusion::common::{Column, JoinType, NullEquality};
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::execution::SessionStateBuilder;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlanBuilder, ident, lit};
use datafusion::physical_plan::collect;
use datafusion::prelude::{DataFrame, SessionContext};
use tracing::warn;
use url::Url;

use crate::error::{Error, Result};
use crate::log::DataFile;
use crate::options::{PublishMode, TableOptions};
use crate::schema::can_sort;
use crate::staging::Staging;
use crate::write::{self, StagedFile, WriteSpec};

const RANK: &str = "__spillway_rank";
/// Rows in a batch when memory is short.
const FRUGAL_BATCH_ROWS: usize = 1024;

/// The files of a partition after a merge, and what it did.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) files: Vec<StagedFile>,
    pub(crate) inserted: u64,
    pub(crate) updated: u64,
    pub(crate) duplicates_dropped: u64,
}

/// Merges what arrived in `partition` into what the newest commit names there.
pub(crate) async fn merge_partition(
    staging: &Staging,
    ctx: &SessionContext,
    partition: &str,
    published: &[DataFile],
    arrived: Vec<StagedFile>,
) -> Result<Merged> {
    let arrived_rows: u64 = arrived.iter().map(|file| file.rows).sum();
    let unique = arrived.iter().all(|file| file.repeated_keys == Some(0));
    if published.is_empty() && unique {
        // The staged files are the answer already.
        return Ok(Merged {
            files: arrived,
            inserted: arrived_rows,
            updated: 0,
            duplicates_dropped: 0,
        });
    }
    let merge = Merge::new(staging, ctx, partition, "");
    let mut result = merge.run(published, &arrived, unique).await;
    if let Err(error) = &result
        && matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
    {
        warn!(partition, %error, "the merge did not fit in memory; merging again in one stream");
        let ctx = frugal(ctx);
        // In another folder: the first attempt may have begun files.
        let merge = Merge::new(staging, &ctx, partition, "-again");
        result = merge.run(published, &arrived, unique).await;
    }
    let (files, keys) = result.map_err(|source| Error::Merge {
        table: staging.store.location().to_owned(),
        partition: partition.to_owned(),
        source,
    })?;
    let written: u64 = files.iter().map(|file| file.rows).sum();
    let published_rows: u64 = published.iter().map(|file| file.rows).sum();
    let updated = published_rows.saturating_sub(written.saturating_sub(keys));
    Ok(Merged {
        files,
        inserted: keys.saturating_sub(updated),
        updated,
        duplicates_dropped: arrived_rows.saturating_sub(keys),
    })
}

/// The same session with the least concurrency and small batches: fewer operators share the memory pool, and each asks
/// for less at a time.
fn frugal(ctx: &SessionContext) -> SessionContext {
    let state = ctx.state();
    let config = state
        .config()
        .clone()
        .with_target_partitions(1)
        .with_batch_size(FRUGAL_BATCH_ROWS);
    SessionContext::new_with_state(
        SessionStateBuilder::new_from_existing(state)
            .with_config(config)
            .build(),
    )
}

struct Merge<'a> {
    staging: &'a Staging,
    ctx: &'a SessionContext,
    partition: &'a str,
    /// Ends the names of the staging folders, so that a second attempt has its own.
    attempt: &'static str,
    /// The key columns that are in the files.
    key: Vec<String>,
}

impl<'a> Merge<'a> {
    fn new(
        staging: &'a Staging,
        ctx: &'a SessionContext,
        partition: &'a str,
        attempt: &'static str,
    ) -> Self {
        let in_files = |name: &&String| !staging.schema.is_partition(name);
        let key = staging
            .options
            .key
            .iter()
            .filter(in_files)
            .cloned()
            .collect();
        Self {
            staging,
            ctx,
            partition,
            attempt,
            key,
        }
    }

    /// The merged files, and the number of distinct arriving keys.
    ///
    /// Winners are staged before they are merged, if there is anything to win: the sort that finds them and the join
    /// and the sort of the merge then need not share the memory pool.
    async fn run(
        &self,
        published: &[DataFile],
        arrived: &[StagedFile],
        unique: bool,
    ) -> EngineResult<(Vec<StagedFile>, u64)> {
        let found;
        let winners = if unique {
            arrived
        } else {
            let unordered = TableOptions {
                sort: Vec::new(),
                mode: PublishMode::Overwrite,
                ..self.staging.options.clone()
            };
            let rows = self.winners(self.scan(self.staged_urls(arrived)?)?)?;
            found = self.write(rows, "winners", &unordered).await?;
            &found
        };
        let rows = self.scan(self.staged_urls(winners)?)?;
        let merged = if published.is_empty() {
            rows
        } else {
            let store = &self.staging.store;
            let urls: Result<Vec<Url>> = published
                .iter()
                .map(|file| Ok(store.published_url(&file.path)?))
                .collect();
            self.kept(rows.clone(), self.scan(urls?)?)?.union(rows)?
        };
        let files = self.write(merged, "merged", &self.staging.options).await?;
        Ok((files, winners.iter().map(|file| file.rows).sum()))
    }

    async fn write(
        &self,
        rows: DataFrame,
        folder: &str,
        options: &TableOptions,
    ) -> EngineResult<Vec<StagedFile>> {
        let spec = WriteSpec::of_partition(
            Arc::clone(&self.staging.store),
            &self.staging.token,
            &format!("{folder}{}", self.attempt),
            self.partition,
            &self.staging.schema,
            options,
        );
        let plan = rows.create_physical_plan().await?;
        let rows = collect(write::plan(plan, spec)?, self.ctx.task_ctx()).await?;
        write::read_rows(&rows)
    }

    fn staged_urls(&self, files: &[StagedFile]) -> EngineResult<Vec<Url>> {
        let url = |file: &StagedFile| {
            let (folder, name) = file.staged.rsplit_once('/').unwrap_or(("", &file.staged));
            let folder = self.staging.store.staged_url(folder).map_err(Error::from)?;
            folder
                .join(name)
                .map_err(|error| DataFusionError::External(error.into()))
        };
        files.iter().map(url).collect()
    }

    /// Reads exactly these files, as the table's types. Never a listing: other files may lie beside them.
    fn scan(&self, urls: Vec<Url>) -> EngineResult<DataFrame> {
        let paths: EngineResult<Vec<_>> = urls
            .into_iter()
            .map(|url| ListingTableUrl::try_new(url, None))
            .collect();
        let config = ListingTableConfig::new_with_multi_paths(paths?)
            .with_listing_options(ListingOptions::new(Arc::new(ParquetFormat::default())))
            .with_schema(self.staging.schema.file_schema());
        self.ctx
            .read_table(Arc::new(ListingTable::try_new(config)?))
    }

    fn key_columns(&self) -> Vec<Expr> {
        self.key.iter().map(ident).collect()
    }

    /// One row for each arriving key.
    fn winners(&self, arrivals: DataFrame) -> EngineResult<DataFrame> {
        let schema = self.staging.schema.file_schema();
        let declared = self
            .staging
            .options
            .sort
            .iter()
            .map(|key| key.column.as_str());
        let mut order: Vec<&str> = Vec::new();
        for name in declared.chain(schema.fields().iter().map(|field| field.name().as_str())) {
            let sortable = schema
                .field_with_name(name)
                .is_ok_and(|field| can_sort(field.data_type()));
            if sortable && !order.contains(&name) && !self.key.iter().any(|key| key == name) {
                order.push(name);
            }
        }
        let greatest_first = order
            .into_iter()
            .map(|name| ident(name).sort(false, false))
            .collect();
        let rank = row_number()
            .partition_by(self.key_columns())
            .order_by(greatest_first)
            .build()?
            .alias(RANK);
        let columns: Vec<Expr> = schema
            .fields()
            .iter()
            .map(|field| ident(field.name()))
            .collect();
        arrivals
            .window(vec![rank])?
            .filter(ident(RANK).eq(lit(1_u64)))?
            .select(columns)
    }

    /// Published rows whose key does not arrive.
    fn kept(&self, arrivals: DataFrame, published: DataFrame) -> EngineResult<DataFrame> {
        let renamed: Vec<String> = (0..self.key.len())
            .map(|position| format!("__spillway_key_{position}"))
            .collect();
        let keys = self
            .key
            .iter()
            .zip(&renamed)
            .map(|(name, alias)| ident(name).alias(alias))
            .collect::<Vec<_>>();
        let (_, keys) = arrivals.select(keys)?.into_parts();
        let (state, published) = published.into_parts();
        let unqualified = |names: &[String]| {
            names
                .iter()
                .map(Column::new_unqualified)
                .collect::<Vec<_>>()
        };
        // The keys are the left side, which is the one that is built in memory.
        let plan = LogicalPlanBuilder::from(keys)
            .join_detailed(
                published,
                JoinType::RightAnti,
                (unqualified(&renamed), unqualified(&self.key)),
                None,
                NullEquality::NullEqualsNull,
            )?
            .build()?;
        Ok(DataFrame::new(state, plan))
    }
}
