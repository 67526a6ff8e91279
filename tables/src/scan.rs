//! Exactly these files as a relation of the engine: never a listing, because other files may lie beside them.
//! Files are Parquet: no other format is read back. Columns that a file does not have are NULL, narrower types are widened; each row can carry its partition.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ScalarValue, Statistics, internal_datafusion_err};
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingTableUrl, PartitionedFile};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::table_schema::TableSchema as ScanSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use url::Url;

use crate::error::Error;
use crate::layout;
use crate::log::DataFile;
use crate::schema::TableSchema;
use crate::store::Store;
use crate::write::StagedFile;

/// The column with the partition's path, in relations that carry it.
pub(crate) const PATH: &str = "__spillway_partition";

/// One file to read.
pub(crate) struct Source {
    url: Url,
    partition: String,
    rows: u64,
    bytes: u64,
}

impl Source {
    pub(crate) fn published(store: &dyn Store, file: &DataFile) -> Result<Self> {
        Ok(Self {
            url: store.published_url(&file.path).map_err(Error::from)?,
            partition: file.partition().to_owned(),
            rows: file.rows,
            bytes: file.bytes,
        })
    }

    pub(crate) fn staged(store: &dyn Store, file: &StagedFile) -> Result<Self> {
        let (folder, name) = file.staged.rsplit_once('/').unwrap_or(("", &file.staged));
        let folder = store.staged_url(folder).map_err(Error::from)?;
        Ok(Self {
            url: folder
                .join(name)
                .map_err(|error| DataFusionError::External(error.into()))?,
            partition: file.partition.clone(),
            rows: file.rows,
            bytes: file.bytes,
        })
    }
}

/// The relation. Knows the number of its rows, which the choice of a join's sides rests on.
pub(crate) struct Files {
    store: ObjectStoreUrl,
    schema: ScanSchema,
    files: Vec<PartitionedFile>,
    rows: u64,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files")
            .field("store", &self.store)
            .field("files", &self.files.len())
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl Files {
    /// The columns that are in the files.
    pub(crate) fn new(sources: Vec<Source>, schema: SchemaRef) -> Result<Self> {
        Self::with_values(sources, schema, Vec::new(), |_| Ok(Vec::new()))
    }

    /// All columns of the table, and [`PATH`].
    pub(crate) fn of_table(sources: Vec<Source>, schema: &TableSchema) -> Result<Self> {
        let columns: Vec<FieldRef> = schema
            .partition_by()
            .iter()
            .filter_map(|name| {
                let index = schema.columns().index_of(name).ok()?;
                Some(Arc::clone(&schema.columns().fields()[index]))
            })
            .collect();
        let types: Vec<DataType> = columns
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let path: FieldRef = Arc::new(Field::new(PATH, DataType::Utf8, false));
        let columns = columns.into_iter().chain([path]).collect();
        Self::with_values(sources, schema.file_schema(), columns, |path| {
            let values = layout::split(path).into_iter().zip(&types);
            values
                .map(|((_, text), data_type)| match text {
                    Some(text) => ScalarValue::try_from_string(text, data_type),
                    None => ScalarValue::try_new_null(data_type),
                })
                .chain([Ok(ScalarValue::from(path))])
                .collect()
        })
    }

    fn with_values(
        sources: Vec<Source>,
        file_schema: SchemaRef,
        columns: Vec<FieldRef>,
        values: impl Fn(&str) -> Result<Vec<ScalarValue>>,
    ) -> Result<Self> {
        let mut store = None;
        let mut files = Vec::with_capacity(sources.len());
        let mut rows = 0;
        for source in sources {
            // The one place where the engine turns URLs into paths of its stores, escapes included.
            let url = ListingTableUrl::try_new(source.url, None)?;
            let mut file = PartitionedFile::new("", source.bytes)
                .with_partition_values(values(&source.partition)?);
            file.object_meta.location = url.prefix().clone();
            store.get_or_insert_with(|| url.object_store());
            rows += source.rows;
            files.push(file);
        }
        Ok(Self {
            store: store.ok_or_else(|| internal_datafusion_err!("a relation of no files"))?,
            schema: ScanSchema::builder(file_schema)
                .with_table_partition_cols(columns)
                .build(),
            files,
            rows,
        })
    }
}

#[async_trait]
impl TableProvider for Files {
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
        let format: Arc<dyn FileFormat> = Arc::new(ParquetFormat::default());
        let streams = state.config().target_partitions();
        let rows = usize::try_from(self.rows).unwrap_or(usize::MAX);
        let statistics = Statistics::new_unknown(self.schema.table_schema())
            .with_num_rows(Precision::Exact(rows));
        let config =
            FileScanConfigBuilder::new(self.store.clone(), format.file_source(self.schema.clone()))
                .with_file_groups(FileGroup::new(self.files.clone()).split_files(streams))
                .with_statistics(statistics)
                .with_projection_indices(projection.cloned())?
                .with_limit(limit)
                .build();
        format.create_physical_plan(state, config).await
    }
}
