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
//! memory is the keys of one partition.

use std::sync::Arc;

use datafusion::common::{Column, JoinType, NullEquality};
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlanBuilder, ident, lit};
use datafusion::physical_plan::collect;
use datafusion::prelude::{DataFrame, SessionContext};
use url::Url;

use crate::error::{Error, Result};
use crate::log::DataFile;
use crate::schema::can_sort;
use crate::staging::Staging;
use crate::write::{self, StagedFile, WriteSpec};

const RANK: &str = "__spillway_rank";

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
    let merge = Merge::new(staging, ctx, partition)?;
    let result = merge.run(published, &arrived, unique).await;
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

struct Merge<'a> {
    staging: &'a Staging,
    ctx: &'a SessionContext,
    partition: &'a str,
    /// The key columns that are in the files.
    key: Vec<String>,
}

impl<'a> Merge<'a> {
    fn new(staging: &'a Staging, ctx: &'a SessionContext, partition: &'a str) -> Result<Self> {
        let key = staging
            .options
            .key
            .iter()
            .filter(|name| !staging.schema.is_partition(name))
            .cloned()
            .collect();
        Ok(Self {
            staging,
            ctx,
            partition,
            key,
        })
    }

    /// The merged files, and the number of distinct arriving keys.
    async fn run(
        &self,
        published: &[DataFile],
        arrived: &[StagedFile],
        unique: bool,
    ) -> EngineResult<(Vec<StagedFile>, u64)> {
        let store = &self.staging.store;
        let folder = |url: Url, name: &str| {
            url.join(name)
                .map_err(|error| DataFusionError::External(error.into()))
        };
        let mut staged = Vec::with_capacity(arrived.len());
        for file in arrived {
            let (parent, _) = file.staged.rsplit_once('/').unwrap_or(("", &file.staged));
            staged.push(folder(
                store.staged_url(parent).map_err(Error::from)?,
                &file.name,
            )?);
        }
        let arrivals = self.scan(staged)?;
        let keys = if unique {
            arrived.iter().map(|file| file.rows).sum()
        } else {
            arrivals
                .clone()
                .select(self.key_columns())?
                .distinct()?
                .count()
                .await? as u64
        };
        let winners = if unique {
            arrivals.clone()
        } else {
            self.winners(arrivals.clone())?
        };
        let merged = if published.is_empty() {
            winners
        } else {
            let mut urls = Vec::with_capacity(published.len());
            for file in published {
                urls.push(store.published_url(&file.path).map_err(Error::from)?);
            }
            self.kept(arrivals, self.scan(urls)?)?.union(winners)?
        };
        let plan = merged.create_physical_plan().await?;
        let spec = WriteSpec::of_partition(
            Arc::clone(store),
            &self.staging.token,
            self.partition,
            &self.staging.schema,
            &self.staging.options,
        );
        let rows = collect(write::plan(plan, spec)?, self.ctx.task_ctx()).await?;
        Ok((write::read_rows(&rows)?, keys))
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
