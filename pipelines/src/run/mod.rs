//! One run of a pipeline, station by station.
//!
//! ```text
//! prepare ─► claim ─► plan ─► open outputs ─► extract ─► write ─► check ─► commit ─► record
//! ```
//!
//! Owns the order of the stations and what is kept when one fails. What a station does is in its own module:
//! [`prepare`](self::prepare()), [`claim`], [`sources`], [`extract`], [`outputs`]. Nothing is visible to a reader of an
//! output before `commit`; whatever stops a run before leaves its landed records for the next attempt.

pub mod claim;
pub mod context;
pub mod error;
pub mod extract;
pub mod landing;
pub mod outputs;
pub mod prepare;
pub mod sample;
pub mod sources;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use chrono::Utc;
use datafusion::arrow::datatypes::Schema;
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use engine::{Budget, SessionOptions};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use self::claim::{Heartbeat, Request, Resume};
use self::context::{RunContext, StageReport};
use self::error::{RunError, chain};
use self::outputs::{OpenOutput, Published, StagedOutput};
pub use self::prepare::{Prepared, Selection, prepare};
use self::sources::Extracted;
use crate::cli::exit::ExitStatus;
use crate::cli::printer::{Printer, bytes, count, thousands};
use crate::language::{self, Bound, Planned};
use crate::memory::MemoryMonitor;
use crate::progress::{Progress, ProgressMode, Status};
use crate::settings::{Environment, RunSettings};
use crate::signals::Signals;
use crate::store::{
    self, Counts, Decision, Outcome, Run, RunDocument, RunEnd, RunMode, RunState, StageName,
};

/// A request to run a pipeline.
#[derive(Debug)]
pub struct Invocation<'a> {
    /// Which pipeline, with which values.
    pub selection: Selection,
    /// The process's environment.
    pub environment: &'a Environment,
    /// Where words go.
    pub printer: Printer,
    /// The folder of the product's state.
    pub state_dir: PathBuf,
    /// What was said about unfinished runs.
    pub resume: Resume,
    /// Keep the landed records after publishing.
    pub keep_landing: bool,
    /// How progress is shown.
    pub progress: ProgressMode,
}

/// A run that published.
#[derive(Debug)]
pub struct Finished {
    /// The run's record.
    pub document: RunDocument,
    /// What was published.
    pub outputs: Vec<Published>,
    /// The ceiling on resident memory, bytes.
    pub ceiling: u64,
    /// From the command to the end of the run.
    pub elapsed_milliseconds: u64,
}

impl Finished {
    /// How the command ends.
    pub fn status(&self) -> ExitStatus {
        if self.document.run.state == RunState::Partial { ExitStatus::Partial } else { ExitStatus::Success }
    }
}

/// Runs a pipeline to its end.
///
/// Asked for again after it was stopped, it goes on from the last landed chunk. A first signal stops it cleanly.
///
/// # Errors
/// [`RunError`]; nothing was published then, except for outputs that were committed before a later one failed, which the
/// message names.
pub async fn run(invocation: Invocation<'_>) -> Result<Finished, RunError> {
    let started = Instant::now();
    let prepared = prepare(&invocation.selection, invocation.environment)?;
    let printer = invocation.printer;
    for warning in &prepared.definition.warnings {
        printer.say(warning);
    }
    let sample = match prepared.sample {
        true => Some(sample::start().await?),
        false => None,
    };
    let root = sample.as_ref().map(standin::Standin::root);
    let extracted = sources::open_extracted(&prepared.bound.sources, invocation.environment, root.as_ref())?;
    let store = claim::open_store(&invocation.state_dir).await?;
    let claimed = claim::claim(
        store.as_ref(),
        Request {
            pipeline: &prepared.definition.name,
            fingerprint: prepared.definition.fingerprint.clone(),
            parameters: identity_parameters(&prepared, invocation.environment),
            settings: claim::recorded(&prepared.settings),
            resume: invocation.resume.clone(),
            state_dir: &invocation.state_dir,
        },
    )
    .await?;
    announce(printer, &prepared, &claimed, root.as_ref());

    let cancel = CancellationToken::new();
    let signals = Signals::listen(cancel.clone(), printer).map_err(|source| RunError::Io {
        action: "listen for signals in",
        path: PathBuf::from("this process"),
        source,
    })?;
    let context = RunContext {
        attempt: claimed.current_attempt(),
        work_dir: PathBuf::from(&claimed.work_dir),
        settings: prepared.settings.clone(),
        memory: Arc::new(MemoryMonitor::start()),
        progress: Arc::new(Progress::start(invocation.progress, printer, invocation.environment)),
        cancel: cancel.clone(),
        signals,
        store: Arc::clone(&store),
    };
    let heartbeat = Heartbeat::start(Arc::clone(&store), context.attempt, cancel);
    let mut counts = Counts::default();
    let outcome = execute(&context, &prepared, &extracted, &mut counts).await;
    context.progress.finish();
    drop(heartbeat);
    let ended = conclude(&context, outcome, counts, &extracted).await;
    if ended.is_ok() && !invocation.keep_landing {
        remove_work_dir(&context.work_dir);
    }
    if let Some(sample) = sample {
        sample.shutdown().await;
    }
    let outputs = ended?;
    let document = store.document(context.attempt.run).await?;
    store.close().await;
    Ok(Finished {
        document,
        outputs,
        ceiling: prepared.settings.memory.value,
        elapsed_milliseconds: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

/// The parameters that make two requests the same one: those of the pipeline, and which Launchpad is read.
fn identity_parameters(prepared: &Prepared, environment: &Environment) -> BTreeMap<String, String> {
    let mut parameters: BTreeMap<String, String> = prepared
        .bound
        .parameters
        .iter()
        .map(|(name, value)| (name.clone(), value.text().unwrap_or_else(|| String::from("NULL"))))
        .collect();
    let reads_launchpad = prepared.bound.sources.iter().any(|source| source.kind == language::SourceKind::Launchpad);
    if reads_launchpad {
        let root = if prepared.sample { "sample" } else { environment.get("LP_WEB_ROOT").unwrap_or("production") };
        parameters.insert(String::from("LP_WEB_ROOT"), String::from(root));
    }
    parameters
}

fn announce(printer: Printer, prepared: &Prepared, run: &Run, sample: Option<&url::Url>) {
    printer.say(format_args!("run {}  {}  local", run.id, run.pipeline));
    if let Some(root) = sample {
        printer.say(format_args!(
            "  reading the bundled sample of Launchpad, served at {root}; for the live service set LP_WEB_ROOT=production \
             and give --set member=…, --from and --to"
        ));
    }
    if run.attempt > 1 {
        printer.say(format_args!("  going on with this unfinished run, attempt {}; --restart would begin anew", run.attempt));
    }
    for (name, value) in &prepared.bound.parameters {
        printer.say(format_args!("  ${name} = {}  ({})", value.text().unwrap_or_else(|| String::from("NULL")), value.origin));
    }
}

/// All stations between claim and record.
async fn execute(
    run: &RunContext,
    prepared: &Prepared,
    extracted: &[Extracted],
    counts: &mut Counts,
) -> Result<Vec<Published>, RunError> {
    let bound = &prepared.bound;
    let decision = Decision {
        estimated_rows: None,
        threshold_rows: bound.options.threshold_rows.map(u64::from),
        reason: String::from("this version runs every pipeline in this process"),
        detail: serde_json::Value::Null,
    };
    run.store.record_decision(run.attempt, RunMode::Local, &decision).await?;
    std::fs::create_dir_all(&run.work_dir).map_err(|source| RunError::Io {
        action: "make the work folder",
        path: run.work_dir.clone(),
        source,
    })?;

    run.begin(StageName::Plan).await?;
    let budget = budget(&run.settings);
    let (ctx, planned) = plan(bound, &run.work_dir, &run.spill_dir(), &budget).await?;
    let mut opened = Vec::new();
    let mut schemas = BTreeMap::new();
    for (output, plan) in &planned.outputs {
        let schema: Schema = plan.schema().as_arrow().clone();
        let open = outputs::open(run, output.clone(), &schema).await;
        match open {
            Ok(open) => opened.push((open, plan.clone())),
            Err(error) => return Err(give_back(opened, error).await),
        }
        schemas.insert(outputs::name(output), schema);
    }
    run.snapshot("plan end").await?;
    run.end(StageName::Plan, StageReport { detail: json!({ "views": planned.views.len() }), ..StageReport::default() }).await?;

    if let Err(error) = extract_all(run, extracted, counts).await {
        return Err(give_back(opened, error).await);
    }
    let staged = write_all(run, bound, &ctx, budget, opened).await?;
    match check_all(run, bound, &ctx, &staged, &schemas, counts).await {
        Ok(()) => publish_all(run, prepared, &ctx, staged, counts).await,
        Err(error) => {
            for output in staged {
                output.abandon().await.unwrap_or_else(|error| tracing::warn!(error = %chain(&error), "staging remains"));
            }
            Err(error)
        }
    }
}

/// Lets go of outputs after `error`; what goes wrong with that is only worth a line in the log.
async fn give_back<T>(opened: Vec<(OpenOutput, T)>, error: RunError) -> RunError {
    for (output, _) in opened {
        output.abandon().await.unwrap_or_else(|error| tracing::warn!(error = %chain(&error), "staging remains"));
    }
    error
}

/// The division of the run's memory ceiling.
pub fn budget(settings: &RunSettings) -> Budget {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let ceiling = usize::try_from(settings.memory.value).unwrap_or(usize::MAX);
    Budget::new(ceiling, cores, settings.transform_batch_size.value)
}

/// A session with the pipeline's sources, as far as they landed in `work_dir`, and the plans of its views and outputs in it.
///
/// # Errors
/// [`RunError::Definition`] with every mistake found while planning.
pub async fn plan(
    bound: &Bound,
    work_dir: &std::path::Path,
    spill_dir: &std::path::Path,
    budget: &Budget,
) -> Result<(SessionContext, Planned), RunError> {
    let options = SessionOptions {
        budget: budget.clone(),
        spill_dir: spill_dir.to_path_buf(),
        settings: bound.settings.clone(),
    };
    let ctx = engine::session(&options)
        .map_err(|error| RunError::Engine { doing: String::from("building the session"), source: Box::new(error) })?;
    sources::register(&ctx, &bound.sources, work_dir).await?;
    let planned = language::plan(bound, &ctx).await.map_err(RunError::Definition)?;
    Ok((ctx, planned))
}

async fn extract_all(run: &RunContext, sources: &[Extracted], counts: &mut Counts) -> Result<(), RunError> {
    run.begin(StageName::Extract).await?;
    let mut report = StageReport::default();
    let mut detail = serde_json::Map::new();
    for source in sources {
        let metrics = Arc::clone(&source.metrics);
        let memory = Arc::clone(&run.memory);
        let ceiling = run.settings.memory.value;
        run.progress.stage("extract", move || {
            let seen = metrics.snapshot();
            Status {
                done: seen.units_done + seen.units_skipped,
                total: seen.items_total,
                detail: format!(
                    "{} of {}, {} landed   {}{}   RSS {} of {}",
                    thousands(seen.units_done + seen.units_skipped),
                    seen.items_total.map_or_else(|| String::from("?"), thousands),
                    count(seen.entries_landed, "record"),
                    count(seen.requests, "request"),
                    if seen.retries > 0 { format!(", {} repeated", thousands(seen.retries)) } else { String::new() },
                    bytes(memory.report().now.resident),
                    bytes(ceiling),
                ),
            }
        });
        let done = extract::extract(run, &source.table, Arc::clone(&source.extract), Arc::clone(&source.metrics)).await?;
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
        detail.insert(source.table.clone(), json!({ "landed_units": done.landed.units, "requests": done.metrics }));
    }
    report.detail = serde_json::Value::Object(detail);
    run.end(StageName::Extract, report).await
}

/// Stages every output. A query that exhausts its memory is planned again with the least that can do before the run gives up.
async fn write_all(
    run: &RunContext,
    bound: &Bound,
    ctx: &SessionContext,
    budget: Budget,
    opened: Vec<(OpenOutput, datafusion::logical_expr::LogicalPlan)>,
) -> Result<Vec<StagedOutput>, RunError> {
    run.begin(StageName::Write).await?;
    run.snapshot("write start").await?;
    show_memory(run, "write");
    let mut staged: Vec<StagedOutput> = Vec::new();
    let mut waiting = opened.into_iter();
    let mut failure = None;
    for (open, plan) in waiting.by_ref() {
        let name = outputs::name(&open.output);
        let tight = budget.tightened();
        let outcome = match (open.stage(run, ctx, &plan).await, tight) {
            (Err((error, open)), Some(tight)) if exhausted(&error) => {
                run.warn(format!("output `{name}` exhausted its memory; it is planned again with smaller batches, one partition and joins that spill")).await?;
                let (ctx, planned) = self::plan(bound, &run.work_dir, &run.spill_dir(), &tight).await?;
                match planned.outputs.iter().find(|(output, _)| outputs::name(output) == name) {
                    Some((_, plan)) => open.stage(run, &ctx, plan).await,
                    None => Err((error, open)),
                }
            }
            (outcome, _) => outcome,
        };
        match outcome {
            Ok(output) => staged.push(output),
            Err((error, open)) => {
                failure = Some(give_back(vec![(*open, ())], error).await);
                break;
            }
        }
    }
    if let Some(error) = failure {
        for output in staged {
            output.abandon().await.unwrap_or_else(|error| tracing::warn!(error = %chain(&error), "staging remains"));
        }
        return Err(give_back(waiting.collect(), error).await);
    }
    run.snapshot("write end").await?;
    let (rows, bytes) = staged.iter().map(StagedOutput::size).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    run.end(StageName::Write, StageReport { rows, bytes, ..StageReport::default() }).await?;
    Ok(staged)
}

fn exhausted(error: &RunError) -> bool {
    matches!(error, RunError::Engine { source, .. } if matches!(source.find_root(), DataFusionError::ResourcesExhausted(_)))
}

fn show_memory(run: &RunContext, stage: &'static str) {
    let (memory, ceiling) = (Arc::clone(&run.memory), run.settings.memory.value);
    run.progress.stage(stage, move || Status {
        detail: format!("RSS {} of {}", bytes(memory.report().now.resident), bytes(ceiling)),
        ..Status::default()
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
    let checks = outputs::check(bound, ctx, staged, schemas).await?;
    let detail = json!({ "assertions": checks, "read": counts.read });
    run.end(StageName::Check, StageReport { rows: checks, detail, ..StageReport::default() }).await
}

async fn publish_all(
    run: &RunContext,
    prepared: &Prepared,
    ctx: &SessionContext,
    staged: Vec<StagedOutput>,
    counts: &mut Counts,
) -> Result<Vec<Published>, RunError> {
    run.check_cancelled()?;
    run.begin(StageName::Commit).await?;
    run.snapshot("commit start").await?;
    show_memory(run, "commit");
    let mut published = Vec::new();
    for output in staged {
        let (rows, _) = output.size();
        let info = outputs::commit_info(&prepared.bound, counts.read);
        let done = output.publish(ctx, info).await?;
        counts.written += rows;
        run.store.record_output(run.attempt, &recorded(&done)).await?;
        published.push(done);
    }
    run.snapshot("commit end").await?;
    let bytes = published.iter().map(|output| output.change.bytes_written).sum();
    run.end(StageName::Commit, StageReport { rows: counts.written, bytes, ..StageReport::default() }).await?;
    Ok(published)
}

fn recorded(output: &Published) -> store::Output {
    store::Output {
        name: output.name.clone(),
        location: output.location.clone(),
        mode: output.mode.clone(),
        commit: Some(output.commit),
        files: output.totals.files,
        rows: output.totals.rows,
        bytes: output.totals.bytes,
        files_added: output.change.added.len() as u64,
        files_removed: output.change.removed.len() as u64,
        files_unchanged: output.change.unchanged.len() as u64,
    }
}

/// Records how the attempt ended.
async fn conclude(
    run: &RunContext,
    outcome: Result<Vec<Published>, RunError>,
    mut counts: Counts,
    extracted: &[Extracted],
) -> Result<Vec<Published>, RunError> {
    counts.quarantined = run.store.quarantined(run.attempt.run, 0, 0).await.map_or(0, |summary| summary.total);
    let (state, status, error) = match &outcome {
        Ok(_) if counts.quarantined > 0 => (Outcome::Partial, ExitStatus::Partial, None),
        Ok(_) => (Outcome::Succeeded, ExitStatus::Success, None),
        Err(RunError::Superseded) => return outcome,
        Err(error @ RunError::Interrupted { .. }) => (Outcome::Cancelled, error.exit_status(), Some(error)),
        Err(error) => (Outcome::Failed, error.exit_status(), Some(error)),
    };
    let end = RunEnd {
        outcome: state,
        at: Utc::now(),
        exit_code: i32::from(status.code()),
        error: error.map(|error| store::RunError { message: chain(error), class: error.class(), hint: error.hint() }),
        counts,
        bytes_read: extracted.iter().map(|source| source.metrics.snapshot().bytes_received).sum(),
        bytes_written: outcome.as_ref().map_or(0, |all| all.iter().map(|output| output.change.bytes_written).sum()),
        peak_memory_bytes: Some(run.memory.report().peak),
    };
    match (run.store.finish_run(run.attempt, &end).await, outcome) {
        (Ok(_), outcome) => outcome,
        // The first error is the one to tell; the run's record says less than it should.
        (Err(error), Err(first)) => {
            tracing::error!(error = %chain(&error), "the end of the run could not be recorded");
            Err(first)
        }
        (Err(error), Ok(_)) => Err(error.into()),
    }
}

/// What was landed has been published: it is not needed any more.
fn remove_work_dir(work_dir: &std::path::Path) {
    if let Err(error) = std::fs::remove_dir_all(work_dir) {
        tracing::warn!(path = %work_dir.display(), %error, "the work folder remains");
    }
}
