//! Notices that a query of this process stands still: nothing moves in it, no thread works, and nothing outside is waited
//! for. Owns the observation and the report; what to do about it is the run's.
//!
//! Such a query would wait for ever, because its operators wait for one another. The engine promises that this does not
//! happen. Where it did, nobody could tell it from slow work.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::metrics::MetricValue;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::error;

use crate::memory::holders;

/// How often is looked.
const PERIOD: Duration = Duration::from_secs(1);
/// So many looks in a row at which nothing moved: half a minute.
const LOOKS: u32 = 30;
/// Clock ticks of processor time between two looks, at most: what counts memory and says that the run is alive takes a
/// little, and a query that works takes far more.
const TICKS: u64 = 8;
/// How often, and how far apart, threads are glanced at in one look.
const GLANCES: u32 = 5;
const BETWEEN: Duration = Duration::from_millis(5);

/// Who waits, and who holds what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standstill {
    waited: Duration,
    /// Operators that have not ended, and the rows that they gave.
    operators: BTreeMap<String, u64>,
    /// Operators that hold memory, and how many bytes.
    held: Vec<(String, usize)>,
}

impl fmt::Display for Standstill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "nothing moved for {} s, no thread worked, and nothing outside was waited for. Not ended:",
            self.waited.as_secs()
        )?;
        for (number, (name, rows)) in self.operators.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma} {name} after {rows} rows")?;
        }
        f.write_str(". Memory is held by")?;
        if self.held.is_empty() {
            f.write_str(" nobody")?;
        }
        for (number, (name, bytes)) in self.held.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma} {name}: {bytes} bytes")?;
        }
        Ok(())
    }
}

/// Waits until `plan`, which is executed meanwhile, stands still. For ever if it does not, or if its rows come from a storage
/// that is not on this machine: that may be slow, and has time limits of its own.
pub async fn standstill(plan: &Arc<dyn ExecutionPlan>) -> Standstill {
    if reads_from_afar(plan) {
        return std::future::pending().await;
    }
    observed(plan, PERIOD, LOOKS).await
}

async fn observed(plan: &Arc<dyn ExecutionPlan>, period: Duration, looks: u32) -> Standstill {
    let mut ticks = interval(period);
    // Time in which this process did not run, because it was suspended, is no time in which nothing moved.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = Look::at(plan).await;
    let mut still = 0;
    while still < looks {
        ticks.tick().await;
        let now = Look::at(plan).await;
        still = match (&before, &now) {
            (Some(before), Some(now)) if now.is_still_since(before) => still + 1,
            _ => 0,
        };
        before = now;
    }
    let report = Standstill {
        waited: period * looks,
        operators: unfinished(plan),
        held: holders(),
    };
    error!(%report, plan = %displayable(plan.as_ref()).indent(false), "the query stands still");
    report
}

/// What can be seen of a query that moves.
struct Look {
    /// All that its operators count, as one number.
    counted: usize,
    /// Processor time of this process, clock ticks.
    processor: u64,
    /// Threads that work or would, or that wait for a disk.
    busy: usize,
}

impl Look {
    /// `None` where the system does not tell.
    async fn at(plan: &Arc<dyn ExecutionPlan>) -> Option<Self> {
        let (_, processor) = stat("/proc/self/stat")?;
        let mut busy = busy()?;
        // A thread that only handed something over, as timers do, rests at the next glance.
        for _ in 0..GLANCES {
            if busy <= 1 {
                break;
            }
            sleep(BETWEEN).await;
            busy = busy.min(self::busy()?);
        }
        Some(Self {
            counted: counted(plan),
            processor,
            busy,
        })
    }

    /// The thread that looks is at work itself.
    fn is_still_since(&self, before: &Self) -> bool {
        self.counted == before.counted
            && self.busy <= 1
            && self.processor.saturating_sub(before.processor) <= TICKS
    }
}

/// Threads that work or would, or that wait for a disk; the one that looks among them.
fn busy() -> Option<usize> {
    let mut busy = 0;
    for thread in fs::read_dir("/proc/self/task").ok()? {
        // A thread may end while it is looked at.
        let state = stat(&format!("{}/stat", thread.ok()?.path().display()));
        busy += usize::from(matches!(state, Some(('R' | 'D', _))));
    }
    Some(busy)
}

/// State and processor time of a process or thread (proc(5): fields 3, 14 and 15; the second is a name in brackets).
fn stat(path: &str) -> Option<(char, u64)> {
    let text = fs::read_to_string(path).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some((fields.first()?.chars().next()?, ticks(11)? + ticks(12)?))
}

fn counted(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let own = plan.metrics().map_or(0, |metrics| {
        metrics.iter().fold(0, |sum: usize, metric| {
            sum.wrapping_add(metric.value().as_usize())
        })
    });
    let below = plan.children().into_iter().map(counted);
    below.fold(own, usize::wrapping_add)
}

/// Operators of which a stream has begun and not ended, and the rows that they gave.
fn unfinished(plan: &Arc<dyn ExecutionPlan>) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    // It never fails: nothing in it does.
    let _ = plan.apply(|node| {
        if let Some(metrics) = node.metrics() {
            let ended = metrics.iter().filter(|metric| match metric.value() {
                MetricValue::EndTimestamp(at) => at.value().is_some(),
                _ => false,
            });
            let streams = metrics
                .iter()
                .filter(|metric| matches!(metric.value(), MetricValue::OutputRows(_)));
            if ended.count() < streams.count().max(1) {
                let rows = metrics.output_rows().unwrap_or_default() as u64;
                *found.entry(String::from(node.name())).or_default() += rows;
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

fn reads_from_afar(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.exists(|node| {
        let source = node.downcast_ref::<DataSourceExec>();
        let files = source.and_then(|source| source.data_source().downcast_ref::<FileScanConfig>());
        Ok(files.is_some_and(|files| !files.object_store_url.as_str().starts_with("file://")))
    })
    .unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
    use datafusion::error::Result;
    use datafusion::execution::{SendableRecordBatchStream, TaskContext};
    use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
    use datafusion::physical_plan::collect;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
    use datafusion::prelude::SessionContext;
    use futures::stream;

    use super::*;
    use crate::{Budget, SessionOptions, session};

    const PERIOD: Duration = Duration::from_millis(50);
    const DEADLINE: Duration = Duration::from_secs(120);

    fn context() -> Result<SessionContext> {
        session(&SessionOptions::new(
            Budget::new(256 << 20, 2, 4096),
            std::env::temp_dir().join("spillway-standstill-test"),
        ))
    }

    /// Rows that never come.
    #[derive(Debug)]
    struct Never(SchemaRef);

    impl PartitionStream for Never {
        fn schema(&self) -> &SchemaRef {
            &self.0
        }

        fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
            Box::pin(RecordBatchStreamAdapter::new(
                Arc::clone(&self.0),
                stream::pending(),
            ))
        }
    }

    #[tokio::test]
    async fn a_query_in_which_nothing_moves_is_reported_with_its_operators() -> Result<()> {
        let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]));
        let inputs: Vec<Arc<dyn PartitionStream>> = vec![
            Arc::new(Never(Arc::clone(&schema))),
            Arc::new(Never(Arc::clone(&schema))),
        ];
        let input = StreamingTableExec::try_new(schema, inputs, None, [], false, None)?;
        let plan: Arc<dyn ExecutionPlan> = Arc::new(CoalescePartitionsExec::new(Arc::new(input)));
        let running = tokio::spawn(collect(Arc::clone(&plan), context()?.task_ctx()));
        let report = tokio::time::timeout(DEADLINE, observed(&plan, PERIOD, 8)).await;
        running.abort();
        let report =
            report.map_err(|_| datafusion::common::exec_datafusion_err!("nothing was noticed"))?;
        assert!(
            report.operators.contains_key("CoalescePartitionsExec"),
            "{report}"
        );
        assert!(report.to_string().contains("after 0 rows"), "{report}");
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_query_that_works_is_not() -> Result<()> {
        let ctx = context()?;
        let query =
            "SELECT count(DISTINCT md5(CAST(i AS TEXT))) FROM generate_series(1, 400000) AS t(i)";
        let plan = ctx.sql(query).await?.create_physical_plan().await?;
        let work = collect(Arc::clone(&plan), ctx.task_ctx());
        tokio::select! {
            report = observed(&plan, PERIOD, 20) => panic!("it worked: {report}"),
            rows = tokio::spawn(work) => assert_eq!(rows.unwrap()?.len(), 1),
        }
        Ok(())
    }
}
