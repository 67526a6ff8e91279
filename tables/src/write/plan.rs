//! The plan that writes: what is wrapped around the plan of the rows.

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::physical_expr::Distribution;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::exec::PartitionedWriteExec;
use super::spec::WriteSpec;
use super::split::{self, Split, SplitKeys};
use super::{discard, task_partition};

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
