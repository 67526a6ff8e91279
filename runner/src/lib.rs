//! Runs of pipelines, as a library: [`Runner::run`] takes a pipeline from its text to published tables.
//!
//! It neither prints, nor listens for signals, nor reads the environment, nor ends the process: what happens is told to a
//! [`RunObserver`], who asks a run to stop has a [`Stop`], and the rest comes with [`Services`].
//!
//! One run, stage by stage:
//!
//! ```text
//! prepare ─► claim ─► plan ─► open outputs ─► extract ─► decide ─► write ─► check ─► commit ─► record
//! ```
//!
//! Owns the order of the stages and what is kept when one fails. What a stage does is in its own module:
//! [`prepare`](self::prepare()), [`claim`], [`plan`], [`sources`], [`extract`], [`decide`], [`executor`], [`write`](mod@self::write), [`check`],
//! [`commit`]. Nothing is visible to a reader of an
//! output before `commit`; whatever stops a run before leaves its landed records for the next attempt.

pub mod account;
pub mod cancel;
pub mod check;
pub mod claim;
pub mod cleanup;
pub mod commit;
pub mod compute;
pub mod context;
pub mod decide;
pub mod error;
pub mod estimate;
pub mod event;
pub mod executor;
pub mod extract;
pub mod increment;
pub mod landing;
pub mod maintenance;
pub mod memory;
pub mod output;
pub mod plan;
pub mod prepare;
pub mod preview;
pub mod put_aside;
pub mod quantity;
pub mod redact;
pub mod sample;
pub mod scratch;
pub mod settings;

pub mod source_tables;
pub mod sources;
pub mod staged_inputs;
pub mod stages;
pub mod stop;
pub mod store;
pub mod stream;
pub mod traffic;
pub mod transaction;
pub mod write;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use chrono::Utc;
use connectors::Registry;
use connectors::sample::Served;

use self::claim::{Heartbeat, Resume};
use self::commit::{Published, bytes_written};
use self::compute::Compute;
use self::context::RunContext;
use self::error::{RunError, chain};
use self::event::{RunEvent, RunObserver};
use self::memory::{MemoryMonitor, ProcessMemory, Record};
pub use self::prepare::{Pipeline, Prepared, Selection, prepare};
use self::settings::Environment;
use self::sources::Extracted;
use self::stop::Stop;
use self::store::{Counts, Outcome, Run, RunDocument, RunEnd, RunFilter, RunState, RunStore};

/// With what the store says that a run published and has items in quarantine.
pub const PARTIAL_CODE: u8 = 5;

/// What runs are given by the process that they are in.
#[derive(Debug, Clone)]
pub struct Services {
    /// The folder of the run store and of unfinished runs.
    pub state_dir: PathBuf,
    /// The variables that definitions, settings and sources may refer to.
    pub environment: Environment,
    /// The kinds of sources that there are.
    pub registry: Arc<Registry>,
    /// What all runs of the process may hold.
    pub memory: Arc<ProcessMemory>,
}

/// A request to run a pipeline.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which pipeline, with which values.
    pub selection: Selection,
    /// What was said about unfinished runs.
    pub resume: Resume,
    /// Keep the landed records after publishing.
    pub keep_landing: bool,
}

/// A run that published.
#[derive(Debug)]
pub struct Report {
    /// The run's record.
    pub document: RunDocument,
    /// What was published.
    pub outputs: Vec<Published>,
    /// The ceiling on resident memory, bytes.
    pub ceiling: u64,
    /// From the request to the end of the run.
    pub elapsed_milliseconds: u64,
    /// The requests to object stores, by bucket.
    pub storage: Vec<tables::storage::BucketTraffic>,
}

impl Report {
    /// The commits that have its rows, with their tables.
    pub fn commits(&self) -> Vec<String> {
        commits(&self.outputs)
    }

    /// Whether some items are in quarantine.
    pub fn is_partial(&self) -> bool {
        self.document.run.state == RunState::Partial
    }
}

/// Runs pipelines, several at the same time if asked to.
#[derive(Debug, Clone)]
pub struct Runner {
    services: Services,
}

impl Runner {
    /// With these services.
    pub fn new(services: Services) -> Self {
        Self { services }
    }

    /// Runs a pipeline to its end.
    ///
    /// Asked for again after it was stopped, it goes on from the last landed chunk. When `stop` is asked, the run stops
    /// cleanly; when the future is dropped instead, the run is left as if its process had been killed.
    ///
    /// # Errors
    /// [`RunError`]; nothing was published then, except for [`RunError::Unfinished`] and [`RunError::Committed`], whose
    /// message names the commits.
    pub async fn run(
        &self,
        request: &Request,
        observer: Arc<dyn RunObserver>,
        stop: &Stop,
    ) -> Result<Report, RunError> {
        let outcome = self.run_observed(request, &observer, stop).await;
        observer.observe(&RunEvent::Ended);
        outcome
    }

    async fn run_observed(
        &self,
        request: &Request,
        observer: &Arc<dyn RunObserver>,
        stop: &Stop,
    ) -> Result<Report, RunError> {
        let started = Instant::now();
        let Services {
            environment,
            registry,
            ..
        } = &self.services;
        let prepared = prepare(&request.selection, environment, registry)?;
        for remark in &prepared.definition.warnings {
            observer.observe(&RunEvent::Remark(remark));
        }
        let sample = sample::start(prepared.sample.as_deref()).await?;
        let report = self
            .run_prepared(request, &prepared, sample.as_ref(), observer, stop, started)
            .await;
        if let Some(sample) = sample {
            sample.stop.await;
        }
        report
    }

    async fn run_prepared(
        &self,
        request: &Request,
        prepared: &Prepared,
        sample: Option<&Served>,
        observer: &Arc<dyn RunObserver>,
        stop: &Stop,
        started: Instant,
    ) -> Result<Report, RunError> {
        let Services {
            state_dir,
            environment,
            registry,
            memory: process,
        } = &self.services;
        let extracted =
            sources::open_extracted(&prepared.bound.sources, registry, environment, sample)?;
        let memory = Arc::new(MemoryMonitor::start());
        let ours = Arc::new(OnceLock::new());
        let share = process.share(
            prepared.settings.memory.value,
            stop,
            last_record(&ours, &memory),
        )?;
        let store = claim::open_store(state_dir).await?;
        let claimed = claim::claim(
            store.as_ref(),
            claim::Request {
                pipeline: &prepared.definition.name,
                fingerprint: prepared.definition.fingerprint.clone(),
                parameters: identity_parameters(prepared, registry, environment)?,
                settings: claim::recorded(&prepared.settings),
                resume: request.resume.clone(),
                state_dir,
            },
        )
        .await?;
        observer.observe(&RunEvent::Claimed {
            run: &claimed,
            prepared,
            sample,
        });
        let attempt = claimed.current_attempt();
        ours.get_or_init(|| (Arc::clone(&store), attempt));
        let context = RunContext {
            registry: Arc::clone(registry),
            attempt,
            pipeline: claimed.pipeline.clone(),
            identity: claimed.identity.clone(),
            work_dir: PathBuf::from(&claimed.work_dir),
            settings: prepared.settings.clone(),
            storage: environment.storage(),
            memory,
            share,
            compute: Compute::start().map_err(RunError::no_threads)?,
            observer: Arc::clone(observer),
            stop: stop.clone(),
            store: Arc::clone(&store),
        };
        let heartbeat = Heartbeat::start(Arc::clone(&store), context.attempt, stop.clone());
        let mut counts = Counts::default();
        let outcome = stages::execute(&context, prepared, &extracted, &mut counts).await;
        drop(heartbeat);
        let storage = traffic::of(&context.storage);
        traffic::record(&mut counts.other, &storage);
        let ended = conclude(&context, outcome, counts, &extracted).await;
        if ended.is_ok() {
            remove_abandoned(store.as_ref(), &claimed).await;
            if !request.keep_landing {
                remove_work_dir(&context.work_dir);
            }
        }
        let outputs = ended?;
        let document = store
            .document(context.attempt.run)
            .await
            .map_err(|error| RunError::from(error).after(&commits(&outputs)))?;
        store.close().await;
        Ok(Report {
            document,
            outputs,
            ceiling: prepared.settings.memory.value,
            elapsed_milliseconds: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            storage,
        })
    }
}

/// The parameters that make two requests the same one: those of the pipeline, and what else decides which data
/// its sources are.
fn identity_parameters(
    prepared: &Prepared,
    registry: &Registry,
    environment: &Environment,
) -> Result<BTreeMap<String, String>, RunError> {
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
    parameters.extend(sources::identity(
        &prepared.bound.sources,
        registry,
        environment,
        prepared.sample.as_deref(),
    )?);
    Ok(parameters)
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
    let (state, code, error) = match &outcome {
        Ok(_) if counts.quarantined > 0 => (Outcome::Partial, PARTIAL_CODE, None),
        Ok(_) => (Outcome::Succeeded, 0, None),
        Err(RunError::Superseded) => return outcome,
        Err(error @ RunError::Interrupted { .. }) => {
            (Outcome::Cancelled, error.kind().code(), Some(error))
        }
        Err(error) => (Outcome::Failed, error.kind().code(), Some(error)),
    };
    let end = RunEnd {
        outcome: state,
        at: Utc::now(),
        exit_code: i32::from(code),
        error: error.map(recorded),
        counts,
        bytes_read: extracted
            .iter()
            .map(|source| source.metrics.snapshot().bytes_received)
            .sum(),
        bytes_written: outcome.as_ref().map_or(0, |all| bytes_written(all)),
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

/// The run in the store, once it is ours.
type Ours = Arc<OnceLock<(Arc<dyn RunStore>, store::RunAttempt)>>;

/// The end of a run whose process ends with it: what [`conclude`] records, without what is only known at a clean end.
fn last_record(ours: &Ours, memory: &Arc<MemoryMonitor>) -> Record {
    let (ours, memory) = (Arc::clone(ours), Arc::clone(memory));
    Box::new(move |error| {
        let end = RunEnd {
            outcome: Outcome::Failed,
            at: Utc::now(),
            exit_code: i32::from(error.kind().code()),
            error: Some(recorded(error)),
            counts: Counts::default(),
            bytes_read: 0,
            bytes_written: 0,
            peak_memory_bytes: Some(memory.report().peak),
        };
        let ours = ours.get().cloned();
        Box::pin(async move {
            if let Some((store, attempt)) = ours
                && let Err(error) = store.finish_run(attempt, &end).await
            {
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
