//! Writing an output's rows to where no reader sees them. Owns the attempts: what one consists of, wherever it is executed,
//! and that rows which several processes wrote are believed only after they were counted a second way.
//!
//! ```text
//! attempt 1 ─► stop earlier writers ─► (sample) ─► plan ─► execute ─► rows of one writer per partition ─► count ─► staged
//!     │             memory is exhausted; an executor is lost, a part ran twice, the count differs
//! attempt 2 ─► …
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use connectors::sink::{StagedRows, Transaction};
use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::common::stats::Precision;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use engine::JoinStrategy;
use serde_json::{Value, json};

use super::account::Account;
use super::context::{RunContext, StageReport};
use super::error::{RunError, chain};
use super::event::Status;
use super::executor::{Attempt, Executor, Failed, Planned, Purpose, Target};
use super::output::{name, table_failed};
use super::quantity::bytes;
use crate::store::StageName;
use language::Output;

/// An output that is open: its rows may be written, by nobody else.
#[derive(Debug)]
pub struct OpenOutput {
    /// As declared.
    pub output: Output,
    /// Where it is.
    pub location: String,
    /// What its query reads in place.
    pub reads: String,
    /// This run's work on it.
    pub transaction: Box<dyn Transaction>,
    /// What writing its rows came to, once they are staged.
    pub written: Option<Written>,
}

/// Rows that were written, and the time that it took, their query included.
#[derive(Debug, Clone, Copy)]
pub struct Written {
    /// The rows, and their bytes.
    pub rows: StagedRows,
    /// The time of the attempt that succeeded.
    pub took: Duration,
}

/// An output that is staged but not yet published.
#[derive(Debug)]
pub struct StagedOutput {
    /// The output.
    pub open: OpenOutput,
    /// What was staged.
    pub rows: StagedRows,
    /// What its query read.
    pub read: ReadRows,
}

/// What a query took from its sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadRows {
    /// Rows, landed ones included.
    pub scanned: u64,
    /// Those of them that it left out, where that can be told.
    pub filtered: u64,
}

/// Stages every output.
///
/// # Errors
/// What the last attempt at an output failed with; then all of them are given back.
pub async fn write_all(
    run: &RunContext,
    executor: &Executor,
    opened: Vec<(OpenOutput, LogicalPlan)>,
) -> Result<Vec<StagedOutput>, RunError> {
    run.begin(StageName::Write).await?;
    run.snapshot("write start").await?;
    match executor.status() {
        Some(status) => run.show(StageName::Write, status),
        None => show_memory(run, StageName::Write),
    }
    let mut staged: Vec<StagedOutput> = Vec::new();
    let mut waiting = opened.into_iter();
    for (open, plan) in waiting.by_ref() {
        match open.stage(run, executor, &plan).await {
            Ok(output) => staged.push(output),
            Err((error, open)) => {
                let staged = staged.into_iter().map(|output| output.open);
                let left = staged.chain(waiting.map(|(open, _)| open));
                return Err(give_back([*open].into_iter().chain(left), error).await);
            }
        }
    }
    run.snapshot("write end").await?;
    let accounts = executor.accounts();
    run.end(
        StageName::Write,
        StageReport {
            rows: staged.iter().map(|output| output.rows.rows).sum(),
            bytes: staged.iter().map(|output| output.rows.bytes).sum(),
            detail: accounts.map_or(Value::Null, |accounts| json!({ "cluster": accounts })),
        },
    )
    .await?;
    Ok(staged)
}

/// Lets go of outputs after `error`; what goes wrong with that is only worth a line in the log.
pub async fn give_back(opened: impl IntoIterator<Item = OpenOutput>, error: RunError) -> RunError {
    for output in opened {
        output
            .transaction
            .abandon()
            .await
            .unwrap_or_else(|error| tracing::warn!(error = %chain(&error), "staging remains"));
    }
    error
}

/// Lets the observer see what memory the process has.
pub fn show_memory(run: &RunContext, stage: StageName) {
    let (memory, ceiling) = (Arc::clone(&run.memory), run.settings.memory.value);
    run.show(stage, move || Status {
        detail: format!(
            "RSS {} of {}",
            bytes(memory.report().now.resident),
            bytes(ceiling)
        ),
        ..Status::default()
    });
}

impl OpenOutput {
    /// Stages the rows of a query, with as many attempts as the executor has a reason for.
    ///
    /// # Errors
    /// What the last attempt failed with, and the output.
    async fn stage(
        mut self,
        run: &RunContext,
        executor: &Executor,
        query: &LogicalPlan,
    ) -> Result<StagedOutput, (RunError, Box<Self>)> {
        match self.attempts(run, executor, query).await {
            Ok((rows, read)) => Ok(StagedOutput {
                open: self,
                rows,
                read,
            }),
            Err(error) => Err((error, Box::new(self))),
        }
    }

    async fn attempts(
        &mut self,
        run: &RunContext,
        executor: &Executor,
        query: &LogicalPlan,
    ) -> Result<(StagedRows, ReadRows), RunError> {
        let name = name(&self.output);
        let (mut number, mut relieved) = (1, false);
        loop {
            let began = Instant::now();
            let attempt = async {
                let attempt = executor.attempt(number, relieved).await?;
                let staged = self.stage_once(run, &attempt, query).await?;
                attempt.succeeded(&name);
                Ok(staged)
            };
            let tried = tokio::select! {
                biased;
                () = run.stop.asked() => return Err(run.interrupted()),
                tried = attempt => tried,
            };
            let error = match tried {
                Ok(staged) => {
                    self.written = Some(Written {
                        rows: staged.0,
                        took: began.elapsed(),
                    });
                    return Ok(staged);
                }
                Err(error) => error,
            };
            let Some(again) = executor.again(&name, number, relieved, &error) else {
                return Err(error);
            };
            run.warn(again.warning).await?;
            tokio::select! {
                biased;
                () = run.stop.asked() => return Err(run.interrupted()),
                () = tokio::time::sleep(again.pause) => {}
            }
            (number, relieved) = (number + 1, again.relieved);
        }
    }

    async fn stage_once(
        &mut self,
        run: &RunContext,
        attempt: &Attempt<'_>,
        query: &LogicalPlan,
    ) -> Result<(StagedRows, ReadRows), RunError> {
        let begun = self.transaction.begin_attempt(attempt.writers()).await;
        begun.map_err(|error| self.table_failed(error))?;
        let sampled = self.sample(run, attempt, query).await?;
        let planned = attempt.plan(run, query).await?;
        let mut planned = planned.map_err(|error| self.query_failed(error))?;
        let known = exact_rows(planned.physical.as_ref()).or(sampled);
        let writing = self.transaction.write_plan(Arc::clone(&planned.physical));
        planned.physical = writing.map_err(|error| self.table_failed(error))?;
        let executed = Arc::clone(&planned.physical);
        let session = (planned.state.clone(), planned.joins);
        let written = self.execute(run, attempt, planned, Purpose::Write).await?;
        let staged = self.transaction.staged(&written);
        let staged = staged.map_err(|error| self.table_failed(error))?;
        if attempt.is_counted() {
            let expected = match known {
                Some(rows) => rows,
                None => self.count(run, attempt, query).await?,
            };
            let given = staged.rows + staged.discarded;
            if given != expected {
                return Err(RunError::Miscounted {
                    output: name(&self.output),
                    given,
                    expected,
                });
            }
            self.bad_rows(run, attempt, session, executed.as_ref())
                .await?;
        }
        let read = self.account(query, attempt.scanned(executed.as_ref()), staged)?;
        Ok((staged, read))
    }

    /// Asks executors what was bad in the files that they read.
    async fn bad_rows(
        &self,
        run: &RunContext,
        attempt: &Attempt<'_>,
        (state, joins): (SessionState, JoinStrategy),
        executed: &dyn ExecutionPlan,
    ) -> Result<(), RunError> {
        let scans = files::bad_row_scans(executed).map_err(|error| self.query_failed(error))?;
        for scan in scans {
            let planned = Planned {
                state: state.clone(),
                physical: Arc::clone(&scan.plan),
                joins,
            };
            let told = self
                .execute(run, attempt, planned, Purpose::BadRows)
                .await?;
            scan.take(&told).map_err(|error| self.query_failed(error))?;
        }
        Ok(())
    }

    /// What became of the rows that were scanned, where that can be told.
    fn account(
        &self,
        query: &LogicalPlan,
        scanned: u64,
        staged: StagedRows,
    ) -> Result<ReadRows, RunError> {
        let given = staged.rows + staged.discarded;
        let filtered = match Account::of(query) {
            // Executors do not count what they read of other sources.
            Some(account) if scanned > 0 || given == 0 => account.left_out(scanned, given),
            _ => Some(0),
        };
        let filtered = filtered.ok_or_else(|| RunError::Unaccounted {
            output: name(&self.output),
            read: scanned,
            given,
        })?;
        Ok(ReadRows { scanned, filtered })
    }

    /// Looks at the rows first, if where they go depends on them; then it is known how many there are.
    async fn sample(
        &mut self,
        run: &RunContext,
        attempt: &Attempt<'_>,
        query: &LogicalPlan,
    ) -> Result<Option<u64>, RunError> {
        let looking = self.transaction.sample_query(query);
        let Some(looking) = looking.map_err(|error| self.table_failed(error))? else {
            return Ok(None);
        };
        let planned = attempt.plan(run, &looking).await?;
        let mut planned = planned.map_err(|error| self.query_failed(error))?;
        let sampling = self.transaction.sample_plan(planned.physical);
        let Some(sampling) = sampling.map_err(|error| self.table_failed(error))? else {
            return Ok(None);
        };
        planned.physical = sampling;
        let sampled = self.execute(run, attempt, planned, Purpose::Sample).await?;
        let rows = self.transaction.use_sample(&sampled);
        rows.map(Some).map_err(|error| self.table_failed(error))
    }

    /// The rows of a query, counted by executing it once more.
    async fn count(
        &self,
        run: &RunContext,
        attempt: &Attempt<'_>,
        query: &LogicalPlan,
    ) -> Result<u64, RunError> {
        let counting = LogicalPlanBuilder::from(query.clone())
            .aggregate(Vec::<Expr>::new(), vec![count(lit(1_i64))])
            .and_then(LogicalPlanBuilder::build)
            .map_err(|error| self.query_failed(error))?;
        let planned = attempt.plan(run, &counting).await?;
        let planned = planned.map_err(|error| self.query_failed(error))?;
        let rows = self.execute(run, attempt, planned, Purpose::Count).await?;
        Ok(single_count(&rows))
    }

    async fn execute(
        &self,
        run: &RunContext,
        attempt: &Attempt<'_>,
        planned: Planned,
        purpose: Purpose,
    ) -> Result<Vec<RecordBatch>, RunError> {
        let target = Target {
            name: &name(&self.output),
            is_far: self.location.contains("://"),
        };
        let executed = attempt.execute(run, planned, &target, purpose).await;
        executed.map_err(|failed| match failed {
            Failed::Query(error) => self.query_failed(error),
            Failed::Run(error) => error,
        })
    }

    fn query_failed(&self, error: DataFusionError) -> RunError {
        let doing = format!("the query of the output `{}`", name(&self.output));
        match RunError::engine(doing, error) {
            // What was read may be to blame, and the engine does not say what that was.
            RunError::Engine { doing, source } if !self.reads.is_empty() => RunError::Engine {
                doing: format!("{doing}, which reads {},", self.reads),
                source,
            },
            error => error,
        }
    }

    /// An error of the place where the rows go.
    pub fn table_failed(&self, source: tables::Error) -> RunError {
        table_failed(&self.location, source)
    }
}

/// The number in the only row of the result; 0 if there is none, which no table of rows has.
fn single_count(rows: &[RecordBatch]) -> u64 {
    rows.iter()
        .filter(|batch| batch.num_rows() == 1)
        .filter_map(|batch| batch.column(0).as_primitive_opt::<Int64Type>())
        .map(|column| u64::try_from(column.value(0)).unwrap_or_default())
        .sum()
}

/// The rows of a plan, where its files alone tell.
fn exact_rows(plan: &dyn ExecutionPlan) -> Option<u64> {
    let statistics = StatisticsContext::new()
        .compute(plan, &StatisticsArgs::new())
        .ok()?;
    match statistics.num_rows {
        Precision::Exact(rows) => Some(rows as u64),
        _ => None,
    }
}
