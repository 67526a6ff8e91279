//! The stages between claim and record: plan, open, extract, decide, write, check, commit.
//!
//! Owns their order, and that every opened output is given back when one fails. What a stage does is in its own module; how a
//! run begins and ends is [`super`]'s.

use std::sync::Arc;

use connectors::sink::{Opened, Opening, Publication, Sink};
use datafusion::arrow::datatypes::Schema;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use engine::private::make_folder;
use engine::{Budget, SessionOptions};
use serde_json::json;
use tables::{Claim, Table};

use super::check::check_all;
use super::commit::{Published, publish_all};
use super::context::{RunContext, StageReport};
use super::decide::{self, decide};
use super::error::RunError;
use super::estimate;
use super::event::{RunEvent, Status};
use super::executor::{Cluster, Executor, Local};
use super::extract;
use super::increment::{self, Increments, Look};
use super::output::{self, table_failed};
use super::plan::plan_in;
use super::prepare::Prepared;
use super::put_aside::PutAside;
use super::quantity::{bytes, count, thousands};
use super::source_tables::{self, ExtractedTables, Surveys};
use super::sources::Extracted;
use super::staged_inputs::stage_inputs;
use super::transaction::{Positions, claim};
use super::write::{OpenOutput, ReadRows, give_back, write_all};
use crate::store::{Counts, StageName};
use language::{Bound, Output};

/// All stages between claim and record.
pub(super) async fn execute(
    run: &RunContext,
    prepared: &Prepared,
    extracted: &[Extracted],
    counts: &mut Counts,
) -> Result<Vec<Published>, RunError> {
    let bound = &prepared.bound;
    make_folder(&run.work_dir).map_err(|source| RunError::Io {
        action: "make the work folder",
        path: run.work_dir.clone(),
        source,
    })?;

    run.begin(StageName::Plan).await?;
    if !extracted.is_empty() {
        decide::check(run).await?;
    }
    let budget = run.settings.budget();
    let increments = choose(run, bound, &budget).await?.map(Arc::new);
    let of_run = increments.as_deref();
    let files_read = of_run.map(Increments::files_read);
    if let Some(increments) = of_run {
        increments.count(counts);
        if increments.is_nothing() && !increments.is_ours() {
            return nothing_new(run, bound, increments).await;
        }
        for warning in increments.warnings() {
            run.warn(warning.clone()).await?;
        }
    }
    let tables = ExtractedTables::in_folder(&run.registry, &run.work_dir)
        .with_increments(increments.clone());
    let (ctx, planned) = plan_in(run, bound, tables, &budget).await?;
    let surveys = source_tables::surveys(&ctx, &bound.sources, &run.registry, of_run).await?;
    let put_aside = PutAside::of(&ctx, &bound.sources).await;
    for warning in source_tables::require_files(&bound.sources, &surveys)? {
        run.warn(warning).await?;
    }
    let (views, outputs) = (planned.views.len(), planned.outputs);
    let (mut opened, before) = open_all(run, bound, outputs).await?;
    if let Some(increments) = of_run {
        let unchanged = opened.iter().try_for_each(|(open, _)| {
            increments.require_unchanged(&open.location, open.transaction.as_ref())
        });
        if let Err(error) = unchanged {
            return Err(give_back(only_outputs(opened), error).await);
        }
        // All that there is was committed by an earlier attempt.
        if increments.is_nothing() {
            for (output, _) in std::mem::take(&mut opened) {
                let abandoned = output.transaction.abandon().await;
                abandoned.map_err(|error| table_failed(&output.location, error))?;
            }
        }
    }
    run.snapshot("plan end").await?;
    let positions = opened
        .iter()
        .map(|(open, _)| (open.location.as_str(), open.transaction.log_position()));
    let mut detail = Positions::detail(views, positions);
    if let Some(increments) = of_run {
        detail["files"] = increments.detail();
    }
    run.end(
        StageName::Plan,
        StageReport {
            detail,
            ..StageReport::default()
        },
    )
    .await?;
    if opened.is_empty() {
        counts.read = read_before(&before);
        return publish_all(run, bound, &ctx, Vec::new(), before, files_read, counts).await;
    }

    if let Err(error) = extract_all(run, extracted, counts).await {
        return Err(give_back(only_outputs(opened), error).await);
    }
    let executor = match executor(run, bound, &ctx, &budget, &surveys).await {
        Ok(executor) => executor,
        Err(error) => return Err(give_back(only_outputs(opened), error).await),
    };
    if let Executor::Cluster(_) = executor {
        opened = match stage_inputs(run, bound, &ctx, &budget, increments.as_ref(), opened).await {
            Ok(opened) => opened,
            Err((error, outputs)) => return Err(give_back(outputs, error).await),
        };
    }
    let staged = match write_all(run, &executor, opened).await {
        Err(error) => return put_aside.settle(run, Err(error)).await,
        Ok(staged) => staged,
    };
    let sum = |rows: fn(&ReadRows) -> u64| staged.iter().map(|output| rows(&output.read)).sum();
    let (scanned, filtered): (u64, u64) = (sum(|read| read.scanned), sum(|read| read.filtered));
    let read = scanned.max(read_before(&before));
    if extracted.is_empty() {
        counts.read = read + put_aside.count();
        counts.filtered = filtered;
    }
    let checked = check_all(run, bound, &ctx, &staged, counts).await;
    let checked = put_aside.settle(run, checked).await;
    if extracted.is_empty() {
        // Checks may have read what no output reads.
        counts.read = read + put_aside.count();
    }
    match checked {
        Ok(()) => publish_all(run, bound, &ctx, staged, before, files_read, counts).await,
        Err(error) => Err(give_back(staged.into_iter().map(|output| output.open), error).await),
    }
}

/// Which files are read of the sources that are read file by file.
async fn choose(
    run: &RunContext,
    bound: &Bound,
    budget: &Budget,
) -> Result<Option<Increments>, RunError> {
    let look = Look {
        bound: bound.clone(),
        registry: Arc::clone(&run.registry),
        session: SessionOptions {
            storage: run.storage.clone(),
            budget: budget.clone(),
            spill_dir: run.spill_dir(),
            settings: bound.settings.clone(),
        },
        // Before its second attempt a run has committed nothing.
        run: (run.attempt.number > 1).then(|| run.attempt.run.to_string()),
    };
    run.query(async move { increment::choose(look).await })
        .await?
}

/// The end of a run that has nothing to read. What earlier runs left undone is done all the same.
async fn nothing_new(
    run: &RunContext,
    bound: &Bound,
    increments: &Increments,
) -> Result<Vec<Published>, RunError> {
    increment::bring_to_rest(bound, &run.storage).await?;
    let report = StageReport {
        detail: json!({ "files": increments.detail() }),
        ..StageReport::default()
    };
    run.end(StageName::Plan, report).await?;
    Ok(Vec::new())
}

/// Opens every output with the plan of its query, and tells those that are committed already.
async fn open_all(
    run: &RunContext,
    bound: &Bound,
    outputs: Vec<(Output, LogicalPlan)>,
) -> Result<(Vec<(OpenOutput, LogicalPlan)>, Vec<Published>), RunError> {
    let reads = source_tables::places(&bound.sources, &run.registry);
    let checked = !bound.asserts.is_empty();
    let positions = Positions::of_earlier_attempts(run).await?;
    let (mut opened, mut before) = (Vec::new(), Vec::new());
    for (output, plan) in outputs {
        let location = output::table_location(&output);
        let claim = claim(run, bound, &output, &location, &positions);
        let schema = plan.schema().as_arrow();
        let sink = open(run, &output, &location, schema, checked, claim).await;
        let told = match sink {
            Ok(Opened::Transaction(transaction)) => {
                let finished = transaction.finished();
                opened.push((
                    OpenOutput {
                        reads: reads.clone(),
                        location: location.clone(),
                        output,
                        transaction,
                        written: None,
                    },
                    plan,
                ));
                tell_finished(run, &location, finished).await
            }
            Ok(Opened::Committed(committed)) => {
                let finished = committed.recovery.rolled_forward;
                let publication = Publication::from(*committed);
                let published = Published::new(&output, location.clone(), publication);
                let told = match tell_finished(run, &location, finished).await {
                    Ok(()) => tell_committed(run, &published).await,
                    failed => failed,
                };
                before.push(published);
                told
            }
            Err(error) => Err(error),
        };
        if let Err(error) = told {
            return Err(give_back(only_outputs(opened), error).await);
        }
    }
    Ok((opened, before))
}

async fn open(
    run: &RunContext,
    output: &Output,
    location: &str,
    schema: &Schema,
    checked: bool,
    claim: Claim,
) -> Result<Opened, RunError> {
    let failed = |source| table_failed(location, source);
    let sink = Table::open(location, &run.storage).map_err(failed)?;
    let opening = Opening {
        run_id: &run.attempt.run.to_string(),
        schema,
        options: output::table_options(output, &run.settings),
        claim,
        checked,
    };
    Sink::open(&sink, opening).await.map_err(failed)
}

async fn tell_finished(
    run: &RunContext,
    location: &str,
    finished: Option<u64>,
) -> Result<(), RunError> {
    match finished {
        Some(commit) => {
            run.warn(format!(
                "commit {commit} of {location} had been decided but not finished; it is now"
            ))
            .await
        }
        None => Ok(()),
    }
}

/// Rows that were read for outputs that are committed already: each record has those of its whole run.
fn read_before(before: &[Published]) -> u64 {
    let read = before
        .iter()
        .filter_map(|output| output.publication.rows_read);
    read.max().unwrap_or(0)
}

/// Says that an output is done, and by whom.
async fn tell_committed(run: &RunContext, output: &Published) -> Result<(), RunError> {
    let publication = &output.publication;
    let Some(at) = publication.committed_before else {
        return Ok(());
    };
    let by = if publication.run_id == run.attempt.run.to_string() {
        String::from("by this run")
    } else {
        format!(
            "by run {}, which was asked for the same; to publish the interval anew use mode 'overwrite' or 'merge'",
            publication.run_id
        )
    };
    run.warn(format!(
        "`{}` is committed already: {} was made at {} {by}; its rows are not written again",
        output.name,
        output.commit_of(),
        at.format("%Y-%m-%d %H:%M:%S UTC"),
    ))
    .await
}

fn only_outputs(opened: Vec<(OpenOutput, LogicalPlan)>) -> impl Iterator<Item = OpenOutput> {
    opened.into_iter().map(|(output, _)| output)
}

async fn extract_all(
    run: &RunContext,
    sources: &[Extracted],
    counts: &mut Counts,
) -> Result<(), RunError> {
    run.begin(StageName::Extract).await?;
    let mut report = StageReport::default();
    let mut detail = serde_json::Map::new();
    for source in sources {
        let metrics = Arc::clone(&source.metrics);
        let memory = Arc::clone(&run.memory);
        let ceiling = run.settings.memory.value;
        run.show(StageName::Extract, move || {
            let seen = metrics.snapshot();
            Status {
                done: seen.units_done + seen.units_skipped,
                // The list tells its rows, of which several may be of one item: as many as in what was read of it.
                total: seen
                    .items_total
                    .filter(|_| seen.items_listed > 0)
                    .map(|rows| (rows * seen.units_found).div_ceil(seen.items_listed)),
                detail: format!(
                    "{}, {} landed   {}{}   RSS {} of {}",
                    count(seen.units_done + seen.units_skipped, "item"),
                    count(seen.entries_landed, "record"),
                    count(seen.requests, "request"),
                    if seen.retries > 0 {
                        format!(", {} repeated", thousands(seen.retries))
                    } else {
                        String::new()
                    },
                    bytes(memory.report().now.resident),
                    bytes(ceiling),
                ),
            }
        });
        let done = extract::extract(
            run,
            &source.table,
            Arc::clone(&source.extract),
            Arc::clone(&source.metrics),
        )
        .await?;
        counts.read += done.landed.rows;
        counts.filtered += done.metrics.entries_filtered;
        for (name, value) in [
            ("requests", done.metrics.requests),
            ("retries", done.metrics.retries),
            ("throttled", done.metrics.throttled),
            ("resumed_units", done.resumed_units),
            ("memory_pauses", done.pauses),
        ] {
            *counts.other.entry(String::from(name)).or_default() += value;
        }
        report.rows += done.landed.rows;
        report.bytes += done.landed.bytes;
        detail.insert(
            source.table.clone(),
            json!({ "landed_units": done.landed.units, "requests": done.metrics }),
        );
    }
    report.detail = serde_json::Value::Object(detail);
    run.end(StageName::Extract, report).await
}

/// Decides where the outputs' queries run, says so, and makes sure that the cluster is there if it is wanted.
async fn executor(
    run: &RunContext,
    bound: &Bound,
    ctx: &SessionContext,
    budget: &Budget,
    surveys: &Surveys,
) -> Result<Executor, RunError> {
    let mut estimates = Vec::new();
    for source in &bound.sources {
        estimates.push(estimate::of_table(ctx, source, &run.registry, surveys).await?);
    }
    let (mode, decision) = decide(&run.settings, &estimates);
    run.tell(&RunEvent::Decided {
        mode,
        decision: &decision,
    });
    run.store
        .record_decision(run.attempt, mode, &decision)
        .await?;
    let session = SessionOptions {
        storage: run.storage.clone(),
        budget: budget.clone(),
        spill_dir: run.spill_dir(),
        settings: bound.settings.clone(),
    };
    let Some(reached) = decide::reach(run, mode).await? else {
        return Ok(Executor::Local(Local::new(ctx, session)));
    };
    let counted = estimates.iter().filter(|estimate| estimate.exact);
    let rows_read = counted.filter_map(|estimate| estimate.rows).sum();
    let cluster = Cluster::new(run, reached, session, rows_read);
    Ok(Executor::Cluster(Box::new(cluster)))
}
