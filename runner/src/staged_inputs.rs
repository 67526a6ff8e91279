//! Landed records for executors: copied beside the table that is being written, the one place that run and executors all
//! reach. Owns what is copied and the plans that read it there; the copy goes with the table's staging area.

use std::collections::BTreeMap;
use std::sync::Arc;

use connectors::source::Read;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use engine::Budget;

use super::context::RunContext;
use super::error::RunError;
use super::event::RunEvent;
use super::increment::Increments;
use super::landing;
use super::output;
use super::plan::plan_in;
use super::source_tables::ExtractedTables;
use super::sources;
use super::write::OpenOutput;
use language::Bound;

/// Copies what landed into the staging area of the first output, and plans all outputs over the copies.
///
/// # Errors
/// [`RunError::Table`] when a file cannot be copied, with the outputs as they were; planning's errors.
pub async fn stage_inputs(
    run: &RunContext,
    bound: &Bound,
    ctx: &SessionContext,
    budget: &Budget,
    increments: Option<&Arc<Increments>>,
    opened: Vec<(OpenOutput, LogicalPlan)>,
) -> Result<Vec<(OpenOutput, LogicalPlan)>, (RunError, Vec<OpenOutput>)> {
    match plans(run, bound, ctx, budget, increments, &opened).await {
        Ok(Some(mut plans)) => Ok(opened
            .into_iter()
            .map(|(open, plan)| {
                let plan = plans.remove(&output::name(&open.output)).unwrap_or(plan);
                (open, plan)
            })
            .collect()),
        Ok(None) => Ok(opened),
        Err(error) => Err((
            error,
            opened.into_iter().map(|(output, _)| output).collect(),
        )),
    }
}

/// The plans of the outputs, by name; `None` if nothing landed.
async fn plans(
    run: &RunContext,
    bound: &Bound,
    ctx: &SessionContext,
    budget: &Budget,
    increments: Option<&Arc<Increments>>,
    opened: &[(OpenOutput, LogicalPlan)],
) -> Result<Option<BTreeMap<String, LogicalPlan>>, RunError> {
    let Some((first, _)) = opened.first() else {
        return Ok(None);
    };
    let mut extracted = ExtractedTables::in_folder(&run.registry, &run.work_dir)
        .with_increments(increments.cloned());
    let (mut files, mut size) = (0, 0);
    for source in &bound.sources {
        if matches!(sources::read(&run.registry, source)?, Read::InPlace(_)) {
            continue;
        }
        let chunks = landing::chunks(&run.work_dir, &source.name)?;
        if chunks.is_empty() {
            continue;
        }
        let folder = format!("landed/{}", source.name);
        let copied = tokio::select! {
            biased;
            () = run.stop.asked() => return Err(run.interrupted()),
            copied = first.transaction.stage_inputs(&folder, &chunks, ctx) => copied,
        }
        .map_err(|error| first.table_failed(error))?;
        files += copied.files;
        size += copied.bytes;
        extracted.moved(&source.name, copied.url);
    }
    if files == 0 {
        return Ok(None);
    }
    run.tell(&RunEvent::InputsStaged {
        files,
        bytes: size,
        location: &first.location,
    });
    let (_, planned) = plan_in(run, bound, extracted, budget).await?;
    let named = planned
        .outputs
        .into_iter()
        .map(|(output, plan)| (output::name(&output), plan));
    Ok(Some(named.collect()))
}
