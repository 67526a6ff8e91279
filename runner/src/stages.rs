//! The stages between claim and record: plan, open, extract, decide, write, check, commit.
//!
//! Owns their order, what each tells the run's record, and that every opened output is given back when one fails. How a
//! run begins and ends is [`super`]'s.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use datafusion::arrow::datatypes::Schema;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use engine::cluster::JobProgress;
use engine::private::make_folder;
use engine::{Budget, SessionOptions};
use serde_json::json;
use tables::StorageOptions;

use super::context::{RunContext, StageReport};
use super::decide::{self, decide};
use super::error::{RunError, chain};
use super::estimate;
use super::event::{RunEvent, Status};
use super::extract;
use super::inputs::stage_inputs;
use super::outputs::{self, Made, OpenOutput, Opened, PreparedOutput, Published, StagedOutput};
use super::prepare::Prepared;
use super::quantity::{bytes, count, thousands};
use super::remote::Remote;
use super::sources::{self, Extracted, Landed};
use super::transaction::{Positions, claim};
use crate::settings::RunSettings;
use crate::store::{self, Counts, StageName};
use language::{self, Bound, Planned};

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
    let budget = budget(&run.settings);
    let landed = Landed::in_folder(&run.registry, &run.work_dir);
    let (ctx, planned) = plan_in(run, bound, landed, &budget).await?;
    sources::require_files(&ctx, &bound.sources, &run.registry).await?;
    let reads = sources::places(&bound.sources, &run.registry);
    let checked = !bound.asserts.is_empty();
    let positions = Positions::of_earlier_attempts(run).await?;
    let (mut opened, mut before) = (Vec::new(), Vec::new());
    let mut schemas = BTreeMap::new();
    for (output, plan) in &planned.outputs {
        let schema: Schema = plan.schema().as_arrow().clone();
        let location = outputs::table_location(output);
        let claim = claim(run, bound, output, &location, &positions);
        match outputs::open(run, output.clone(), &schema, &reads, checked, claim).await {
            Ok(Opened::Open(open)) => opened.push((*open, plan.clone())),
            Ok(Opened::Committed(published)) => {
                tell_committed(run, &published).await?;
                before.push(*published);
            }
            Err(error) => return Err(give_back(only_outputs(opened), error).await),
        }
        schemas.insert(outputs::name(output), schema);
    }
    run.snapshot("plan end").await?;
    run.end(
        StageName::Plan,
        StageReport {
            detail: Positions::detail(
                planned.views.len(),
                opened
                    .iter()
                    .map(|(open, _)| (open.location.as_str(), open.log_position())),
            ),
            ..StageReport::default()
        },
    )
    .await?;
    if opened.is_empty() && !before.is_empty() {
        counts.read = read_before(&before);
        return publish_all(run, prepared, &ctx, Vec::new(), before, counts).await;
    }

    if let Err(error) = extract_all(run, extracted, counts).await {
        return Err(give_back(only_outputs(opened), error).await);
    }
    let remote = match place(run, bound, &ctx, &budget).await {
        Ok(remote) => remote,
        Err(error) => return Err(give_back(only_outputs(opened), error).await),
    };
    if remote.is_some() {
        opened = match stage_inputs(run, bound, &ctx, &budget, opened).await {
            Ok(opened) => opened,
            Err((error, outputs)) => return Err(give_back(outputs, error).await),
        };
    }
    let staged = write_all(run, bound, &ctx, budget, remote.as_ref(), opened).await?;
    if extracted.is_empty() {
        let scanned: u64 = staged.iter().map(StagedOutput::scanned).sum();
        counts.read = scanned.max(read_before(&before));
    }
    match check_all(run, bound, &ctx, &staged, &schemas, counts).await {
        Ok(()) => publish_all(run, prepared, &ctx, staged, before, counts).await,
        Err(error) => Err(give_back(
            staged.into_iter().map(StagedOutput::into_open).collect(),
            error,
        )
        .await),
    }
}

/// Rows that were read for outputs that are committed already: each record has those of its whole run.
fn read_before(before: &[Published]) -> u64 {
    let read = before.iter().filter_map(|output| match &output.made {
        Made::Before(committed) => committed.rows_read,
        Made::Now(_) => None,
    });
    read.max().unwrap_or(0)
}

/// Says that an output is done, and by whom.
async fn tell_committed(run: &RunContext, output: &Published) -> Result<(), RunError> {
    let Made::Before(committed) = &output.made else {
        return Ok(());
    };
    let by = if output.run_id == run.attempt.run.to_string() {
        String::from("by this run")
    } else {
        format!(
            "by run {}, which was asked for the same; to publish the interval anew use mode 'overwrite' or 'merge'",
            output.run_id
        )
    };
    run.warn(format!(
        "`{}` is committed already: {} was made at {} {by}; its rows are not written again",
        output.name,
        output.commit_of(),
        committed.committed_at.format("%Y-%m-%d %H:%M:%S UTC"),
    ))
    .await
}

/// Lets go of outputs after `error`; what goes wrong with that is only worth a line in the log.
async fn give_back(opened: Vec<OpenOutput>, error: RunError) -> RunError {
    for output in opened {
        output
            .abandon()
            .await
            .unwrap_or_else(|error| tracing::warn!(error = %chain(&error), "staging remains"));
    }
    error
}

fn only_outputs(opened: Vec<(OpenOutput, LogicalPlan)>) -> Vec<OpenOutput> {
    opened.into_iter().map(|(output, _)| output).collect()
}

/// The division of the run's memory ceiling.
pub fn budget(settings: &RunSettings) -> Budget {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let ceiling = usize::try_from(settings.memory.value).unwrap_or(usize::MAX);
    Budget::new(ceiling, cores, settings.transform_batch_size.value)
}

/// A session with the pipeline's sources, as far as they landed, and the plans of its views and outputs in it.
///
/// # Errors
/// [`RunError::Definition`] with every mistake found while planning.
pub async fn plan(
    bound: &Bound,
    landed: &Landed,
    spill_dir: &Path,
    budget: &Budget,
    storage: &StorageOptions,
) -> Result<(SessionContext, Planned), RunError> {
    let options = SessionOptions {
        storage: storage.clone(),
        budget: budget.clone(),
        spill_dir: spill_dir.to_path_buf(),
        settings: bound.settings.clone(),
    };
    let ctx = engine::session(&options).map_err(|error| RunError::Engine {
        doing: String::from("building the session"),
        source: Box::new(error),
    })?;
    sources::register(&ctx, &bound.sources, landed).await?;
    let planned = language::plan(bound, &ctx)
        .await
        .map_err(RunError::Definition)?;
    Ok((ctx, planned))
}

/// As [`plan`], for a run that may be asked to stop meanwhile.
///
/// # Errors
/// As [`plan`], and [`RunError::Interrupted`].
pub async fn plan_in(
    run: &RunContext,
    bound: &Bound,
    landed: Landed,
    budget: &Budget,
) -> Result<(SessionContext, Planned), RunError> {
    let (bound, spill_dir, budget) = (bound.clone(), run.spill_dir(), budget.clone());
    let storage = run.storage.clone();
    run.query(async move { plan(&bound, &landed, &spill_dir, &budget, &storage).await })
        .await?
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
async fn place(
    run: &RunContext,
    bound: &Bound,
    ctx: &SessionContext,
    budget: &Budget,
) -> Result<Option<Remote>, RunError> {
    let mut estimates = Vec::new();
    for source in &bound.sources {
        estimates.push(estimate::of_table(ctx, source, &run.registry).await?);
    }
    let (mode, decision) = decide(&run.settings, &estimates);
    run.tell(&RunEvent::Decided {
        mode,
        decision: &decision,
    });
    run.store
        .record_decision(run.attempt, mode, &decision)
        .await?;
    let Some(reached) = decide::reach(run, mode).await? else {
        return Ok(None);
    };
    let counted = estimates.iter().filter(|estimate| estimate.exact);
    Ok(Some(Remote {
        reached,
        progress: JobProgress::default(),
        session: SessionOptions {
            storage: run.storage.clone(),
            budget: budget.clone(),
            spill_dir: run.spill_dir(),
            settings: bound.settings.clone(),
        },
        executor_memory: run
            .settings
            .cluster
            .executor_memory
            .map(|memory| memory.value),
        job_timeout: run.settings.cluster.job_timeout.value,
        accounts: Mutex::default(),
        read: counted.filter_map(|estimate| estimate.rows).sum(),
    }))
}

/// Stages every output, here or on the cluster. A query that exhausts the memory here is planned again with the least that
/// can do before the run gives up.
async fn write_all(
    run: &RunContext,
    bound: &Bound,
    ctx: &SessionContext,
    budget: Budget,
    remote: Option<&Remote>,
    opened: Vec<(OpenOutput, LogicalPlan)>,
) -> Result<Vec<StagedOutput>, RunError> {
    run.begin(StageName::Write).await?;
    run.snapshot("write start").await?;
    match remote {
        Some(remote) => show_job(run, remote.progress.clone()),
        None => show_memory(run, StageName::Write),
    }
    let mut staged: Vec<StagedOutput> = Vec::new();
    let mut waiting = opened.into_iter();
    let mut failure = None;
    for (open, plan) in waiting.by_ref() {
        let name = outputs::name(&open.output);
        let tight = budget.tightened().filter(|_| remote.is_none());
        let first = match remote {
            Some(remote) => open.stage_remotely(run, remote, &plan).await,
            None => open.stage(run, ctx, &plan).await,
        };
        let outcome = match (first, tight) {
            (Err((error, open)), Some(tight)) if exhausted(&error) => {
                run.warn(format!("output `{name}` exhausted its memory; it is planned again with smaller batches, fewer partitions and joins that spill")).await?;
                let landed = Landed::in_folder(&run.registry, &run.work_dir);
                let (ctx, planned) = plan_in(run, bound, landed, &tight).await?;
                match planned
                    .outputs
                    .iter()
                    .find(|(output, _)| outputs::name(output) == name)
                {
                    Some((_, plan)) => open.stage(run, &ctx, plan).await,
                    None => Err((error, open)),
                }
            }
            (outcome, _) => outcome,
        };
        match outcome {
            Ok(output) => staged.push(output),
            Err((error, open)) => {
                failure = Some(give_back(vec![*open], error).await);
                break;
            }
        }
    }
    if let Some(error) = failure {
        let staged = staged.into_iter().map(StagedOutput::into_open);
        let left = staged.chain(waiting.map(|(open, _)| open)).collect();
        return Err(give_back(left, error).await);
    }
    run.snapshot("write end").await?;
    let (rows, bytes) = staged
        .iter()
        .map(StagedOutput::size)
        .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    run.end(
        StageName::Write,
        StageReport {
            rows,
            bytes,
            detail: remote.map_or(
                serde_json::Value::Null,
                |remote| json!({ "cluster": *remote.accounts() }),
            ),
        },
    )
    .await?;
    Ok(staged)
}

fn exhausted(error: &RunError) -> bool {
    matches!(error, RunError::Engine { source, .. } if matches!(source.find_root(), DataFusionError::ResourcesExhausted(_)))
}

fn show_memory(run: &RunContext, stage: StageName) {
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

fn show_job(run: &RunContext, progress: JobProgress) {
    run.show(StageName::Write, move || {
        let seen = progress.snapshot();
        Status {
            done: seen.stages_done as u64,
            total: (seen.stages > 0).then_some(seen.stages as u64),
            detail: progress.to_string(),
        }
    });
}

async fn check_all(
    run: &RunContext,
    bound: &Bound,
    ctx: &SessionContext,
    staged: &[StagedOutput],
    schemas: &BTreeMap<String, Schema>,
    counts: &Counts,
) -> Result<(), RunError> {
    run.check_cancelled()?;
    run.begin(StageName::Check).await?;
    let checks = outputs::check(run, bound, ctx, staged, schemas).await?;
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

/// Prepares every output, then decides them one after the other, so that little can go wrong between two decisions.
/// `before` are those that were decided by an earlier process.
async fn publish_all(
    run: &RunContext,
    prepared: &Prepared,
    ctx: &SessionContext,
    staged: Vec<StagedOutput>,
    before: Vec<Published>,
    counts: &mut Counts,
) -> Result<Vec<Published>, RunError> {
    let ready = match prepare_all(run, ctx, staged).await {
        Ok(ready) => ready,
        Err((outputs, error)) => return Err(give_back(outputs, error).await),
    };
    let committed_before: Vec<String> = before.iter().map(|output| output.name.clone()).collect();
    let mut published = before;
    let mut done = Vec::new();
    let mut waiting = ready.into_iter();
    let mut outcome = record_before(run, &published, counts).await;
    while outcome.is_ok()
        && let Some(output) = waiting.next()
    {
        let info = outputs::commit_info(&prepared.bound, counts.read);
        outcome = match output.publish(info).await {
            Ok(output) => {
                if output.run_id == run.attempt.run.to_string() {
                    done.push(output.commit_of());
                }
                let told = record_output(run, &output, counts).await;
                published.push(output);
                told
            }
            Err(error) => Err(error),
        };
    }
    if outcome.is_ok() {
        let detail = match committed_before.is_empty() {
            true => serde_json::Value::Null,
            false => json!({ "committed_before": committed_before }),
        };
        outcome = end_of_commit(run, &published, counts, detail).await;
    }
    match outcome {
        Ok(()) => Ok(published),
        Err(error) => {
            let left = waiting.map(PreparedOutput::into_open).collect();
            Err(give_back(left, error).await.after(&done))
        }
    }
}

async fn prepare_all(
    run: &RunContext,
    ctx: &SessionContext,
    staged: Vec<StagedOutput>,
) -> Result<Vec<PreparedOutput>, (Vec<OpenOutput>, RunError)> {
    let mut ready: Vec<PreparedOutput> = Vec::new();
    let mut waiting = staged.into_iter();
    let mut outcome = begin_commit(run).await;
    while outcome.is_ok()
        && let Some(output) = waiting.next()
    {
        match output.prepare(run, ctx).await {
            Ok(output) => ready.push(output),
            Err((error, open)) => {
                let open = open.map(|open| *open).into_iter().collect();
                outcome = Err(give_back(open, error).await);
            }
        }
    }
    match outcome.and_then(|()| run.check_cancelled()) {
        Ok(()) => Ok(ready),
        Err(error) => {
            let ready = ready.into_iter().map(PreparedOutput::into_open);
            let waiting = waiting.map(StagedOutput::into_open);
            Err((ready.chain(waiting).collect(), error))
        }
    }
}

async fn begin_commit(run: &RunContext) -> Result<(), RunError> {
    run.check_cancelled()?;
    run.begin(StageName::Commit).await?;
    run.snapshot("commit start").await?;
    show_memory(run, StageName::Commit);
    Ok(())
}

async fn end_of_commit(
    run: &RunContext,
    published: &[Published],
    counts: &Counts,
    detail: serde_json::Value,
) -> Result<(), RunError> {
    run.snapshot("commit end").await?;
    run.end(
        StageName::Commit,
        StageReport {
            rows: counts.written,
            bytes: published.iter().map(Published::bytes).sum(),
            detail,
        },
    )
    .await
}

/// Records outputs that an earlier process published.
async fn record_before(
    run: &RunContext,
    published: &[Published],
    counts: &mut Counts,
) -> Result<(), RunError> {
    for output in published {
        record_output(run, output, counts).await?;
    }
    Ok(())
}

/// Records a published output: its rows count, and what a reader must know beside the counts of files is told.
async fn record_output(
    run: &RunContext,
    output: &Published,
    counts: &mut Counts,
) -> Result<(), RunError> {
    counts.written += output.rows();
    tell_changes(run, output, counts).await?;
    run.store
        .record_output(run.attempt, &recorded(output))
        .await?;
    Ok(())
}

async fn tell_changes(
    run: &RunContext,
    output: &Published,
    counts: &mut Counts,
) -> Result<(), RunError> {
    let name = &output.name;
    let mut count_as = |word: &str, rows: u64| {
        if rows > 0 {
            *counts.other.entry(String::from(word)).or_default() += rows;
        }
    };
    let change = match &output.made {
        Made::Now(change) => change,
        Made::Before(committed) => {
            count_as("discarded", committed.rows_discarded);
            return Ok(());
        }
    };
    count_as("discarded", change.rows_discarded);
    if let Some(merge) = change.merge {
        count_as("moved", merge.moved);
    }
    if let Some(window) = output.window {
        let millis = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        let longest = counts.other.entry(String::from("publish_window_millis"));
        let longest = longest.or_default();
        *longest = millis.max(*longest);
    }
    if let Some(error) = &output.uncleared {
        run.warn(format!(
            "committed, but what was staged for {} could not be cleared away ({error}); the next run will",
            output.location
        ))
        .await?;
    }
    for changed in &change.schema_changes {
        run.warn(format!("the schema of `{name}` changed: {changed}"))
            .await?;
    }
    if change.rows_discarded > 0 {
        run.warn(format!(
            "{} of `{name}` left out, because a value does not fit the table's type",
            count(change.rows_discarded, "row")
        ))
        .await?;
    }
    Ok(())
}

fn recorded(output: &Published) -> store::Output {
    let (added, removed, unchanged) = match &output.made {
        Made::Now(change) => (
            change.added.len() as u64,
            (change.removed.len() + change.replaced()) as u64,
            change.unchanged.len() as u64,
        ),
        Made::Before(committed) => (committed.added.files, committed.files_removed, 0),
    };
    store::Output {
        name: output.name.clone(),
        location: output.location.clone(),
        mode: output.mode.clone(),
        commit: Some(output.commit),
        files: output.totals.files,
        rows: output.totals.rows,
        bytes: output.totals.bytes,
        files_added: added,
        files_removed: removed,
        files_unchanged: unchanged,
    }
}
