//! Parquet files as a table. Owns its columns, which files and how many rows there are, and what a scan is told; the reading
//! of pages is DataFusion's.
//!
//! Statistics of files are not handed on, except the number of rows and bytes, as an estimate: DataFusion takes a column
//! whose least and greatest value are one for a constant, and answers counts from them. What a file says is then looked up
//! only to skip row groups.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::DateTime;
use datafusion::arrow::datatypes::{FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::TableParquetOptions;
use datafusion::common::stats::Precision;
use datafusion::common::{ScalarValue, Statistics};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::object_store::ObjectMeta;
use datafusion::object_store::path::Path;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use futures::{StreamExt, TryStreamExt};

use super::decode::partition_value;
use super::error::ReadError;
use super::guard::{GaveUp, guarded_async};
use super::listing::{File, Place};
use super::origin::Origin;
use super::partitions::Partitions;
use super::types::check_schema;
use super::unite::{self, Fit};
use super::web;

/// Footers that are read at once.
const CONCURRENT: usize = 16;

/// What is declared of a table of Parquet files.
#[derive(Debug, Clone)]
pub struct DeclaredParquet {
    /// The location, for people.
    pub location: String,
    /// The columns, partition columns included; `None` to take those of the files.
    pub columns: Option<SchemaRef>,
    /// The partition columns.
    pub partition_by: Vec<String>,
    /// What the reader is told.
    pub options: TableParquetOptions,
    /// The name of the column with the file that a row is from.
    pub file_column: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub struct ParquetTable {
    files: Vec<ParquetFile>,
    in_files: SchemaRef,
    partitions: Partitions,
    origin: Origin,
    schema: SchemaRef,
    options: TableParquetOptions,
}

#[derive(Debug, Clone)]
struct ParquetFile {
    file: File,
    meta: ObjectMeta,
    rows: usize,
}

impl ParquetTable {
    /// The table of these files, whose footers are read.
    ///
    /// # Errors
    /// [`ReadError`] when a footer cannot be read or contradicts itself, when columns of one name do not go together, or
    /// are not what is declared.
    pub async fn open(
        declared: DeclaredParquet,
        files: Vec<File>,
        session: &dyn Session,
    ) -> Result<Self> {
        let mut options = declared.options;
        // Nanoseconds reach from 1677 to 2262, and files with such times say any year.
        options
            .global
            .coerce_int96
            .get_or_insert_with(|| "us".to_owned());
        let stores = session.runtime_env();
        let cache = session
            .runtime_env()
            .cache_manager
            .get_file_metadata_cache();
        let read = futures::stream::iter(files.into_iter().map(|file| {
            let (stores, cache) = (Arc::clone(stores), Arc::clone(&cache));
            async move {
                check_parts(&file)?;
                let reader = store_of(&file).and_then(|store| stores.object_store(&store));
                let reader = reader.map_err(|error| unreadable(&file, &error))?;
                let meta = meta_of(&file)?;
                let of_file = |error: DataFusionError| unreadable(&file, &error);
                let footer = DFParquetMetadata::new(reader.as_ref(), &meta)
                    .with_coerce_int96(Some(TimeUnit::Microsecond))
                    .with_file_metadata_cache(Some(cache));
                let read = async {
                    let metadata = footer.fetch_metadata().await?;
                    Ok((metadata, footer.fetch_schema().await?))
                };
                let read = guarded_async(read)
                    .await
                    .map_err(|GaveUp| ReadError::gave_up(&file.name))?;
                let (metadata, schema) = read.map_err(of_file)?;
                let rows: i64 = metadata
                    .row_groups()
                    .iter()
                    .map(|group| group.num_rows())
                    .sum();
                let said = metadata.file_metadata().num_rows();
                if rows != said {
                    return Err(ReadError::of_file(
                        &file.name,
                        format!("its footer says {said} rows, and its row groups have {rows}"),
                    ));
                }
                check_schema(&file.name, &schema)?;
                let rows = usize::try_from(rows).unwrap_or(0);
                Ok((ParquetFile { file, meta, rows }, schema))
            }
        }));
        let read: Vec<(ParquetFile, Schema)> = read.buffered(CONCURRENT).try_collect().await?;
        let partitions = Partitions::new(&declared.partition_by, declared.columns.as_deref());
        let schemas = read
            .iter()
            .map(|(file, schema)| (file.file.name.as_str(), schema));
        let columns = declared.columns.as_deref();
        let in_files = unite::columns(
            &declared.location,
            columns,
            &partitions,
            &schemas,
            Fit::Type,
        )?;
        let origin = Origin {
            file: declared.file_column,
            line: None,
        };
        let schema = origin.behind(&declared.location, &partitions.behind(&in_files))?;
        Ok(Self {
            files: read.into_iter().map(|(file, _)| file).collect(),
            in_files: Arc::new(in_files),
            partitions,
            origin,
            schema: Arc::new(schema),
            options,
        })
    }

    /// The same without any file.
    #[must_use]
    pub fn emptied(self) -> Self {
        Self {
            files: Vec::new(),
            ..self
        }
    }

    /// The table of these files, whose columns and rows are written down somewhere, so that no footer is read before a query
    /// reads the file. A column that a file lacks is NULL there.
    ///
    /// # Errors
    /// [`ReadError`] for a file whose name no store can have.
    pub fn known(
        partition_by: &[String],
        columns: &Schema,
        files: Vec<(File, u64)>,
        options: TableParquetOptions,
    ) -> Result<Self> {
        let partitions = Partitions::new(partition_by, Some(columns));
        let in_files = partitions.without(columns);
        let known = files.into_iter().map(|(file, rows)| {
            Ok(ParquetFile {
                meta: meta_of(&file)?,
                rows: usize::try_from(rows).unwrap_or(usize::MAX),
                file,
            })
        });
        Ok(Self {
            files: known.collect::<Result<_>>()?,
            schema: partitions.behind(&in_files),
            in_files: Arc::new(in_files),
            partitions,
            origin: Origin::default(),
            options,
        })
    }
}

/// The store of a file.
fn store_of(file: &File) -> Result<ObjectStoreUrl> {
    match &file.place {
        Place::Stored { store, .. } => ObjectStoreUrl::parse(store),
        Place::Local(_) => Ok(ObjectStoreUrl::local_filesystem()),
    }
}

/// Its parts are asked for one by one, from the end on, so a server has to give parts, and tell one file from the next.
fn check_parts(file: &File) -> Result<(), ReadError> {
    let lacking = match file.place.seen() {
        Some(seen) if !seen.ranges => "gives no parts of it (ranges), of which Parquet is read",
        Some(seen) if seen.version.is_none() => {
            "has neither an ETag nor a time of change, so that parts of it could be of two files"
        }
        _ => return Ok(()),
    };
    Err(
        ReadError::of_file(&file.name, format!("the server {lacking}"))
            .with_help("copy it to a folder or an object store, and read it there"),
    )
}

fn meta_of(file: &File) -> Result<ObjectMeta, ReadError> {
    let location = match &file.place {
        Place::Local(path) => Path::from_absolute_path(path),
        Place::Stored { key, .. } => Path::parse(key),
    };
    Ok(ObjectMeta {
        location: location.map_err(|error| ReadError::of_file(&file.name, error.to_string()))?,
        last_modified: DateTime::from_timestamp_nanos(file.modified),
        size: file.size,
        e_tag: None,
        version: None,
    })
}

fn unreadable(file: &File, error: &DataFusionError) -> ReadError {
    if let Some(what) = web::told(error) {
        return ReadError::of_file(&file.name, format!("cannot be read: {what}"));
    }
    let cause = error.find_root().to_string();
    let line = cause.lines().next().unwrap_or_default();
    ReadError::of_file(&file.name, format!("it is no whole Parquet file: {line}"))
}

#[async_trait]
impl TableProvider for ParquetTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(self
            .partitions
            .supports(filters, &TableProviderFilterPushDown::Inexact))
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let needed =
            self.partitions
                .needed(state, filters, &self.files.iter().map(|file| &file.file))?;
        let files = self
            .files
            .iter()
            .zip(needed)
            .filter(|(_, needed)| *needed)
            .map(|(file, _)| file);
        let mut by_store: BTreeMap<ObjectStoreUrl, Vec<&ParquetFile>> = BTreeMap::new();
        for file in files {
            by_store
                .entry(store_of(&file.file)?)
                .or_default()
                .push(file);
        }
        let mut scans = Vec::with_capacity(by_store.len());
        for (store, files) in by_store {
            scans.push(
                self.of_store(state, store, &files, projection, limit)
                    .await?,
            );
        }
        match scans.len() {
            0 => {
                let all: Vec<usize> = (0..self.schema.fields().len()).collect();
                let schema = self.schema.project(projection.unwrap_or(&all))?;
                Ok(Arc::new(EmptyExec::new(Arc::new(schema))))
            }
            1 => Ok(scans.remove(0)),
            _ => UnionExec::try_new(scans),
        }
    }
}

impl ParquetTable {
    /// The scan of files that are in one store.
    async fn of_store(
        &self,
        state: &dyn Session,
        store: ObjectStoreUrl,
        files: &[&ParquetFile],
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let partitioned: Result<Vec<PartitionedFile>> =
            files.iter().map(|file| self.partitioned(file)).collect();
        let partitioned = partitioned?;
        let rows: usize = files.iter().map(|file| file.rows).sum();
        let bytes: usize = partitioned
            .iter()
            .map(|file| usize::try_from(file.object_meta.size).unwrap_or(usize::MAX))
            .sum();
        let groups = FileGroup::new(partitioned).split_files(state.config().target_partitions());
        let of_folders = self.partitions.fields().iter().cloned();
        let columns: Vec<FieldRef> = of_folders.chain(self.origin.fields()).collect();
        let table_schema = TableSchema::builder(Arc::clone(&self.in_files))
            .with_table_partition_cols(columns)
            .build();
        let source =
            ParquetSource::new(table_schema).with_table_parquet_options(self.options.clone());
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Inexact(rows);
        statistics.total_byte_size = Precision::Inexact(bytes);
        let config = FileScanConfigBuilder::new(store, Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        ParquetFormat::new()
            .with_options(self.options.clone())
            .create_physical_plan(state, config)
            .await
    }

    fn partitioned(&self, file: &ParquetFile) -> Result<PartitionedFile> {
        let fields: &Fields = self.partitions.fields();
        let values: Result<Vec<ScalarValue>> = fields
            .iter()
            .enumerate()
            .map(|(index, field)| {
                let value = file.file.partition.get(index).and_then(Option::as_deref);
                ScalarValue::try_from_array(&partition_value(field, value, &file.file.name)?, 0)
            })
            .collect();
        let mut values = values?;
        if self.origin.file.is_some() {
            values.push(ScalarValue::from(file.file.name.as_str()));
        }
        Ok(PartitionedFile::new_from_meta(file.meta.clone()).with_partition_values(values))
    }
}
