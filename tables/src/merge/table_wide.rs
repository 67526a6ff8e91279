//! A key that is unique in the whole table: one winner over all partitions, and the published rows elsewhere that it
//! replaces.
//!
//! ```text
//! arrivals of all partitions ─► one winner a key ─┬─► each partition's arrivals
//!                                                 └─ join keys ─ published keys ─► keys that moved, by old partition
//! ```
//!
//! What it costs: of the published files only the key columns are read, and only of those whose footers do not exclude
//! every arriving key by minimum and maximum; so each file costs the reading of its footer. The arriving keys are held in
//! memory, or sorted if they do not fit.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::FieldRef;
use datafusion::common::JoinType;
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::{Expr, ident};
use datafusion::prelude::{DataFrame, SessionContext};
use tracing::{info, warn};

use super::attempt::{Attempt, is_exhausted, memory_given_back, with_hash_joins};
use super::partition::{alias, execute, failed, join};
use super::winners::{are_unique, winners};
use crate::error::Result;
use crate::log::DataFile;
use crate::scan::{Files, PATH, Source};
use crate::schema::TableSchema;
use crate::staging::Staging;
use crate::write::{self, StagedFile, WriteSpec};

/// What arrives, and what goes elsewhere because of it.
pub(crate) struct Resolved {
    /// Arriving rows, each key once in the table.
    pub(crate) winners: Vec<StagedFile>,
    /// Keys of published rows that arrive in another partition: one row for each row that goes, in files named by the
    /// partition it is in. They are never published.
    pub(crate) moved: Vec<StagedFile>,
    pub(crate) duplicates_dropped: u64,
}

/// Chooses the winners over all partitions, and finds the published rows that they replace in other ones.
pub(crate) async fn resolve(
    staging: &Staging,
    ctx: &SessionContext,
    produced: BTreeMap<String, Vec<StagedFile>>,
    published: &[&DataFile],
) -> Result<Resolved> {
    let arrived: Vec<StagedFile> = produced.into_values().flatten().collect();
    let mut last = None;
    for attempt in Attempt::ALL {
        let mut ctx = attempt.session(ctx);
        if attempt == Attempt::Usual {
            ctx = with_hash_joins(&ctx);
        }
        let resolving = TableWide {
            staging,
            ctx,
            attempt,
        };
        match resolving.run(&arrived, published).await {
            Ok(resolved) => return Ok(resolved),
            Err(error) if is_exhausted(&error) => {
                warn!(table = staging.store().location(), %error, "looking for moved rows did not fit in memory");
                last = Some(error);
                memory_given_back(&resolving.ctx).await;
            }
            Err(error) => return Err(failed(staging, "", error)),
        }
    }
    let error = last.unwrap_or_else(|| DataFusionError::Internal("no attempt was made".to_owned()));
    Err(failed(staging, "", error))
}

struct TableWide<'a> {
    staging: &'a Staging,
    ctx: SessionContext,
    attempt: Attempt,
}

impl TableWide<'_> {
    async fn run(&self, arrived: &[StagedFile], published: &[&DataFile]) -> EngineResult<Resolved> {
        let rows = |files: &[StagedFile]| files.iter().map(|file| file.rows).sum::<u64>();
        if arrived.is_empty() {
            return Ok(Resolved {
                winners: Vec::new(),
                moved: Vec::new(),
                duplicates_dropped: 0,
            });
        }
        let winners = self.winners(arrived).await?;
        let moved = if published.is_empty() {
            Vec::new()
        } else {
            self.moved(&winners, published).await?
        };
        let duplicates_dropped = rows(arrived).saturating_sub(rows(&winners));
        info!(
            table = self.staging.store().location(),
            moved = rows(&moved),
            duplicates_dropped,
            "looked for moved rows"
        );
        Ok(Resolved {
            winners,
            moved,
            duplicates_dropped,
        })
    }

    /// The arrivals themselves if no key comes twice, else one row a key, written as the arrivals were.
    async fn winners(&self, arrived: &[StagedFile]) -> EngineResult<Vec<StagedFile>> {
        let options = self.staging.options();
        let (key, schema) = (&options.key, self.staging.schema());
        if are_unique(self.staged(arrived)?, key).await? {
            return Ok(arrived.to_vec());
        }
        let columns: Vec<String> = schema
            .columns()
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        let rows = winners(self.staged(arrived)?, key, options, &columns)?;
        self.write(rows, "winners", self.staging.spec(schema)).await
    }

    async fn moved(
        &self,
        winners: &[StagedFile],
        published: &[&DataFile],
    ) -> EngineResult<Vec<StagedFile>> {
        const NEW_PATH: &str = "__spillway_new_partition";
        let key = &self.staging.options().key;
        let renamed: Vec<String> = (0..key.len()).map(alias).collect();
        let aliases = key.iter().zip(&renamed);
        let mut columns: Vec<Expr> = aliases
            .map(|(name, alias)| ident(name).alias(alias))
            .collect();
        columns.push(ident(PATH).alias(NEW_PATH));
        let arriving = self.staged(winners)?.select(columns)?;

        let schema = self.keys_schema();
        let names = schema.columns().fields().iter();
        let names: Vec<Expr> = names.map(|field| ident(field.name())).collect();
        let store = self.staging.store().as_ref();
        let sources: EngineResult<Vec<Source>> = published
            .iter()
            .map(|file| Source::published(store, file))
            .collect();
        let files = Files::of_table(sources?, self.staging.schema())?;
        let published = self
            .ctx
            .read_table(Arc::new(files))?
            .select(names.iter().cloned().chain([ident(PATH)]))?;
        let moved = join(arriving, &renamed, published, key, JoinType::Inner)?
            .filter(ident(NEW_PATH).not_eq(ident(PATH)))?
            .select(names)?;
        self.write(moved, "moved", self.staging.spec(&schema).unordered())
            .await
    }

    /// The columns of the key and those that name a partition.
    fn keys_schema(&self) -> TableSchema {
        let schema = self.staging.schema();
        let columns: Vec<FieldRef> = schema
            .columns()
            .fields()
            .iter()
            .filter(|field| {
                self.staging.options().key.contains(field.name())
                    || schema.is_partition(field.name())
            })
            .cloned()
            .collect();
        TableSchema::of(columns, schema.partition_by())
    }

    fn staged(&self, files: &[StagedFile]) -> EngineResult<DataFrame> {
        let store = self.staging.store().as_ref();
        let sources: EngineResult<Vec<Source>> = files
            .iter()
            .map(|file| Source::staged(store, file))
            .collect();
        let files = Files::of_table(sources?, self.staging.schema())?;
        self.ctx.read_table(Arc::new(files))
    }

    async fn write(
        &self,
        rows: DataFrame,
        folder: &str,
        spec: WriteSpec,
    ) -> EngineResult<Vec<StagedFile>> {
        let spec = spec.into_folder(&format!("table-{folder}{}", self.attempt.suffix()));
        let plan = write::plan(rows.create_physical_plan().await?, spec, None, None)?;
        execute(&self.ctx, plan).await
    }
}
