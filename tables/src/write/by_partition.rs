//! Writing to more partitions than can be open: the rows, in any order, are sorted by the number of their partition,
//! spilling to disk as the memory pool demands, and each partition is written once. Owns the sort and what follows it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{AsArray, RecordBatch, UInt32Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use datafusion::common::internal_datafusion_err;
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::stream::FuturesUnordered;
use futures::{StreamExt, stream};
use tokio::sync::mpsc;

use super::StagedFile;
use super::encoder::PartitionWriter;
use super::partition_writers::PartitionWriters;

/// The column that is sorted by, behind those of the file.
const NUMBER: &str = "partition number";

/// A sort that takes rows from all streams of an operator, and the writing that follows it.
pub(super) struct Sorting {
    pub(super) sender: mpsc::Sender<RecordBatch>,
    task: SpawnedTask<Result<Vec<StagedFile>>>,
    schema: SchemaRef,
}

impl Sorting {
    /// Rows with the numbers of their partitions, as the sort takes them.
    pub(super) fn batch(&self, rows: &RecordBatch, numbers: Vec<u32>) -> Result<RecordBatch> {
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(UInt32Array::from(numbers)));
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    /// Ends the input and waits for the files.
    pub(super) async fn finish(self) -> Result<Vec<StagedFile>> {
        drop(self.sender);
        joined(self.task).await
    }
}

/// Begins to sort. Up to `encoders` files are encoded at once.
pub(super) fn start(
    writers: &Arc<PartitionWriters>,
    context: &Arc<TaskContext>,
    encoders: usize,
) -> Result<Sorting> {
    let file_fields = writers.spec.file_schema.fields();
    let number = file_fields.len();
    let mut fields: Vec<Arc<Field>> = file_fields.iter().cloned().collect();
    fields.push(Arc::new(Field::new(NUMBER, DataType::UInt32, false)));
    let schema = Arc::new(Schema::new(fields));
    let (sender, receiver) = mpsc::channel(1);
    let arriving = Arriving {
        schema: Arc::clone(&schema),
        receiver: Mutex::new(Some(receiver)),
    };
    let source = StreamingTableExec::try_new(
        Arc::clone(&schema),
        vec![Arc::new(arriving)],
        None,
        [],
        false,
        None,
    )?;
    let order = LexOrdering::new([PhysicalSortExpr::new_default(Arc::new(Column::new(
        NUMBER, number,
    )))]);
    let order = order.ok_or_else(|| internal_datafusion_err!("an order of one column is none"))?;
    let sorted = SortExec::new(order, Arc::new(source)).execute(0, Arc::clone(context))?;
    let reservation = MemoryConsumer::new("PartitionedWriteExec").register(context.memory_pool());
    let writers = Arc::clone(writers);
    Ok(Sorting {
        sender,
        task: SpawnedTask::spawn(
            async move { write(sorted, &writers, &reservation, encoders).await },
        ),
        schema,
    })
}

/// Writes rows that come sorted by number.
async fn write(
    mut sorted: SendableRecordBatchStream,
    writers: &PartitionWriters,
    reservation: &MemoryReservation,
    encoders: usize,
) -> Result<Vec<StagedFile>> {
    let spec = &writers.spec;
    let columns: Vec<usize> = (0..spec.file_schema.fields().len()).collect();
    let mut open: Option<(u32, PartitionWriter)> = None;
    let mut closing = FuturesUnordered::new();
    let mut files = Vec::new();
    while let Some(batch) = sorted.next().await {
        let batch = batch?;
        let numbers = batch
            .column(columns.len())
            .as_primitive::<UInt32Type>()
            .values();
        let rows = batch
            .project(&columns)?
            .with_schema(Arc::clone(&spec.file_schema))?;
        let mut at = 0;
        for run in numbers.chunk_by(|a, b| a == b) {
            let number = run[0];
            let mut writer = match open.take() {
                Some((before, writer)) if before == number => writer,
                other => {
                    if let Some((_, mut done)) = other {
                        closing.push(joined(SpawnedTask::spawn(
                            async move { done.close().await },
                        )));
                    }
                    if closing.len() > encoders
                        && let Some(closed) = closing.next().await
                    {
                        files.extend(closed?);
                    }
                    writers.writer(number)
                }
            };
            writer.write(rows.slice(at, run.len())).await?;
            at += run.len();
            open = Some((number, writer));
        }
        // The open row group is held whatever the pool says; it is bounded by the table's options.
        reservation.resize(open.as_ref().map_or(0, |(_, writer)| writer.memory()));
    }
    if let Some((_, mut done)) = open {
        files.extend(done.close().await?);
    }
    while let Some(closed) = closing.next().await {
        files.extend(closed?);
    }
    Ok(files)
}

async fn joined(task: SpawnedTask<Result<Vec<StagedFile>>>) -> Result<Vec<StagedFile>> {
    task.join_unwind()
        .await
        .map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))?
}

/// The rows that streams send, as the sort's input.
struct Arriving {
    schema: SchemaRef,
    receiver: Mutex<Option<mpsc::Receiver<RecordBatch>>>,
}

impl fmt::Debug for Arriving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arriving").finish_non_exhaustive()
    }
}

impl PartitionStream for Arriving {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let receiver = self
            .receiver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let rows = match receiver {
            Some(mut receiver) => stream::poll_fn(move |context| receiver.poll_recv(context))
                .map(Ok)
                .boxed(),
            None => stream::once(async {
                Err(internal_datafusion_err!("the sort's input was read twice"))
            })
            .boxed(),
        };
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            rows,
        ))
    }
}
