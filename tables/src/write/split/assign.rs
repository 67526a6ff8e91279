//! The operator that says of each row which range of its partition it is in and which stream writes it. Owns the column
//! that says it.

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::row::{RowConverter, Rows};
use datafusion::common::hash_utils::RandomState;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_datafusion_err, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, ChildrenPropertiesMode};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties, ReplaceChildrenOptions,
};
use futures::StreamExt;

use super::assignment::{AssignedRanges, RangeAssignment, SLOT};
use super::keys::SplitKeys;
use crate::write::partition_index::{PartitionIndex, PartitionLookup};

/// Adds [`SLOT`] to rows of a table.
#[derive(Debug)]
pub(crate) struct RangeAssignExec {
    input: Arc<dyn ExecutionPlan>,
    keys: Arc<SplitKeys>,
    assignment: Arc<RangeAssignment>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl RangeAssignExec {
    /// Over rows with the columns of `keys`, first and in its order.
    pub(crate) fn new(
        input: Arc<dyn ExecutionPlan>,
        keys: Arc<SplitKeys>,
        assignment: Arc<RangeAssignment>,
    ) -> Self {
        let mut fields = input.schema().fields().to_vec();
        fields.push(Arc::new(Field::new(SLOT, DataType::UInt64, false)));
        let schema = Arc::new(Schema::new(fields));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            input.pipeline_behavior(),
            Boundedness::Bounded,
        );
        Self {
            input,
            keys,
            assignment,
            schema,
            properties: Arc::new(properties),
        }
    }

    pub(crate) fn keys(&self) -> &SplitKeys {
        &self.keys
    }

    pub(crate) fn assignment(&self) -> &RangeAssignment {
        &self.assignment
    }
}

impl DisplayAs for RangeAssignExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let split = self.assignment.partitions.values();
        let split = split.filter(|partition| partition.slots.len() > 1);
        write!(f, "RangeAssignExec: split_partitions={}", split.count())
    }
}

impl ExecutionPlan for RangeAssignExec {
    fn name(&self) -> &str {
        "RangeAssignExec"
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
            (Some(input), true) => Ok(Arc::new(Self::new(
                input,
                Arc::clone(&self.keys),
                Arc::clone(&self.assignment),
            ))),
            _ => internal_err!("RangeAssignExec has one input"),
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
        let mut assigner = Assigner::new(&self.keys, Arc::clone(&self.assignment))?;
        let (keys, schema) = (Arc::clone(&self.keys), Arc::clone(&self.schema));
        let assigned = self.input.execute(partition, context)?.map(move |batch| {
            let batch = batch?;
            let slots = assigner.slots(&batch, &keys)?;
            let mut columns = batch.columns().to_vec();
            columns.push(Arc::new(UInt64Array::from(slots)));
            Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            assigned,
        )))
    }
}

/// One stream's way from rows to slots.
struct Assigner {
    assignment: Arc<RangeAssignment>,
    lookup: PartitionLookup,
    partitions: PartitionIndex,
    converter: RowConverter,
    /// By the number of the partition.
    known: HashMap<u32, Ranges>,
}

/// The ranges of a partition.
enum Ranges {
    One(u64),
    /// The first value of each but the first, and the slot of each.
    Several(Vec<Vec<u8>>, Vec<u64>),
}

impl Assigner {
    fn new(keys: &SplitKeys, assignment: Arc<RangeAssignment>) -> Result<Self> {
        Ok(Self {
            assignment,
            lookup: PartitionLookup::over(keys.schema.columns(), keys.partition(), String::new())?,
            partitions: PartitionIndex::default(),
            converter: keys.converter()?,
            known: HashMap::new(),
        })
    }

    fn slots(&mut self, batch: &RecordBatch, keys: &SplitKeys) -> Result<Vec<u64>> {
        if batch.num_rows() == 0 {
            return Ok(Vec::new());
        }
        let numbers = self.lookup.of(batch, &self.partitions)?;
        let mut values: Option<Rows> = None;
        let mut slots = Vec::with_capacity(numbers.len());
        for (row, number) in numbers.into_iter().enumerate() {
            if !self.known.contains_key(&number) {
                let ranges = ranges(&self.assignment, &self.partitions.path(number))?;
                self.known.insert(number, ranges);
            }
            slots.push(match self.known.get(&number) {
                None => 0,
                Some(Ranges::One(slot)) => *slot,
                Some(Ranges::Several(firsts, of_ranges)) => {
                    let values = match &values {
                        Some(values) => values,
                        None => {
                            let columns = keys.sort_columns(batch)?;
                            values.insert(self.converter.convert_columns(&columns)?)
                        }
                    };
                    let value = values.row(row);
                    let value: &[u8] = value.as_ref();
                    of_ranges[firsts.partition_point(|first| first.as_slice() <= value)]
                }
            });
        }
        Ok(slots)
    }
}

fn ranges(assignment: &RangeAssignment, path: &str) -> Result<Ranges> {
    match assignment.partitions.get(path) {
        Some(AssignedRanges { firsts, slots }) if slots.len() == firsts.len() + 1 => {
            if let ([], [slot]) = (firsts.as_slice(), slots.as_slice()) {
                return Ok(Ranges::One(*slot));
            }
            let firsts = firsts.iter().map(hex::decode).collect::<Result<_, _>>();
            let firsts = firsts
                .map_err(|error| internal_datafusion_err!("a range of {path} begins at {error}"))?;
            Ok(Ranges::Several(firsts, slots.clone()))
        }
        Some(_) => internal_err!("the ranges of {path} and their slots differ in number"),
        None => {
            let hash = RandomState::with_seed(0).hash_one(path);
            let streams = assignment.rest.len().max(1) as u64;
            let stream = usize::try_from(hash % streams).unwrap_or_default();
            Ok(Ranges::One(
                assignment.rest.get(stream).copied().unwrap_or_default(),
            ))
        }
    }
}
