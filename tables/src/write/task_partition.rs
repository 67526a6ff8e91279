//! Which partition of the plan's input a task gave to a stream of the operator, in another process. Owns the numbers' way
//! there and back, and that no partition's rows are taken twice.
//!
//! A cluster cuts a plan into tasks by restricting its leaves to some partitions; the operator is not told which. So it
//! has a second input beside the rows, a table in memory whose partitions are one number each. It is restricted as the
//! rows are: a stream that reads the number 3 there has the rows of partition 3, however tasks were cut.

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, RecordBatch, UInt32Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, UInt32Type};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::ExecutionPlan;
use futures::TryStreamExt;

/// Numbers beyond those of the input's partitions: the cluster's own planner may turn a join into one that keeps the
/// partitions of an input, of which a union has more than were planned.
const SPARE_NUMBERS: usize = 64;

/// The second input of an operator whose first has `partitions`.
pub(super) fn numbers(partitions: usize) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = Arc::new(Schema::new(vec![Field::new(
        "task_partition",
        DataType::UInt32,
        false,
    )]));
    let count = u32::try_from(2 * partitions + SPARE_NUMBERS)
        .map_err(|_| internal_datafusion_err!("a plan of {partitions} partitions"))?;
    let partitions = (0..count)
        .map(|number| {
            let column = Arc::new(UInt32Array::from(vec![number]));
            Ok(vec![RecordBatch::try_new(
                Arc::clone(&schema),
                vec![column],
            )?])
        })
        .collect::<Result<Vec<_>>>()?;
    let numbers = MemorySourceConfig::try_new_exec(&partitions, schema, None)?;
    Ok(numbers)
}

/// The number that a stream of the second input gives.
pub(super) async fn number(mut stream: SendableRecordBatchStream) -> Result<u32> {
    let first = stream.try_next().await?;
    first
        .as_ref()
        .filter(|batch| batch.num_rows() == 1)
        .and_then(|batch| batch.column(0).as_primitive_opt::<UInt32Type>())
        .map(|column| column.value(0))
        .ok_or_else(|| internal_datafusion_err!("a part of the plan has no number"))
}

/// A number that is there more than once, if any is: a partition of the plan ran more than once.
pub(crate) fn repeated(numbers: &[u32]) -> Option<u32> {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    sorted
        .windows(2)
        .find(|pair| pair[0] == pair[1])
        .map(|pair| pair[0])
}

#[cfg(test)]
mod tests {
    use datafusion::execution::TaskContext;

    use super::*;

    #[tokio::test]
    async fn each_stream_reads_the_number_of_its_partition() {
        let plan = numbers(3).unwrap();
        for partition in 0..3 {
            let stream = plan
                .execute(partition, Arc::new(TaskContext::default()))
                .unwrap();
            assert_eq!(number(stream).await.unwrap() as usize, partition);
        }
    }

    #[test]
    fn a_partition_that_ran_twice_is_found() {
        assert_eq!(repeated(&[2, 0, 1]), None);
        assert_eq!(repeated(&[2, 0, 1, 0]), Some(0));
        assert_eq!(repeated(&[]), None);
    }
}
