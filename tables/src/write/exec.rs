//! The operator that writes: rows in, one row per staged file out. The same in every process that executes plans, so
//! it knows nothing of the task it runs under; names come from the run and the rows.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, OrderingRequirements, PhysicalExpr,
};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType,
};
use datafusion::physical_plan::metrics::{
    Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    InputDistributionRequirements, Partitioning, PlanProperties, ReplaceChildrenOptions,
};
use futures::future::ready;
use futures::{StreamExt, TryStreamExt, stream};
use tracing::warn;

use super::partition_buffers::PartitionBuffers;
use super::rows::{row_schema, to_rows};
use super::{StagedFile, WriteSpec, discard, fence, gathered, sorted, task_partition};
use crate::error::Error;

/// Writes its input into staged Parquet files, one partition of the table per folder, and gives one row per file when
/// its input ends. Made by [`crate::Staging::write_plan`].
///
/// A stream that is dropped stops writing; its files stay staged until the run is abandoned. Executing a partition
/// again stages its rows again: the run must then be abandoned (its driver sees too many rows). In other processes it
/// looks at the run's fence, and stops by itself when it must not write any more.
#[derive(Debug)]
pub struct PartitionedWriteExec {
    input: Arc<dyn ExecutionPlan>,
    /// In other processes: tells each stream which part of the input it has.
    task_partitions: Option<Arc<dyn ExecutionPlan>>,
    pub(super) spec: Arc<WriteSpec>,
    open: Arc<PartitionBuffers>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl PartitionedWriteExec {
    pub(super) fn new(
        input: Arc<dyn ExecutionPlan>,
        task_partitions: Option<Arc<dyn ExecutionPlan>>,
        spec: Arc<WriteSpec>,
    ) -> Self {
        let streams = input.output_partitioning().partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(row_schema()),
            Partitioning::UnknownPartitioning(streams),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self {
            input,
            task_partitions,
            open: Arc::new(PartitionBuffers::new(&spec, streams)),
            spec,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// The operator over its inputs: the rows and, for other processes, the numbers of their parts.
    pub(super) fn over(inputs: Vec<Arc<dyn ExecutionPlan>>, spec: Arc<WriteSpec>) -> Result<Self> {
        let mut inputs = inputs.into_iter();
        match (inputs.next(), inputs.next(), inputs.next()) {
            (Some(input), task_partitions, None)
                if task_partitions.is_some() == spec.attempt.is_some() =>
            {
                Ok(Self::new(input, task_partitions, spec))
            }
            _ => internal_err!(
                "PartitionedWriteExec has the rows as its input and, in other processes, the numbers of their parts"
            ),
        }
    }
}

impl DisplayAs for PartitionedWriteExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let strategy = if self.spec.is_sorted() {
            "sorted"
        } else {
            "gathered"
        };
        write!(
            f,
            "PartitionedWriteExec: strategy={strategy}, table={}",
            self.spec.store.location()
        )
    }
}

impl ExecutionPlan for PartitionedWriteExec {
    fn name(&self) -> &str {
        "PartitionedWriteExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        let mut inputs = vec![self.spec.distribution()];
        inputs.resize(self.children().len(), Distribution::UnspecifiedDistribution);
        InputDistributionRequirements::new(inputs)
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        let mut inputs = vec![self.spec.ordering().map(OrderingRequirements::from)];
        inputs.resize(self.children().len(), None);
        inputs
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        // More streams are more open files for the same rows; the input is written as it is partitioned.
        vec![false; self.children().len()]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        std::iter::once(&self.input)
            .chain(&self.task_partitions)
            .collect()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // Always from scratch: the number of partitions follows the input's.
        let operator = Self::over(children, Arc::clone(&self.spec))?;
        Ok(Arc::new(operator))
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
        let streams = self.input.output_partitioning().partition_count();
        let distributed = self.input.output_partitioning().satisfaction(
            &self.spec.distribution(),
            self.input.equivalence_properties(),
            false,
        );
        // In other processes the input is a part of it, which does not say how it was distributed; there the driver sees who
        // wrote what.
        if self.spec.attempt.is_none() && !distributed.is_satisfied() {
            return internal_err!(
                "a partition of a sorted table, or a range of it, would be written by several of {streams} streams"
            );
        }
        let counters = Counters::new(&self.metrics, partition);
        let (read, discarded) = (counters.rows_read.clone(), counters.rows_discarded.clone());
        let (schema, checked) = (Arc::clone(&self.spec.schema), !self.spec.checked.is_empty());
        let part = match &self.task_partitions {
            Some(partitions) => Some(partitions.execute(partition, Arc::clone(&context))?),
            None => None,
        };
        let input = self.input.execute(partition, Arc::clone(&context))?;
        let input = RecordBatchStreamAdapter::new(
            input.schema(),
            input.and_then(move |batch| {
                read.add(batch.num_rows());
                let kept = if checked {
                    discard::fitting(&batch, &schema)
                } else {
                    Ok(batch.clone())
                };
                if let Ok(kept) = &kept {
                    discarded.add(batch.num_rows() - kept.num_rows());
                }
                ready(kept)
            }),
        );
        let (spec, open) = (Arc::clone(&self.spec), Arc::clone(&self.open));
        let fenced = Arc::clone(&self.spec);
        let written = async move {
            let part = match part {
                Some(part) => Some(task_partition::number(part).await?),
                None => None,
            };
            let input = Box::pin(input);
            let files = if spec.is_sorted() {
                let reservation =
                    MemoryConsumer::new("PartitionedWriteExec").register(context.memory_pool());
                let files =
                    sorted::write(input, &spec, &open.writers.ordinals, &reservation).await?;
                counters.check(&files)?;
                files
            } else {
                // Checked where the rows of all streams come together.
                gathered::write(input, open, context).await?
            };
            counters.count(&files);
            to_rows(&files, counters.rows_discarded.value() as u64, part)
        };
        let written = async move {
            let Some(attempt) = fenced.attempt else {
                return written.await;
            };
            let store = fenced.store.open()?;
            tokio::select! {
                biased;
                lost = fence::lost(store.as_ref(), &fenced.token, attempt) => {
                    if let Err(error) = store.give_up(&fenced.folder).await {
                        warn!(table = store.location(), %error, "staged files remain; the next run drops them");
                    }
                    Err(lost.into())
                }
                written = written => written,
            }
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            row_schema(),
            stream::once(written).boxed(),
        )))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// What one stream read and wrote.
struct Counters {
    rows_read: Count,
    rows_discarded: Count,
    rows_written: Count,
    files_written: Count,
    bytes_written: Count,
}

impl Counters {
    fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        let counter = |name: &'static str| MetricBuilder::new(metrics).counter(name, partition);
        Self {
            rows_read: counter("rows_read"),
            rows_discarded: counter("rows_discarded"),
            rows_written: counter("rows_written"),
            files_written: counter("files_written"),
            bytes_written: counter("bytes_written"),
        }
    }

    /// Every row that came in is in a file or was discarded, and none twice.
    fn check(&self, files: &[StagedFile]) -> Result<()> {
        let written: u64 = files.iter().map(|file| file.rows).sum();
        let read = self.rows_read.value() as u64;
        let discarded = self.rows_discarded.value() as u64;
        if written + discarded == read {
            Ok(())
        } else {
            Err(DataFusionError::from(Error::RowsLost {
                read,
                written,
                discarded,
            }))
        }
    }

    fn count(&self, files: &[StagedFile]) {
        let sum = |get: fn(&StagedFile) -> u64| {
            usize::try_from(files.iter().map(get).sum::<u64>()).unwrap_or(usize::MAX)
        };
        self.rows_written.add(sum(|file| file.rows));
        self.bytes_written.add(sum(|file| file.bytes));
        self.files_written.add(files.len());
    }
}
