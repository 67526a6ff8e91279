//! Staged files as a table, which checks read before the files are published. Owns which reader each format has: the ones that
//! sources have, so that a check sees what a reader of the published files will.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::error::Result;
use datafusion::prelude::SessionContext;
use files::listing::{Listing, Wanted, list};
use files::{Declared, FilesTable, Stores, json};
use tables::{Format, TableSchema};
use url::Url;

use crate::avro::AvroFiles;

/// What a run staged of an output.
pub(crate) struct StagedFiles<'a> {
    /// The folder, laid out as the table is.
    pub(crate) folder: Url,
    /// Whether anything is in it.
    pub(crate) has_files: bool,
    /// The format of the files.
    pub(crate) format: Format,
    /// The columns, as the query gives them.
    pub(crate) of_query: &'a Schema,
    /// The columns, as the table has them.
    pub(crate) of_table: &'a TableSchema,
}

impl StagedFiles<'_> {
    /// The rows; `ctx` knows the store of the folder.
    pub(crate) async fn table(self, ctx: &SessionContext) -> Result<Arc<dyn TableProvider>> {
        match self.format {
            Format::Parquet => self.parquet(),
            Format::Csv => {
                self.records(ctx, files::Format::Csv(files::Csv::default()))
                    .await
            }
            Format::Json => {
                let layout = Some(json::Layout::Lines);
                self.records(ctx, files::Format::Json(files::Json { layout, path: None }))
                    .await
            }
            Format::Arrow => self.records(ctx, files::Format::Arrow).await,
            Format::Avro => self.avro(ctx).await,
        }
    }

    fn parquet(self) -> Result<Arc<dyn TableProvider>> {
        let partition_by = self.of_table.partition_by();
        let (partitions, stored): (Vec<_>, Vec<_>) = self
            .of_query
            .fields()
            .iter()
            .cloned()
            .partition(|field| partition_by.contains(field.name()));
        let mut partitions: Vec<(String, DataType)> = partitions
            .iter()
            .map(|field| (field.name().clone(), field.data_type().clone()))
            .collect();
        partitions.sort_by_key(|(name, _)| partition_by.iter().position(|by| by == name));
        let options = ListingOptions::new(Arc::new(ParquetFormat::default()))
            .with_file_extension(".parquet")
            .with_table_partition_cols(partitions);
        let config = ListingTableConfig::new(ListingTableUrl::try_new(self.folder, None)?)
            .with_listing_options(options)
            .with_schema(Arc::new(Schema::new(stored)));
        Ok(Arc::new(ListingTable::try_new(config)?))
    }

    async fn avro(self, ctx: &SessionContext) -> Result<Arc<dyn TableProvider>> {
        if !self.has_files {
            return Ok(Arc::new(EmptyTable::new(Arc::clone(
                self.of_table.columns(),
            ))));
        }
        let listing = self.list(ctx, &["avro"]).await?;
        Ok(Arc::new(AvroFiles::new(self.of_table, &listing.files)?))
    }

    async fn list(&self, ctx: &SessionContext, suffixes: &[&str]) -> Result<Listing> {
        let registry = &ctx.runtime_env().object_store_registry;
        let store = |url: &Url| registry.get_store(url);
        let wanted = Wanted {
            location: self.folder.as_str(),
            suffixes,
            partition_by: self.of_table.partition_by(),
        };
        Ok(list(wanted, &store).await?)
    }

    async fn records(
        self,
        ctx: &SessionContext,
        format: files::Format,
    ) -> Result<Arc<dyn TableProvider>> {
        let columns: &SchemaRef = self.of_table.columns();
        if !self.has_files {
            return Ok(Arc::new(EmptyTable::new(Arc::clone(columns))));
        }
        let listing = self.list(ctx, format.suffixes()).await?;
        let registry = &ctx.runtime_env().object_store_registry;
        let stores = Stores::of(&listing.files, registry.as_ref())?;
        let declared = Declared {
            location: self.folder.to_string(),
            columns: Some(Arc::clone(columns)),
            partition_by: self.of_table.partition_by().to_vec(),
            format,
            bytes: files::Bytes::default(),
            sample_bytes: files::SAMPLE_BYTES,
            quarantine: None,
            origin: files::Origin::default(),
        };
        Ok(Arc::new(
            FilesTable::open(declared, listing.files, stores).await?,
        ))
    }
}
