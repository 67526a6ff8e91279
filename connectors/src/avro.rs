//! Files of Avro as a table, read by the engine. Owns that the columns in the names of their folders are values, NULL among them.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::avro::AvroFormat;
use datafusion::datasource::listing::{ListingTableUrl, PartitionedFile};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::table_schema::TableSchema as ScanSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use files::listing::{File, Place};
use tables::TableSchema;
use url::Url;

/// See the module.
pub(crate) struct AvroFiles {
    store: ObjectStoreUrl,
    schema: ScanSchema,
    files: Vec<PartitionedFile>,
}

impl fmt::Debug for AvroFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AvroFiles")
            .field("store", &self.store)
            .field("files", &self.files.len())
            .finish_non_exhaustive()
    }
}

impl AvroFiles {
    /// These files, one at least, of a table.
    pub(crate) fn new(table: &TableSchema, files: &[File]) -> Result<Self> {
        let columns: Vec<FieldRef> = table
            .partition_by()
            .iter()
            .filter_map(|name| {
                let index = table.columns().index_of(name).ok()?;
                Some(Arc::clone(&table.columns().fields()[index]))
            })
            .collect();
        let mut store = None;
        let mut found = Vec::with_capacity(files.len());
        for file in files {
            let url = ListingTableUrl::try_new(url_of(file)?, None)?;
            let values = columns.iter().zip(&file.partition);
            let values: Result<Vec<ScalarValue>> = values
                .map(|(field, value)| match value {
                    Some(text) => ScalarValue::try_from_string(text.clone(), field.data_type()),
                    None => ScalarValue::try_new_null(field.data_type()),
                })
                .collect();
            let mut known = PartitionedFile::new("", file.size).with_partition_values(values?);
            known.object_meta.location = url.prefix().clone();
            store.get_or_insert_with(|| url.object_store());
            found.push(known);
        }
        Ok(Self {
            store: store.ok_or_else(|| DataFusionError::Internal("no files".to_owned()))?,
            schema: ScanSchema::builder(table.file_schema())
                .with_table_partition_cols(columns)
                .build(),
            files: found,
        })
    }
}

fn url_of(file: &File) -> Result<Url> {
    let no_url = |error: String| DataFusionError::Plan(format!("{}: {error}", file.name));
    match &file.place {
        Place::Local(path) => {
            Url::from_file_path(path).map_err(|()| no_url("is no path from the root".to_owned()))
        }
        Place::Stored { store, key } => {
            let mut url = Url::parse(store).map_err(|error| no_url(error.to_string()))?;
            url.set_path(key);
            Ok(url)
        }
    }
}

#[async_trait]
impl TableProvider for AvroFiles {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.schema.table_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let streams = state.config().target_partitions();
        let source = AvroFormat.file_source(self.schema.clone());
        let config = FileScanConfigBuilder::new(self.store.clone(), source)
            .with_file_groups(FileGroup::new(self.files.clone()).split_files(streams))
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        AvroFormat.create_physical_plan(state, config).await
    }
}
