//! What a run is: its states, settings, decision and end.
//!
//! Owns the words that users and the JSON document see. Does not own how they are stored.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::identity::{RunAttempt, RunId, RunIdentity};
use super::owner::{Owner, OwnerAlive};
use super::words::words;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// A process works on it, or did when it was last seen.
    Running,
    /// Published in full.
    Succeeded,
    /// Published, with items left in quarantine.
    Partial,
    /// Ended by an error; nothing was published but what the error names.
    Failed,
    /// Stopped cleanly on request; it can be resumed.
    Cancelled,
    /// Its process went away without ending it; it can be resumed.
    Interrupted,
}

words!(RunState, "run state", {
    Running => "running",
    Succeeded => "succeeded",
    Partial => "partial",
    Failed => "failed",
    Cancelled => "cancelled",
    Interrupted => "interrupted",
});

impl RunState {
    /// Whether a run in this state can be taken up again once its owner is gone: it has not published.
    #[must_use]
    pub const fn is_resumable(self) -> bool {
        match self {
            Self::Running | Self::Failed | Self::Cancelled | Self::Interrupted => true,
            Self::Succeeded | Self::Partial => false,
        }
    }
}

/// The states in which a process can end its own run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// See [`RunState::Succeeded`].
    Succeeded,
    /// See [`RunState::Partial`].
    Partial,
    /// See [`RunState::Failed`].
    Failed,
    /// See [`RunState::Cancelled`].
    Cancelled,
}

impl From<Outcome> for RunState {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Succeeded,
            Outcome::Partial => Self::Partial,
            Outcome::Failed => Self::Failed,
            Outcome::Cancelled => Self::Cancelled,
        }
    }
}

/// Where a run's plan is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunMode {
    /// In this process.
    Local,
    /// On the cluster's executors.
    Cluster,
}

words!(RunMode, "run mode", { Local => "local", Cluster => "cluster" });

/// Why a run's plan is executed where it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Rows that the sources were expected to give; absent when nothing could tell.
    pub estimated_rows: Option<u64>,
    /// The number of rows above which the cluster is chosen; absent when the mode was asked for.
    pub threshold_rows: Option<u64>,
    /// One sentence for the user.
    pub reason: String,
    /// What the estimate was made from, source by source.
    pub detail: serde_json::Value,
}

/// A setting's value as the run used it, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The value as a user would write it; never a secret.
    pub value: String,
    /// Such as `default`, `--memory`, `PIPELINES_MEMORY` or `launchpad_bugs.sql:4`.
    pub origin: String,
}

/// Who can do something about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The request has to change.
    User,
    /// Asking again later may work.
    Transient,
    /// Asking again gives the same answer.
    Permanent,
    /// A fault in the program.
    Internal,
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunError {
    /// The error and its causes in one text; never a secret.
    pub message: String,
    /// Who can do something about it.
    pub class: ErrorClass,
    /// What to do next, where that is known.
    pub hint: Option<String>,
}

/// A run's totals over all its attempts, in rows unless said otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Taken from the sources.
    pub read: u64,
    /// Left out because the definition says so.
    pub filtered: u64,
    /// Published.
    pub written: u64,
    /// Put aside with a reason.
    pub quarantined: u64,
    /// Further totals by name, such as `requests` or `retries`.
    pub other: BTreeMap<String, u64>,
}

/// What a process asks to be recorded when it begins a run.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRun {
    /// Minted by the caller, who may name the work folder after it.
    pub id: RunId,
    /// The pipeline's name; at most one run of it is running.
    pub pipeline: String,
    /// Digest of the definition's text.
    pub definition_fingerprint: String,
    /// The parameters as resolved; never a secret.
    pub parameters: BTreeMap<String, String>,
    /// Where the plan is meant to run; [`RunWriter::record_decision`](super::RunWriter::record_decision) may change it.
    pub mode: RunMode,
    /// Every setting and its origin.
    pub settings: BTreeMap<String, Setting>,
    /// Where chunks and other temporary things of the run are: a folder or an object-store prefix.
    pub work_dir: String,
    /// Who works on it; its heartbeat time is the time at which the run begins.
    pub owner: Owner,
}

impl NewRun {
    /// See [`RunIdentity`].
    #[must_use]
    pub fn identity(&self) -> RunIdentity {
        RunIdentity::of(
            &self.pipeline,
            &self.definition_fingerprint,
            &self.parameters,
        )
    }
}

/// What a process asks to be recorded when it takes up a run again.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// Who works on it from now; its heartbeat time is the time at which the attempt begins.
    pub owner: Owner,
    /// Every setting of this attempt and its origin; replaces those of the attempt before.
    pub settings: BTreeMap<String, Setting>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct RunEnd {
    /// The state to leave it in.
    pub outcome: Outcome,
    /// When.
    pub at: DateTime<Utc>,
    /// The process's exit code.
    pub exit_code: i32,
    /// Why, when it failed.
    pub error: Option<RunError>,
    /// Totals.
    pub counts: Counts,
    /// Bytes taken from the sources.
    pub bytes_read: u64,
    /// Bytes published.
    pub bytes_written: u64,
    /// Highest resident memory of the process, in bytes; absent where it could not be measured.
    pub peak_memory_bytes: Option<u64>,
}

/// What the store knows of a run, without its lists. [`RunDocument`](super::RunDocument) has those.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its name.
    pub id: RunId,
    /// The pipeline's name.
    pub pipeline: String,
    /// Digest of the definition's text.
    pub definition_fingerprint: String,
    /// The parameters as resolved.
    pub parameters: BTreeMap<String, String>,
    /// See [`RunIdentity`].
    pub identity: RunIdentity,
    /// Where it stands; [`Run::observed_state`] also looks at the owner.
    pub state: RunState,
    /// Where its plan is executed.
    pub mode: RunMode,
    /// Why there, once that is decided.
    pub decision: Option<Decision>,
    /// Every setting of the current attempt and its origin.
    pub settings: BTreeMap<String, Setting>,
    /// The number of the current attempt, from 1.
    pub attempt: u32,
    /// The process of the current attempt.
    pub owner: Owner,
    /// When its first attempt began.
    pub started_at: DateTime<Utc>,
    /// When its current attempt began.
    pub attempt_started_at: DateTime<Utc>,
    /// When it ended; for an interrupted run, when it was last seen alive.
    pub finished_at: Option<DateTime<Utc>>,
    /// The exit code of the process that ended it.
    pub exit_code: Option<i32>,
    /// Why it failed or was interrupted.
    pub error: Option<RunError>,
    /// Totals, once it ended.
    pub counts: Counts,
    /// Bytes taken from the sources, once it ended.
    pub bytes_read: u64,
    /// Bytes published, once it ended.
    pub bytes_written: u64,
    /// Highest resident memory in bytes, once it ended.
    pub peak_memory_bytes: Option<u64>,
    /// Where its chunks are.
    pub work_dir: String,
}

impl Run {
    /// The current attempt, to be shown with every write.
    #[must_use]
    pub const fn current_attempt(&self) -> RunAttempt {
        RunAttempt {
            run: self.id,
            number: self.attempt,
        }
    }

    /// The state as an observer sees it: a running run whose owner is gone reads as interrupted, before
    /// the next run of the pipeline records it as such.
    #[must_use]
    pub fn observed_state(&self, owner_alive: &OwnerAlive<'_>) -> RunState {
        if self.state == RunState::Running && !owner_alive(&self.owner) {
            RunState::Interrupted
        } else {
            self.state
        }
    }
}

/// Which runs to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFilter {
    /// Only runs of this pipeline.
    pub pipeline: Option<String>,
    /// Only runs recorded in this state.
    pub state: Option<RunState>,
    /// At most this many.
    pub limit: u32,
}

impl Default for RunFilter {
    /// The newest twenty, which fit a screen.
    fn default() -> Self {
        Self {
            pipeline: None,
            state: None,
            limit: 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_as_what_they_were_written_from() {
        for state in RunState::ALL {
            assert_eq!(state.as_str().parse::<RunState>().unwrap(), *state);
            assert_eq!(
                serde_json::to_value(state).unwrap(),
                serde_json::Value::from(state.as_str()),
                "the store and the document spell a state alike"
            );
        }
        let error = "paused".parse::<RunState>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`paused` is not a run state; known are running, succeeded, partial, failed, cancelled, interrupted"
        );
    }
}
