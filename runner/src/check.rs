//! Checks: every `ASSERT` over what was staged, before anything is published.
//!
//! Owns that views which are outputs are read back from where they were staged, so that what is checked is what a reader
//! will see.

use std::sync::Arc;

use datafusion::arrow::array::{Array, BooleanArray};
use datafusion::common::TableReference;
use datafusion::prelude::SessionContext;
use serde_json::json;

use super::context::{RunContext, StageReport};
use super::error::RunError;
use super::write::{OpenOutput, StagedOutput};
use crate::store::{Counts, StageName};
use language::{self, Assert, Bound, SourceText};

/// The check stage.
///
/// # Errors
/// [`RunError::Checks`] with a line for each that does not hold; [`RunError::Interrupted`].
pub async fn check_all(
    run: &RunContext,
    bound: &Bound,
    ctx: &SessionContext,
    staged: &[StagedOutput],
    counts: &Counts,
) -> Result<(), RunError> {
    run.check_cancelled()?;
    run.begin(StageName::Check).await?;
    let checks = check(run, bound, ctx, staged).await?;
    let detail = json!({ "assertions": checks, "read": counts.read });
    run.end(
        StageName::Check,
        StageReport {
            rows: checks,
            detail,
            ..StageReport::default()
        },
    )
    .await
}

/// Evaluates every `ASSERT` over what was staged: views that are outputs are read back from their staged files.
///
/// # Errors
/// [`RunError::Checks`] with a line for each that does not hold.
async fn check(
    run: &RunContext,
    bound: &Bound,
    ctx: &SessionContext,
    staged: &[StagedOutput],
) -> Result<u64, RunError> {
    for output in staged {
        read_back(ctx, &output.open).await?;
    }
    let mut failed = Vec::new();
    for assert in &bound.asserts {
        let (ctx, asked, source) = (ctx.clone(), assert.clone(), Arc::clone(bound.source_text()));
        let answered = run.query(async move { holds(&ctx, &asked, &source).await });
        if !answered.await?? {
            let file = bound.source_text().file();
            failed.push(format!(
                "check failed: {} ({file}:{})",
                assert.message, assert.span.start.line
            ));
        }
    }
    if failed.is_empty() {
        Ok(bound.asserts.len() as u64)
    } else {
        Err(RunError::Checks { failed })
    }
}

/// Makes the staged rows readable in `ctx` under the name of the view that they came from.
async fn read_back(ctx: &SessionContext, open: &OpenOutput) -> Result<(), RunError> {
    let Some(relation) = &open.output.relation else {
        return Ok(());
    };
    let table = TableReference::bare(relation.value.as_str());
    let staged = open.transaction.staged_table(ctx).await;
    staged
        .and_then(|staged| {
            ctx.deregister_table(table.clone())?;
            ctx.register_table(table, staged)
        })
        .map(drop)
        .map_err(|error| RunError::Engine {
            doing: format!("reading back what was staged for `{}`", relation.value),
            source: Box::new(error),
        })
}

async fn holds(
    ctx: &SessionContext,
    assert: &Assert,
    source: &Arc<SourceText>,
) -> Result<bool, RunError> {
    let plan = language::plan_assert(assert, source, ctx)
        .await
        .map_err(RunError::Definition)?;
    let failed = |error| RunError::engine(format!("the check `{}`", assert.message), error);
    let batches = ctx
        .execute_logical_plan(plan)
        .await
        .map_err(failed)?
        .collect()
        .await
        .map_err(failed)?;
    Ok(batches
        .iter()
        .find(|batch| batch.num_rows() > 0)
        .and_then(|batch| batch.column(0).as_any().downcast_ref::<BooleanArray>())
        // A condition that is NULL is not known to hold.
        .is_some_and(|column| column.is_valid(0) && column.value(0)))
}
