//! Staged files as a table, which checks read before the files are published. Owns which reader each format has: the ones that
//! sources have, so that a check sees what a reader of the published files will.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use datafusion::error::Result;
use datafusion::prelude::SessionContext;
use files::listing::{Listing, Wanted, list};
use files::{DeclaredParquet, ParquetTable};
use tables::{Format, TableSchema};
use url::Url;

use crate::table_source::{reader, records};

/// What a run staged of an output.
pub(crate) struct StagedFiles<'a> {
    /// The folder, laid out as the table is.
    pub(crate) folder: Url,
    /// Whether anything is in it.
    pub(crate) has_files: bool,
    /// The format of the files.
    pub(crate) format: Format,
    /// The columns of the table.
    pub(crate) schema: &'a TableSchema,
}

impl StagedFiles<'_> {
    /// The rows; `ctx` knows the store of the folder.
    pub(crate) async fn table(self, ctx: &SessionContext) -> Result<Arc<dyn TableProvider>> {
        if !self.has_files {
            return Ok(Arc::new(EmptyTable::new(Arc::clone(self.schema.columns()))));
        }
        let Some(format) = reader(self.format) else {
            return self.parquet(ctx).await;
        };
        let listing = self.list(ctx, format.suffixes()).await?;
        records(self.folder.as_str(), self.schema, format, listing.files)
    }

    async fn parquet(self, ctx: &SessionContext) -> Result<Arc<dyn TableProvider>> {
        let listing = self.list(ctx, &["parquet"]).await?;
        let session = ctx.state();
        let declared = DeclaredParquet {
            location: self.folder.to_string(),
            columns: Some(Arc::clone(self.schema.columns())),
            partition_by: self.schema.partition_by().to_vec(),
            options: session.default_table_options().parquet,
            file_column: None,
        };
        let table = ParquetTable::open(declared, listing.files, &session).await?;
        Ok(Arc::new(table))
    }

    async fn list(&self, ctx: &SessionContext, suffixes: &[&str]) -> Result<Listing> {
        let registry = &ctx.runtime_env().object_store_registry;
        let store = |url: &Url| registry.get_store(url);
        let wanted = Wanted {
            location: self.folder.as_str(),
            suffixes,
            partition_by: self.schema.partition_by(),
        };
        Ok(list(wanted, &store).await?)
    }
}
