//! Whose run this is: a new one, or an unfinished one that is taken up again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use engine::private::make_folder;

use super::error::RunError;
use super::stop::{Stop, StopReason};
use crate::settings::RunSettings;
use crate::store::{
    Claim, HEARTBEAT_INTERVAL, NewRun, Owner, Processes, Run, RunAttempt, RunId, RunIdentity,
    RunMode, RunStore, Setting, SqliteRunStore, StoreError,
};

/// What the person said about unfinished runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    /// Go on with an unfinished run of the same request, if there is one.
    Auto,
    /// Go on with this run, or fail.
    Run(String),
    /// Begin anew whatever there is.
    Restart,
}

/// Opens the run store of `state_dir`.
///
/// # Errors
/// [`RunError::Io`] when the folder cannot be made, [`RunError::Store`] when the store cannot be opened.
pub async fn open_store(state_dir: &Path) -> Result<Arc<dyn RunStore>, RunError> {
    make_folder(state_dir).map_err(|source| RunError::Io {
        action: "make the state folder",
        path: state_dir.to_path_buf(),
        source,
    })?;
    Ok(Arc::new(
        SqliteRunStore::open(&state_dir.join("state.db")).await?,
    ))
}

/// What is asked for, as far as "the same run" goes.
#[derive(Debug)]
pub struct Request<'a> {
    /// The pipeline's name.
    pub pipeline: &'a str,
    /// Its definition's fingerprint.
    pub fingerprint: String,
    /// Its parameters.
    pub parameters: BTreeMap<String, String>,
    /// Settings and their origins.
    pub settings: BTreeMap<String, Setting>,
    /// What was said about unfinished runs.
    pub resume: Resume,
    /// The folder of the product's state.
    pub state_dir: &'a Path,
}

/// Makes a run ours: a new one, or an unfinished one of the same request.
///
/// # Errors
/// [`StoreError::AlreadyRunning`] when a live process runs this pipeline; when asked for a certain run, that it is
/// finished, unknown, or of another request.
pub async fn claim(store: &dyn RunStore, request: Request<'_>) -> Result<Run, RunError> {
    let processes = Processes::of_this_machine()?;
    let now = Utc::now();
    let alive = |owner: &Owner| processes.is_alive(owner, now);
    let owner = processes.current(now)?;
    let identity = RunIdentity::of(request.pipeline, &request.fingerprint, &request.parameters);
    let unfinished = match &request.resume {
        Resume::Restart => None,
        Resume::Auto => store.find_resumable(&identity).await?,
        Resume::Run(prefix) => {
            let run = store.run(prefix).await?;
            if run.identity != identity {
                return Err(RunError::OtherRequest {
                    run: run.id.to_string(),
                    pipeline: run.pipeline,
                });
            }
            Some(run)
        }
    };
    if let Some(run) = unfinished {
        let claim = Claim {
            owner,
            settings: request.settings,
        };
        return Ok(store
            .adopt_run(run.current_attempt(), &claim, &alive)
            .await?);
    }
    let id = RunId::mint(now);
    let new = NewRun {
        id,
        pipeline: String::from(request.pipeline),
        definition_fingerprint: request.fingerprint,
        parameters: request.parameters,
        mode: RunMode::Local,
        settings: request.settings,
        work_dir: work_dir(request.state_dir, &id.to_string())
            .display()
            .to_string(),
        owner,
    };
    Ok(store.create_run(&new, &alive).await?)
}

fn work_dir(state_dir: &Path, run: &str) -> PathBuf {
    super::sources::absolute(&state_dir.join("runs").join(run))
}

/// How often it is looked whether somebody asked the run to stop.
const LOOK: Duration = Duration::from_millis(250);

/// Says every few seconds that this process is alive, until dropped; stops the run when it is not ours any more, or when
/// another process asks for that.
#[derive(Debug)]
pub struct Heartbeat(tokio::task::JoinHandle<()>);

impl Heartbeat {
    /// Begins.
    pub fn start(store: Arc<dyn RunStore>, attempt: RunAttempt, stop: Stop) -> Self {
        Self(tokio::spawn(async move {
            let mut beats = tokio::time::interval(HEARTBEAT_INTERVAL);
            let mut looks = tokio::time::interval(LOOK);
            loop {
                tokio::select! {
                    _ = beats.tick() => {}
                    _ = looks.tick() => {
                        match store.cancel_requested(attempt).await {
                            Ok(true) => stop.ask(StopReason::Cancelled),
                            Ok(false) => {}
                            Err(error) => tracing::warn!(%attempt, %error, "cannot tell whether the run shall stop"),
                        }
                        continue;
                    }
                }
                match store.heartbeat(attempt, Utc::now()).await {
                    Err(StoreError::Superseded { .. } | StoreError::NotRunning { .. }) => {
                        tracing::warn!(%attempt, "the run belongs to another process now");
                        stop.ask(StopReason::Superseded);
                        return;
                    }
                    Err(error) => tracing::warn!(%attempt, %error, "heartbeat failed"),
                    Ok(()) => {}
                }
            }
        }))
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The settings as the run's record keeps them.
pub fn recorded(settings: &RunSettings) -> BTreeMap<String, Setting> {
    let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(settings) else {
        return BTreeMap::new();
    };
    fields
        .into_iter()
        .map(|(name, setting)| {
            let text = |key: &str| match &setting[key] {
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            (
                name,
                Setting {
                    value: text("value"),
                    origin: text("origin"),
                },
            )
        })
        .collect()
}
