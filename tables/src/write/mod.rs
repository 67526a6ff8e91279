//! Writing the rows of a run into staged files. Owns the plan that writes, its operator, the encoder and the formats of
//! files; does not know what is published or how it is decided.
//!
//! | strategy | when | open files | bytes |
//! |---|---|---|---|
//! | `sorted` | the table has an order | one per stream | a function of the rows alone |
//! | `gathered` | it has none | 256, shared by the streams | depend on how the rows arrive |
//!
//! Encoding happens where the rows are: in the poll of the operator's stream, as every operator of the engine does its
//! work. One stream per input partition is then the parallelism that the user set, and the encoder's memory is
//! accounted where it is held. A thread of its own per file would escape both. Only the disk is waited for elsewhere
//! (`store::local` writes on the blocking pool).

mod by_partition;
mod codec;
mod discard;
mod encoder;
mod exec;
pub(crate) mod fence;
pub(crate) mod format;
mod gathered;
mod lazy_store;
mod names;
mod partition_buffers;
mod partition_index;
mod rows;
mod scatter;
mod sorted;
mod split;
pub(crate) mod task_partition;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{Distribution, LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use crate::layout::PartitionColumns;
use crate::log_options::LogOptions;
use crate::options::TableOptions;
use crate::schema::{TableSchema, can_sort};

pub use codec::{decode_operator, encode_operator};
pub use exec::PartitionedWriteExec;
pub use rows::StagedFile;
pub(crate) use rows::{Rows, read_rows};
pub(crate) use split::{Split, SplitKeys};

use format::FileEncoding;
use lazy_store::LazyStore;

/// The staging folder of the rows that a run writes: in this process, or in others by one of several attempts.
pub(crate) fn rows_folder(token: &str, attempt: Option<u32>) -> String {
    match attempt {
        None => format!("{token}/rows"),
        Some(number) => format!("{token}/rows-{number}"),
    }
}

/// Where row groups and files are cut.
#[derive(Debug)]
struct Limits {
    row_group_rows: usize,
    row_group_bytes: usize,
    target_file_bytes: u64,
}

/// What the operator writes, and where.
#[derive(Debug)]
pub(crate) struct WriteSpec {
    store: LazyStore,
    token: String,
    folder: String,
    /// Whether the staged files are read before they are published.
    readable: bool,
    /// For partitions whose published rows are in one file: its name, which the first new file takes.
    replaced_names: HashMap<String, String>,
    /// The columns of the input, after [`plan`] brought them to the table's types.
    schema: SchemaRef,
    /// Put before the path that the partition columns give: the partition whose rows these are.
    prefix: String,
    partition: PartitionColumns,
    file_schema: SchemaRef,
    file_columns: Vec<usize>,
    order: Vec<(usize, SortOptions)>,
    watched_key: Vec<usize>,
    /// Columns whose values may not fit; see [`discard`].
    checked: Vec<String>,
    /// Which attempt of the run this is, if other processes write: then a writer stops when it is fenced off.
    attempt: Option<u32>,
    /// Whether all rows of a partition are one stream's although the table has no order.
    exchanged: bool,
    /// Whether the rows say by which stream each is written; see [`split`].
    split: bool,
    /// What [`codec`] needs to make the same specification elsewhere.
    table_schema: TableSchema,
    log_options: LogOptions,
    limits: Limits,
    encoding: Box<dyn FileEncoding>,
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

    /// The same, to be written by other processes in this attempt of the run. If rows are `exchanged`, each partition is written
    /// by one of them; with an order it always is.
    pub(crate) fn in_attempt(mut self, attempt: u32, exchanged: bool) -> Self {
        self.folder = rows_folder(&self.token, Some(attempt));
        self.attempt = Some(attempt);
        self.exchanged = exchanged;
        if !exchanged && !self.is_sorted() {
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
                row_group_rows: options.row_group_rows,
                row_group_bytes: options.row_group_bytes,
                target_file_bytes: options.target_file_bytes,
            },
            encoding: format::of_tables().encoding(options),
        }
    }

    /// The same, of rows with one column more, which says by which stream each is written.
    fn split(mut self, split: bool) -> Self {
        self.split = split;
        self
    }

    fn is_sorted(&self) -> bool {
        !self.order.is_empty()
    }

    fn ordering(&self) -> Option<LexOrdering> {
        let expressions = self.order.iter().map(|(column, options)| {
            let expression: Arc<dyn PhysicalExpr> =
                Arc::new(Column::new(self.schema.field(*column).name(), *column));
            PhysicalSortExpr::new(expression, *options)
        });
        LexOrdering::new(expressions)
    }

    /// How rows must be distributed to streams: with an order a partition is one stream's, or a range of it where it is split.
    fn distribution(&self) -> Distribution {
        if self.split {
            let behind = self.schema.fields().len() + usize::from(!self.checked.is_empty());
            return Distribution::KeyPartitioned(vec![Arc::new(Column::new(split::SLOT, behind))]);
        }
        if !self.is_sorted() && !self.exchanged {
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

    fn partition_path(&self, batch: &RecordBatch, row: usize) -> crate::error::Result<String> {
        let path = self.partition.path(batch, row)?;
        Ok(if self.prefix.is_empty() {
            path
        } else {
            self.prefix.clone()
        })
    }

    /// The columns that go into the file.
    fn file_batch(&self, batch: &RecordBatch) -> Result<RecordBatch> {
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

/// The plan of which [`Split::read`] reads the rows: of `input`, which has the columns of `keys`. `None` if no partition
/// can be large, by the number of rows that the input is known to have.
pub(crate) fn sample_plan(
    input: Arc<dyn ExecutionPlan>,
    keys: &SplitKeys,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    split::sample(input, keys)
}

/// The full order of rows: partitions, then the declared order (in `merge`, the key is next), then every other column
/// that has an order. With it, equal rows are the only ones whose places could be swapped, so the files are a function
/// of the rows. Empty when the table declares no order.
fn order(
    schema: &Schema,
    partition_by: &[String],
    options: &TableOptions,
) -> Vec<(usize, SortOptions)> {
    let by_key = options.mode.requirements().key;
    if options.sort.is_empty() && !by_key {
        return Vec::new();
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
    let ascending = SortOptions {
        descending: false,
        nulls_first: false,
    };
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

/// Sorted streams at most: each holds the row group of an open file, whatever the memory pool says.
const MAX_SORTED_STREAMS: usize = 4;

/// Wraps `input`: its columns by name and cast to the table's types, its rows sorted if the table has an order, then
/// the operator.
///
/// A sorted table is written by several streams, each of which has all rows of its partitions; so no merge of streams
/// is needed, which would want memory that the sorts before it hold. Other processes write by `streams` of them, if the
/// rows have to be exchanged at all: without an order, the streams of each process share its files, and no row travels.
/// With a `split` of the partitions, ranges of them are assigned instead.
pub(crate) fn plan(
    input: Arc<dyn ExecutionPlan>,
    spec: WriteSpec,
    split: Option<&(SplitKeys, Split)>,
    streams: Option<usize>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let mut input = discard::to_schema(input, &spec.schema, &spec.checked)?;
    let count = input.output_partitioning().partition_count();
    let streams = streams.unwrap_or(count.min(MAX_SORTED_STREAMS));
    let spec = spec.split(split.is_some());
    if let Some((keys, split)) = split {
        input = split::assign(input, keys, split.assign(streams)?);
    }
    if count > 1 {
        input = match spec.distribution() {
            Distribution::UnspecifiedDistribution => input,
            Distribution::SinglePartition => Arc::new(CoalescePartitionsExec::new(input)),
            distribution => {
                let partitioning = distribution.create_partitioning(streams);
                Arc::new(RepartitionExec::try_new(input, partitioning)?)
            }
        };
    }
    if let Some(ordering) = spec.ordering()
        && !input
            .equivalence_properties()
            .ordering_satisfy(ordering.iter().cloned())?
    {
        input = Arc::new(SortExec::new(ordering, input).with_preserve_partitioning(true));
    }
    let task_partitions = match spec.attempt {
        Some(_) => Some(task_partition::numbers(
            input.output_partitioning().partition_count(),
        )?),
        None => None,
    };
    let operator = PartitionedWriteExec::new(input, task_partitions, Arc::new(spec));
    Ok(Arc::new(operator))
}

/// The bytes of these rows. Batches are often slices of a larger one; counting all of that for each of them would give
/// memory back that is not held.
fn bytes_of(rows: &RecordBatch) -> usize {
    let column = |array: &ArrayRef| {
        array
            .to_data()
            .get_slice_memory_size()
            .unwrap_or_else(|_| array.get_array_memory_size())
    };
    rows.columns().iter().map(column).sum()
}

/// Names the files of each partition, over all streams of one operator.
///
/// With an order, a partition's files are the work of one stream, and their names are a function of the run, its attempt
/// and the rows. Without one, several processes may write files of one partition, so each adds something of its own.
#[derive(Debug, Default)]
struct Ordinals {
    next: Mutex<HashMap<(String, u32), u32>>,
    suffix: String,
}

impl Ordinals {
    fn new(spec: &WriteSpec) -> Self {
        let suffix = if spec.is_sorted() {
            // Where an unfinished file belongs to the key under which it will be published, attempts must not share it.
            spec.attempt
                .map_or_else(String::new, |attempt| format!("-{attempt:08x}"))
        } else {
            // The last 32 bits are random in every version of UUID that is made here.
            format!("-{:08x}", uuid::Uuid::now_v7().as_u128() & 0xFFFF_FFFF)
        };
        Self {
            next: Mutex::default(),
            suffix,
        }
    }

    fn suffix(&self) -> &str {
        &self.suffix
    }

    /// The next in a range of a partition.
    fn next(&self, partition: &str, range: u32) -> u32 {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let next = next.entry((partition.to_owned(), range)).or_default();
        *next += 1;
        *next - 1
    }
}
