//! One run of a pipeline, station by station.
//!
//! ```text
//! prepare ─► claim ─► plan ─► open outputs ─► extract ─► decide ─► write ─► check ─► commit ─► record
//! ```
//!
//! Owns the order of the stations and what is kept when one fails. What a station does is in its own module:
//! [`prepare`](self::prepare()), [`claim`], [`sources`], [`extract`], [`decide`], [`outputs`], [`remote`]. Nothing is visible to a reader of an
//! output before `commit`; whatever stops a run before leaves its landed records for the next attempt.

pub mod ceiling;
pub mod claim;
pub mod compute;
pub mod context;
pub mod decide;
pub mod error;
pub mod estimate;
pub mod extract;
pub mod landing;
pub mod outputs;
pub mod prepare;
pub mod remote;
pub mod sample;
pub mod share;
pub mod sources;
pub mod stations;
pub mod traffic;
pub mod transaction;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use chrono::Utc;
use tokio_util::sync::CancellationToken;

use self::ceiling::Ceiling;
use self::claim::{Heartbeat, Request, Resume};
use self::compute::Compute;
use self::context::RunContext;
use self::error::{RunError, chain};
use self::outputs::Published;
pub use self::prepare::{Prepared, Selection, prepare};
use self::sources::Extracted;
use crate::cli::exit::ExitStatus;
use crate::cli::printer::Printer;
use crate::memory::MemoryMonitor;
use crate::progress::{Progress, ProgressMode};
use crate::settings::Environment;
use crate::signals::Signals;
use crate::store::{
    self, Counts, Outcome, Run, RunDocument, RunEnd, RunFilter, RunState, RunStore,
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
    /// The requests to object stores, by bucket.
    pub storage: Vec<tables::storage::BucketTraffic>,
}

impl Finished {
    /// The commits that have its rows, with their tables.
    pub fn commits(&self) -> Vec<String> {
        commits(&self.outputs)
    }

    /// How the command ends.
    pub fn status(&self) -> ExitStatus {
        if self.document.run.state == RunState::Partial {
            ExitStatus::Partial
        } else {
            ExitStatus::Success
        }
    }
}

/// Runs a pipeline to its end.
///
/// Asked for again after it was stopped, it goes on from the last landed chunk. A first signal stops it cleanly.
///
/// # Errors
/// [`RunError`]; nothing was published then, except for [`RunError::Unfinished`] and [`RunError::Committed`], whose
/// message names the commits.
pub async fn run(invocation: Invocation<'_>) -> Result<Finished, RunError> {
    let started = Instant::now();
    let requests_before = tables::storage::traffic();
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
    let extracted = sources::open_extracted(
        &prepared.bound.sources,
        invocation.environment,
        root.as_ref(),
    )?;
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
    let attempt = claimed.current_attempt();
    let memory = Arc::new(MemoryMonitor::start());
    let no_threads = |source| RunError::Io {
        action: "start threads in",
        path: PathBuf::from("this process"),
        source,
    };
    let ceiling = Ceiling::watch(
        prepared.settings.memory.value,
        cancel.clone(),
        printer,
        last_record(&store, attempt, &memory),
    )
    .map_err(no_threads)?;
    let context = RunContext {
        attempt,
        pipeline: claimed.pipeline.clone(),
        identity: claimed.identity.clone(),
        work_dir: PathBuf::from(&claimed.work_dir),
        settings: prepared.settings.clone(),
        memory,
        ceiling,
        compute: Compute::start().map_err(no_threads)?,
        progress: Arc::new(Progress::start(
            invocation.progress,
            printer,
            invocation.environment,
        )),
        cancel: cancel.clone(),
        signals: signals.clone(),
        store: Arc::clone(&store),
    };
    let heartbeat = Heartbeat::start(Arc::clone(&store), context.attempt, signals, cancel);
    let mut counts = Counts::default();
    let outcome = stations::execute(&context, &prepared, &extracted, &mut counts).await;
    context.progress.finish();
    drop(heartbeat);
    let storage = traffic::since(&requests_before);
    traffic::record(&mut counts.other, &storage);
    let ended = conclude(&context, outcome, counts, &extracted).await;
    if ended.is_ok() {
        remove_abandoned(store.as_ref(), &claimed).await;
        if !invocation.keep_landing {
            remove_work_dir(&context.work_dir);
        }
    }
    if let Some(sample) = sample {
        sample.shutdown().await;
    }
    let outputs = ended?;
    let document = store
        .document(context.attempt.run)
        .await
        .map_err(|error| RunError::from(error).after(&commits(&outputs)))?;
    store.close().await;
    Ok(Finished {
        document,
        outputs,
        ceiling: prepared.settings.memory.value,
        elapsed_milliseconds: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        storage,
    })
}

/// The parameters that make two requests the same one: those of the pipeline, and which Launchpad is read.
fn identity_parameters(prepared: &Prepared, environment: &Environment) -> BTreeMap<String, String> {
    let mut parameters: BTreeMap<String, String> = prepared
        .bound
        .parameters
        .iter()
        .map(|(name, value)| {
            (
                name.clone(),
                value.text().unwrap_or_else(|| String::from("NULL")),
            )
        })
        .collect();
    let reads_launchpad = prepared
        .bound
        .sources
        .iter()
        .any(|source| source.kind == language::SourceKind::Launchpad);
    if reads_launchpad {
        let root = if prepared.sample {
            "sample"
        } else {
            environment.get("LP_WEB_ROOT").unwrap_or("production")
        };
        parameters.insert(String::from("LP_WEB_ROOT"), String::from(root));
        if let Some(version) = environment.get("LP_API_VERSION") {
            parameters.insert(String::from("LP_API_VERSION"), String::from(version));
        }
    }
    parameters
}

fn announce(printer: Printer, prepared: &Prepared, run: &Run, sample: Option<&url::Url>) {
    printer.say(format_args!("run {}  {}", run.id, run.pipeline));
    if let Some(root) = sample {
        printer.say(format_args!(
            "  reading the bundled sample of Launchpad, served at {root}; for the live service set LP_WEB_ROOT=production \
             and give --set member=…, --from and --to"
        ));
    }
    if run.attempt > 1 {
        printer.say(format_args!(
            "  going on with this unfinished run, attempt {}; --restart would begin anew",
            run.attempt
        ));
    }
    let values = &prepared.bound.parameters;
    let declared = prepared
        .definition
        .parameters
        .iter()
        .map(|parameter| &parameter.name);
    for (name, value) in declared.filter_map(|name| Some((name, values.get(name)?))) {
        printer.say(format_args!(
            "  ${name} = {}  ({})",
            value.text().unwrap_or_else(|| String::from("NULL")),
            value.origin
        ));
    }
}

/// Records how the attempt ended.
async fn conclude(
    run: &RunContext,
    outcome: Result<Vec<Published>, RunError>,
    mut counts: Counts,
    extracted: &[Extracted],
) -> Result<Vec<Published>, RunError> {
    counts.quarantined = run
        .store
        .quarantined(run.attempt.run, 0, 0)
        .await
        .map_or(0, |summary| summary.total);
    let (state, status, error) = match &outcome {
        Ok(_) if counts.quarantined > 0 => (Outcome::Partial, ExitStatus::Partial, None),
        Ok(_) => (Outcome::Succeeded, ExitStatus::Success, None),
        Err(RunError::Superseded) => return outcome,
        Err(error @ RunError::Interrupted { .. }) => {
            (Outcome::Cancelled, error.exit_status(), Some(error))
        }
        Err(error) => (Outcome::Failed, error.exit_status(), Some(error)),
    };
    let end = RunEnd {
        outcome: state,
        at: Utc::now(),
        exit_code: i32::from(status.code()),
        error: error.map(recorded),
        counts,
        bytes_read: extracted
            .iter()
            .map(|source| source.metrics.snapshot().bytes_received)
            .sum(),
        bytes_written: outcome
            .as_ref()
            .map_or(0, |all| all.iter().map(Published::bytes).sum()),
        peak_memory_bytes: Some(run.memory.report().peak),
    };
    match (run.store.finish_run(run.attempt, &end).await, outcome) {
        (Ok(_), outcome) => outcome,
        // The first error is the one to tell; the run's record says less than it should.
        (Err(error), Err(first)) => {
            tracing::error!(error = %chain(&error), "the end of the run could not be recorded");
            Err(first)
        }
        (Err(error), Ok(published)) => Err(RunError::from(error).after(&commits(&published))),
    }
}

/// The end of a run whose process ends with it: what [`conclude`] records, without what is only known at a clean end.
fn last_record(
    store: &Arc<dyn RunStore>,
    attempt: store::RunAttempt,
    memory: &Arc<MemoryMonitor>,
) -> ceiling::Record {
    let (store, memory) = (Arc::clone(store), Arc::clone(memory));
    Box::new(move |error| {
        let end = RunEnd {
            outcome: Outcome::Failed,
            at: Utc::now(),
            exit_code: i32::from(error.exit_status().code()),
            error: Some(recorded(error)),
            counts: Counts::default(),
            bytes_read: 0,
            bytes_written: 0,
            peak_memory_bytes: Some(memory.report().peak),
        };
        let store = Arc::clone(&store);
        Box::pin(async move {
            if let Err(error) = store.finish_run(attempt, &end).await {
                tracing::error!(error = %chain(&error), "the end of the run could not be recorded");
            }
        })
    })
}

fn recorded(error: &RunError) -> store::RunError {
    store::RunError {
        message: chain(error),
        class: error.class(),
        hint: error.hint(),
    }
}

/// The commits of outputs, as an error names them.
fn commits(published: &[Published]) -> Vec<String> {
    published.iter().map(Published::commit_of).collect()
}

/// Earlier attempts at the same request that never published are superseded by this run: nobody goes on with them.
async fn remove_abandoned(store: &dyn RunStore, run: &Run) {
    let filter = RunFilter {
        pipeline: Some(run.pipeline.clone()),
        state: None,
        limit: 1_000,
    };
    let earlier = match store.runs(&filter).await {
        Ok(runs) => runs,
        Err(error) => {
            return tracing::warn!(error = %chain(&error), "earlier runs could not be listed");
        }
    };
    for old in earlier {
        let superseded =
            old.id < run.id && old.identity == run.identity && old.state.is_resumable();
        let folder = PathBuf::from(&old.work_dir);
        if superseded && folder.exists() {
            remove_work_dir(&folder);
        }
    }
}

/// What was landed has been published: it is not needed any more.
fn remove_work_dir(work_dir: &std::path::Path) {
    if let Err(error) = std::fs::remove_dir_all(work_dir) {
        tracing::warn!(path = %work_dir.display(), %error, "the work folder remains");
    }
}
