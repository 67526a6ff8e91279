//! The operator that looks at the partition and sort columns of all rows and gives what was sampled. Owns its rows; what
//! is sampled is `sketch`'s to say.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayBuilder, AsArray, BinaryBuilder, RecordBatch, StringBuilder, UInt32Array,
    UInt32Builder, UInt64Builder,
};
use datafusion::arrow::compute::take_arrays;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type, UInt64Type};
use datafusion::arrow::row::RowConverter;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties, ReplaceChildrenOptions,
};
use futures::{StreamExt, stream};

use super::keys::SplitKeys;
use super::sketch::Sketch;
use crate::write::discard;
use crate::write::partition_index::{PartitionIndex, PartitionLookup};

/// The seed of the hash by which values are sampled.
const SEED: u64 = 0x5350_494C_4C57_4159;
/// Rows of a batch that the operator gives.
const BATCH_ROWS: usize = 8192;

/// Counts the rows of each partition and samples the values of the sort columns. Gives its findings when its input ends;
/// executed again, it finds the same.
#[derive(Debug)]
pub(crate) struct SampleExec {
    input: Arc<dyn ExecutionPlan>,
    keys: Arc<SplitKeys>,
    properties: Arc<PlanProperties>,
}

impl SampleExec {
    /// Over rows with the columns of `keys`, as `discard` brings them.
    pub(crate) fn new(input: Arc<dyn ExecutionPlan>, keys: Arc<SplitKeys>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema()),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self {
            input,
            keys,
            properties: Arc::new(properties),
        }
    }

    pub(crate) fn keys(&self) -> &SplitKeys {
        &self.keys
    }
}

impl DisplayAs for SampleExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SampleExec")
    }
}

impl ExecutionPlan for SampleExec {
    fn name(&self) -> &str {
        "SampleExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self::new(input, Arc::clone(&self.keys)))),
            _ => internal_err!("SampleExec has one input"),
        }
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let found = sample(input, Arc::clone(&self.keys), context);
        let batches = stream::once(found).flat_map(|found| match found {
            Ok(batches) => stream::iter(batches.into_iter().map(Ok)).left_stream(),
            Err(error) => stream::iter([Err(error)]).right_stream(),
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema(), batches)))
    }
}

async fn sample(
    mut input: SendableRecordBatchStream,
    keys: Arc<SplitKeys>,
    context: Arc<TaskContext>,
) -> Result<Vec<RecordBatch>> {
    let memory = MemoryConsumer::new("SampleExec").register(context.memory_pool());
    let mut sampler = Sampler::new(&keys)?;
    let mut sketch = Sketch::default();
    while let Some(batch) = input.next().await {
        let batch = batch?;
        sketch.look_at(batch.num_rows() as u64);
        let batch = match keys.checked.as_slice() {
            [] => batch,
            _ => discard::fitting(&batch, keys.schema.columns())?,
        };
        if batch.num_rows() > 0 {
            sampler.add(&batch, &keys, &mut sketch)?;
            // Bounded by the number of values, and small: what the pool says does not change what is sampled.
            memory.resize(sketch.memory());
        }
    }
    to_rows(&sketch)
}

struct Sampler {
    lookup: PartitionLookup,
    partitions: PartitionIndex,
    converter: RowConverter,
    hashes: Vec<u64>,
}

impl Sampler {
    fn new(keys: &SplitKeys) -> Result<Self> {
        Ok(Self {
            lookup: PartitionLookup::over(keys.schema.columns(), keys.partition(), String::new())?,
            partitions: PartitionIndex::default(),
            converter: keys.converter()?,
            hashes: Vec::new(),
        })
    }

    fn add(&mut self, batch: &RecordBatch, keys: &SplitKeys, sketch: &mut Sketch) -> Result<()> {
        let numbers = self.lookup.of(batch, &self.partitions)?;
        let columns = keys.sort_columns(batch)?;
        self.hashes.clear();
        self.hashes.resize(batch.num_rows(), 0);
        create_hashes(&columns, &RandomState::with_seed(SEED), &mut self.hashes)?;
        // Numbers of the lookup and of the sketch are the same: both are given in the order of appearance.
        let mut chosen = Vec::new();
        for (row, (number, hash)) in (0_u32..).zip(numbers.iter().zip(&self.hashes)) {
            if *number as usize == sketch.known() {
                sketch.number(&self.partitions.path(*number));
            }
            sketch.add_rows(*number, 1);
            if sketch.samples(*hash) {
                chosen.push(row);
            }
        }
        if chosen.is_empty() {
            return Ok(());
        }
        let rows = UInt32Array::from(chosen);
        let values = self
            .converter
            .convert_columns(&take_arrays(&columns, &rows, None)?)?;
        for (row, value) in rows.values().iter().zip(&values) {
            let row = *row as usize;
            sketch.sample(numbers[row], self.hashes[row], value.as_ref(), 1);
        }
        Ok(())
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        // None: all rows of the stream.
        Field::new("partition", DataType::Utf8, true),
        Field::new("rows", DataType::UInt64, false),
        Field::new("halved", DataType::UInt32, true),
        // None: all rows of the partition.
        Field::new("hash", DataType::UInt64, true),
        Field::new("value", DataType::Binary, true),
    ]))
}

#[derive(Default)]
struct Columns {
    partition: StringBuilder,
    rows: UInt64Builder,
    halved: UInt32Builder,
    hash: UInt64Builder,
    value: BinaryBuilder,
}

impl Columns {
    fn push(
        &mut self,
        partition: Option<&str>,
        rows: u64,
        halved: Option<u32>,
        value: Option<(u64, &[u8])>,
    ) {
        self.partition.append_option(partition);
        self.rows.append_value(rows);
        self.halved.append_option(halved);
        self.hash.append_option(value.map(|(hash, _)| hash));
        self.value.append_option(value.map(|(_, value)| value));
    }

    fn finish(&mut self) -> Result<RecordBatch> {
        Ok(RecordBatch::try_new(
            schema(),
            vec![
                Arc::new(self.partition.finish()),
                Arc::new(self.rows.finish()),
                Arc::new(self.halved.finish()),
                Arc::new(self.hash.finish()),
                Arc::new(self.value.finish()),
            ],
        )?)
    }
}

fn to_rows(sketch: &Sketch) -> Result<Vec<RecordBatch>> {
    let mut columns = Columns::default();
    let mut batches = Vec::new();
    columns.push(None, sketch.rows(), Some(sketch.halved()), None);
    for (path, rows) in sketch.partitions() {
        columns.push(Some(path), rows, None, None);
        if columns.rows.len() == BATCH_ROWS {
            batches.push(columns.finish()?);
        }
    }
    for (path, hash, value, rows) in sketch.values() {
        columns.push(Some(path), rows, None, Some((hash, value)));
        if columns.rows.len() == BATCH_ROWS {
            batches.push(columns.finish()?);
        }
    }
    batches.push(columns.finish()?);
    Ok(batches)
}

/// What all streams found, whatever processes they ran in.
pub(super) fn read(batches: &[RecordBatch]) -> Result<Sketch> {
    let mut sketch = Sketch::default();
    for batch in batches {
        if batch.schema().fields() != schema().fields() {
            return internal_err!("the plan's output is not a sample: {}", batch.schema());
        }
        let (partition, hash) = (batch.column(0).as_string::<i32>(), batch.column(3));
        let rows = batch.column(1).as_primitive::<UInt64Type>();
        let halved = batch.column(2).as_primitive::<UInt32Type>();
        let hashes = hash.as_primitive::<UInt64Type>();
        let values = batch.column(4).as_binary::<i32>();
        for row in 0..batch.num_rows() {
            if partition.is_null(row) {
                sketch.look_at(rows.value(row));
                sketch.halve(halved.value(row));
                continue;
            }
            let number = sketch.number(partition.value(row));
            if hash.is_null(row) {
                sketch.add_rows(number, rows.value(row));
            } else {
                let value = values.value(row);
                sketch.sample(number, hashes.value(row), value, rows.value(row));
            }
        }
    }
    Ok(sketch)
}
