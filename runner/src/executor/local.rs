//! Queries in this process. Owns the memory that they are planned with, at first and after it was exhausted, and that one
//! which does not move any more is ended.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionContext;
use engine::memory::executing;
use engine::{JoinStrategy, SessionOptions, is_scan, standstill};

use super::attempt::{Again, Failed, Planned, Target};
use crate::context::RunContext;
use crate::error::RunError;

/// See the module.
#[derive(Debug)]
pub struct Local {
    state: Box<SessionState>,
    options: SessionOptions,
}

/// One attempt.
#[derive(Debug)]
pub struct Attempt {
    state: Box<SessionState>,
    joins: JoinStrategy,
}

impl Local {
    /// In the session in which the queries were made, which has these options.
    pub fn new(ctx: &SessionContext, options: SessionOptions) -> Self {
        Self {
            state: Box::new(ctx.state()),
            options,
        }
    }

    pub(super) fn attempt(&self, relieved: bool) -> Result<Attempt, RunError> {
        let tightened = self.options.budget.tightened().filter(|_| relieved);
        let Some(budget) = tightened else {
            return Ok(Attempt {
                state: self.state.clone(),
                joins: self.options.budget.join_strategy(),
            });
        };
        let joins = budget.join_strategy();
        let options = SessionOptions {
            budget,
            ..self.options.clone()
        };
        let ctx = engine::session(&options).map_err(|error| RunError::Engine {
            doing: String::from("building the session"),
            source: Box::new(error),
        })?;
        Ok(Attempt {
            state: Box::new(ctx.state()),
            joins,
        })
    }

    /// Only memory that was exhausted is a reason to try again, once, with the least that can do.
    pub(super) fn again(&self, output: &str, relieved: bool, error: &RunError) -> Option<Again> {
        let exhausted = matches!(error, RunError::Engine { source, .. } if matches!(source.find_root(), DataFusionError::ResourcesExhausted(_)));
        (exhausted && !relieved && self.options.budget.tightened().is_some()).then(|| Again {
            warning: format!(
                "output `{output}` exhausted its memory; it is planned again with smaller batches, fewer partitions and joins that spill"
            ),
            relieved: true,
            pause: Duration::ZERO,
        })
    }
}

impl Attempt {
    pub(super) async fn plan(
        &self,
        run: &RunContext,
        query: &LogicalPlan,
    ) -> Result<Result<Planned, DataFusionError>, RunError> {
        let (state, query, joins) = (self.state.clone(), query.clone(), self.joins);
        run.query(async move {
            let physical = state.create_physical_plan(&query).await?;
            Ok(Planned {
                state: *state,
                physical,
                joins,
            })
        })
        .await
    }

    pub(super) async fn execute(
        &self,
        run: &RunContext,
        planned: Planned,
        output: &Target<'_>,
    ) -> Result<Vec<RecordBatch>, Failed> {
        let Planned {
            state, physical, ..
        } = planned;
        let _executing = executing(&physical);
        let stands_still = async {
            // What is written far away may be waited for as well.
            if output.is_far {
                return std::future::pending().await;
            }
            standstill(&physical).await
        };
        tokio::select! {
            rows = run.query(collect(Arc::clone(&physical), state.task_ctx())) => rows?.map_err(Failed::Query),
            report = stands_still => Err(Failed::Run(RunError::Standstill {
                output: String::from(output.name),
                report: Box::new(report),
            })),
        }
    }
}

/// Rows that came out of the scans of an executed plan.
pub(super) fn scanned_rows(plan: &dyn ExecutionPlan) -> u64 {
    if is_scan(plan) {
        let metrics = plan.metrics();
        let rows = metrics.and_then(|metrics| metrics.output_rows());
        return rows.unwrap_or(0) as u64;
    }
    plan.children()
        .into_iter()
        .map(|child| scanned_rows(child.as_ref()))
        .sum()
}
