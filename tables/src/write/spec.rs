//! What is written, and where: a table's columns, order and options, and a folder of a run's staging area. Owns how rows
//! must be distributed and ordered before they are written.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{Distribution, LexOrdering, PhysicalExpr, PhysicalSortExpr};

use super::format::{self, FileEncoding};
use super::lazy_store::LazyStore;
use super::split::SLOT;
use crate::layout::PartitionColumns;
use crate::log_options::LogOptions;
use crate::options::TableOptions;
use crate::schema::{TableSchema, can_sort};

/// The staging folder of the rows that a run writes: in this process, or in others by one of several attempts.
pub(crate) fn rows_folder(token: &str, attempt: Option<u32>) -> String {
    match attempt {
        None => format!("{token}/rows"),
        Some(number) => format!("{token}/rows-{number}"),
    }
}

/// Where row groups and files are cut.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) row_group_rows: usize,
    pub(super) row_group_bytes: usize,
    pub(super) target_file_bytes: u64,
}

/// What the operator writes, and where.
#[derive(Debug)]
pub(crate) struct WriteSpec {
    pub(super) store: LazyStore,
    pub(super) token: String,
    pub(super) folder: String,
    /// Whether the staged files are read before they are published.
    pub(super) readable: bool,
    /// For partitions whose published rows are in one file: its name, which the first new file takes.
    pub(super) replaced_names: HashMap<String, String>,
    /// The columns of the input, after `plan` brought them to the table's types.
    pub(super) schema: SchemaRef,
    /// Put before the path that the partition columns give: the partition whose rows these are.
    pub(super) prefix: String,
    pub(super) partition: PartitionColumns,
    pub(super) file_schema: SchemaRef,
    pub(super) file_columns: Vec<usize>,
    pub(super) order: Vec<(usize, SortOptions)>,
    pub(super) watched_key: Vec<usize>,
    /// Columns whose values may not fit; see `discard`.
    pub(super) checked: Vec<String>,
    /// Which attempt of the run this is, if other processes write: then a writer stops when it is fenced off.
    pub(super) attempt: Option<u32>,
    /// Whether all rows of a partition are one stream's although the table has no order.
    pub(super) exchanged: bool,
    /// Whether the rows say by which stream each is written; see `split`.
    pub(super) split: bool,
    /// What `codec` needs to make the same specification elsewhere.
    pub(super) table_schema: TableSchema,
    pub(super) log_options: LogOptions,
    pub(super) limits: Limits,
    /// What the names of files end with, after a dot.
    pub(super) suffix: &'static str,
    /// Whether the rows of a partition, or of a table that has none, are one file.
    pub(super) single_file: bool,
    pub(super) encoding: Box<dyn FileEncoding>,
}

impl WriteSpec {
    /// All partitions of a table, into the run's folder of rows.
    pub(crate) fn new(
        store: impl Into<LazyStore>,
        token: &str,
        schema: &TableSchema,
        options: &TableOptions,
    ) -> Self {
        let columns = schema.columns();
        let watched: &[String] = if options.mode.requirements().key {
            &options.key
        } else {
            &[]
        };
        Self {
            folder: rows_folder(token, None),
            prefix: String::new(),
            partition: PartitionColumns::of(schema),
            file_schema: schema.file_schema(),
            file_columns: (0..columns.fields().len())
                .filter(|column| !schema.is_partition(columns.field(*column).name()))
                .collect(),
            order: order(columns, schema.partition_by(), options),
            // Within a partition its columns are constant, so they cannot tell two keys apart.
            watched_key: watched
                .iter()
                .filter(|name| !schema.is_partition(name))
                .filter_map(|name| columns.index_of(name).ok())
                .collect(),
            ..Self::bare(store, token, Arc::clone(columns), schema, options)
        }
    }

    /// The same, to be written by other processes in this attempt of the run. If rows are `exchanged`, each partition
    /// is written by one of them; with an order it always is.
    pub(crate) fn in_attempt(mut self, attempt: u32, exchanged: bool) -> Self {
        self.folder = rows_folder(&self.token, Some(attempt));
        self.attempt = Some(attempt);
        self.exchanged = exchanged;
        if !exchanged && !self.is_sorted() && !self.single_file {
            // Several processes would give the name to one file each.
            self.replaced_names.clear();
        }
        self
    }

    /// The same, into another folder of the run's staging area: rows that are not published as they are.
    pub(crate) fn into_folder(mut self, folder: &str) -> Self {
        self.folder = format!("{}/{folder}", self.token);
        self
    }

    /// The same in no order, and without a look at the key: rows that a later step reads.
    pub(crate) fn unordered(mut self) -> Self {
        self.order.clear();
        self.watched_key.clear();
        self
    }

    /// Leaves rows out in which a value of these columns does not fit the table's type, and counts them.
    pub(crate) fn discarding(mut self, columns: &[String]) -> Self {
        self.checked = columns.to_vec();
        self
    }

    /// The rows of one partition, without its columns, into `folder` of the run's staging area.
    pub(crate) fn of_partition(
        store: impl Into<LazyStore>,
        token: &str,
        folder: &str,
        partition: &str,
        schema: &TableSchema,
        options: &TableOptions,
    ) -> Self {
        let columns = schema.file_schema();
        Self {
            folder: format!("{token}/{folder}"),
            prefix: partition.to_owned(),
            file_columns: (0..columns.fields().len()).collect(),
            order: order(&columns, &[], options),
            ..Self::bare(store, token, columns, schema, options)
        }
    }

    fn bare(
        store: impl Into<LazyStore>,
        token: &str,
        columns: SchemaRef,
        schema: &TableSchema,
        options: &TableOptions,
    ) -> Self {
        let encoding = format::encoding(options);
        let (row_group_rows, row_group_bytes) = encoding.group_limits();
        Self {
            store: store.into(),
            token: token.to_owned(),
            folder: String::new(),
            readable: true,
            replaced_names: HashMap::new(),
            prefix: String::new(),
            partition: PartitionColumns::new([]),
            file_schema: Arc::clone(&columns),
            schema: columns,
            file_columns: Vec::new(),
            order: Vec::new(),
            watched_key: Vec::new(),
            checked: Vec::new(),
            attempt: None,
            exchanged: false,
            split: false,
            table_schema: schema.clone(),
            log_options: LogOptions::of(options),
            limits: Limits {
                row_group_rows,
                row_group_bytes,
                target_file_bytes: match options.single_file {
                    true => u64::MAX,
                    false => options.target_file_bytes,
                },
            },
            suffix: options.format.suffix(options.compression),
            single_file: options.single_file,
            encoding,
        }
    }

    /// The same, of rows with one column more, which says by which stream each is written.
    pub(super) fn split(mut self, split: bool) -> Self {
        self.split = split;
        self
    }

    pub(super) fn is_sorted(&self) -> bool {
        !self.order.is_empty()
    }

    pub(super) fn ordering(&self) -> Option<LexOrdering> {
        let expressions = self.order.iter().map(|(column, options)| {
            let expression: Arc<dyn PhysicalExpr> =
                Arc::new(Column::new(self.schema.field(*column).name(), *column));
            PhysicalSortExpr::new(expression, *options)
        });
        LexOrdering::new(expressions)
    }

    /// How rows must be distributed to streams: with an order a partition is one stream's, or a range of it where it is
    /// split.
    pub(super) fn distribution(&self) -> Distribution {
        if self.split {
            let behind = self.schema.fields().len() + usize::from(!self.checked.is_empty());
            return Distribution::KeyPartitioned(vec![Arc::new(Column::new(SLOT, behind))]);
        }
        if !self.is_sorted() && !self.exchanged && !self.single_file {
            return Distribution::UnspecifiedDistribution;
        }
        if self.partition.is_empty() {
            return Distribution::SinglePartition;
        }
        let columns = self
            .partition
            .indices()
            .map(|column| -> Arc<dyn PhysicalExpr> {
                Arc::new(Column::new(self.schema.field(column).name(), column))
            });
        Distribution::KeyPartitioned(columns.collect())
    }

    pub(super) fn partition_path(
        &self,
        batch: &RecordBatch,
        row: usize,
    ) -> crate::error::Result<String> {
        let path = self.partition.path(batch, row)?;
        Ok(if self.prefix.is_empty() {
            path
        } else {
            self.prefix.clone()
        })
    }

    /// The columns that go into the file.
    pub(super) fn file_batch(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = self
            .file_columns
            .iter()
            .map(|column| Arc::clone(batch.column(*column)))
            .collect();
        Ok(RecordBatch::try_new(
            Arc::clone(&self.file_schema),
            columns,
        )?)
    }
}

/// The full order of rows: partitions, then the declared order (in `merge`, the key is next), then every other column
/// that has an order. With it, equal rows are the only ones whose places could be swapped, so the files are a function
/// of the rows. Empty when the table declares no order, except that one file a partition takes one partition after the other.
fn order(
    schema: &Schema,
    partition_by: &[String],
    options: &TableOptions,
) -> Vec<(usize, SortOptions)> {
    let by_key = options.mode.requirements().key;
    let ascending = SortOptions {
        descending: false,
        nulls_first: false,
    };
    if options.sort.is_empty() && !by_key {
        let partitions = partition_by.iter().filter(|_| options.single_file);
        return partitions
            .filter_map(|name| Some((schema.index_of(name).ok()?, ascending)))
            .collect();
    }
    let declared = options.sort.iter().map(|key| {
        (
            &key.column,
            SortOptions {
                descending: key.descending,
                nulls_first: key.nulls_first,
            },
        )
    });
    let key: &[String] = if by_key { &options.key } else { &[] };
    let names = partition_by
        .iter()
        .map(|name| (name, ascending))
        .chain(declared)
        .chain(key.iter().map(|name| (name, ascending)))
        // A merge leaves each key once, which decides every order that ends with it; wide columns stay out of the sort.
        .chain(
            schema
                .fields()
                .iter()
                .filter(|_| !by_key)
                .map(|field| (field.name(), ascending)),
        );
    let mut order: Vec<(usize, SortOptions)> = Vec::new();
    for (name, options) in names {
        let Ok(index) = schema.index_of(name) else {
            continue;
        };
        if can_sort(schema.field(index).data_type())
            && order.iter().all(|(known, _)| *known != index)
        {
            order.push((index, options));
        }
    }
    order
}
