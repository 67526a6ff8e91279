//! The streams of one writer in any interleaving: whoever begins late, waits long or ends first, each partition becomes
//! one file while its rows fit, and no row is lost or doubled.
//!
//! The scheduler is the test's own: a seed says which stream is polled next, and which of their inputs have rows then. So
//! an interleaving that breaks something is one seed, not one in twenty runs.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tables::TableOptions;

use crate::support::{TestResult, covered, info, ints, new_table, rows_below, texts};

/// Rows of which every stream has some of every partition.
fn rows(stream: usize, streams: usize, partitions: i64, count: i64) -> TestResult<RecordBatch> {
    let ids = || (0..count).filter(move |id| *id as usize % streams == stream);
    Ok(RecordBatch::try_from_iter([
        ("id", ints(ids())),
        (
            "part",
            ints(ids().map(|id| Some(id.wrapping_mul(7) / 5 % partitions))),
        ),
        ("text", texts(ids().map(|id| Some(format!("text {id}"))))),
    ])?)
}

/// Batches that come after some refusals, drawn from a seed.
#[derive(Debug)]
struct Reluctant {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    seed: u64,
}

impl PartitionStream for Reluctant {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let mut rows = stream::iter(self.batches.clone());
        let batches = stream::poll_fn(move |context| {
            if random.random_ratio(1, 3) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Pin::new(&mut rows).poll_next(context)
        });
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            batches.map(Ok),
        ))
    }
}

fn input(
    streams: usize,
    partitions: i64,
    count: i64,
    seed: u64,
) -> TestResult<Arc<dyn ExecutionPlan>> {
    let mut arriving: Vec<Arc<dyn PartitionStream>> = Vec::new();
    for stream in 0..streams {
        let rows = rows(stream, streams, partitions, count)?;
        arriving.push(Arc::new(Reluctant {
            schema: rows.schema(),
            batches: (0..rows.num_rows())
                .step_by(64)
                .map(|at| rows.slice(at, 64.min(rows.num_rows() - at)))
                .collect(),
            seed: seed.wrapping_mul(31).wrapping_add(stream as u64),
        }));
    }
    let schema = Arc::clone(arriving.first().ok_or("no stream")?.schema());
    Ok(Arc::new(StreamingTableExec::try_new(
        schema,
        arriving,
        None,
        [],
        false,
        None,
    )?))
}

/// Polls the streams as the seed says, until all have ended. Each begins when it is first drawn.
async fn interleaved(
    plan: &Arc<dyn ExecutionPlan>,
    context: &Arc<TaskContext>,
    seed: u64,
) -> Result<Vec<RecordBatch>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let count = plan.output_partitioning().partition_count();
    // How eagerly each is polled: some end before others were seen at all.
    let eagerness: Vec<u32> = (0..count).map(|_| 1 << random.random_range(0..8)).collect();
    let mut streams: Vec<Option<SendableRecordBatchStream>> = (0..count).map(|_| None).collect();
    let mut left: Vec<usize> = (0..count).collect();
    let mut batches = Vec::new();
    while !left.is_empty() {
        let all: u32 = left.iter().map(|stream| eagerness[*stream]).sum();
        let mut drawn = random.random_range(0..all);
        let at = left.iter().position(|stream| {
            let eagerness = eagerness[*stream];
            let found = drawn < eagerness;
            drawn = drawn.saturating_sub(eagerness);
            found
        });
        let at = at.unwrap_or_default();
        let slot = &mut streams[left[at]];
        let stream = match slot {
            Some(stream) => stream,
            None => slot.insert(plan.execute(left[at], Arc::clone(context))?),
        };
        match Pin::new(stream).poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(batch)) => batches.push(batch?),
            Poll::Ready(None) => {
                left.swap_remove(at);
            }
            // What they wait for, the disk and tasks of the writer, is the runtime's.
            Poll::Pending => tokio::task::yield_now().await,
        }
    }
    Ok(batches)
}

struct Shape {
    seeds: u64,
    streams: usize,
    partitions: i64,
    count: i64,
    /// Of the pool, bytes.
    memory: usize,
}

async fn write(shape: &Shape, seed: u64, one_by_one: bool) -> TestResult {
    let (_parent, folder, table) = new_table()?;
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(shape.memory)))
        .build()?;
    let mut config = SessionConfig::new().with_target_partitions(shape.streams);
    config.options_mut().execution.sort_spill_reservation_bytes = 256 << 10;
    let ctx = SessionContext::new_with_config_rt(config, Arc::new(runtime));
    let input = input(shape.streams, shape.partitions, shape.count, seed)?;
    let options = TableOptions {
        partition_by: vec!["part".to_owned()],
        ..TableOptions::default()
    };
    let staging = table.begin("run-1", options, &input.schema()).await?;
    let plan = staging.write_plan(input)?;
    let context = ctx.task_ctx();
    let batches = if one_by_one {
        let mut batches = Vec::new();
        for stream in 0..shape.streams {
            let rows = plan.execute(stream, Arc::clone(&context))?;
            batches.extend(rows.try_collect::<Vec<_>>().await?);
        }
        batches
    } else {
        interleaved(&plan, &context, seed).await?
    };
    let change = staging.prepare(&ctx, staging.staged(&batches)?).await?;
    let commit = staging.publish(change, info(1)).await?;
    assert_eq!(
        (commit.totals.rows, commit.totals.partitions),
        (shape.count as u64, shape.partitions as u64)
    );
    assert_eq!(
        commit.totals.files, shape.partitions as u64,
        "one file for each partition"
    );
    let mut ids: Vec<i64> = rows_below(&folder)?
        .iter()
        .filter_map(|row| row.split(": ").nth(1)?.split('|').next()?.parse().ok())
        .collect();
    ids.sort_unstable();
    assert!(
        ids.iter().copied().eq(0..shape.count),
        "every row once: {} rows",
        ids.len()
    );
    drop(plan);
    assert_eq!(
        ctx.runtime_env().memory_pool.reserved(),
        0,
        "everything is given back"
    );
    Ok(())
}

/// Few partitions, which stay open; many, which are sorted from the first rows on.
const SHAPES: [Shape; 2] = [
    Shape {
        seeds: 60,
        streams: 3,
        partitions: 5,
        count: 2_000,
        memory: 64 << 20,
    },
    Shape {
        seeds: 5,
        streams: 3,
        partitions: 270,
        count: 1_890,
        memory: 4 << 20,
    },
];

#[tokio::test]
async fn streams_that_run_one_after_the_other_share_their_files() -> TestResult {
    for shape in &SHAPES {
        write(shape, 0, true).await?;
    }
    Ok(())
}

#[tokio::test]
async fn streams_share_their_files_in_every_interleaving() -> TestResult {
    for shape in &SHAPES {
        for seed in 0..shape.seeds {
            write(shape, seed, false).await.map_err(|error| {
                format!("seed {seed}, {} partitions: {error}", shape.partitions)
            })?;
        }
    }
    let seeds: u64 = SHAPES.iter().map(|shape| shape.seeds).sum();
    covered(&format!("{seeds} interleavings"));
    Ok(())
}
