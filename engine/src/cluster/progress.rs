//! How far a job is, for a line that a person watches. Nothing is decided by it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::report::Work;

/// How far the newest job is. Clones show the same job.
#[derive(Debug, Clone, Default)]
pub struct JobProgress {
    seen: Arc<Mutex<JobSnapshot>>,
}

/// How far a job was when the scheduler was asked last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct JobSnapshot {
    /// Executors that are not lost.
    pub executors: usize,
    /// Stages of the job.
    pub stages: usize,
    /// Those that ended.
    pub stages_done: usize,
    /// Tasks at work.
    pub tasks_running: usize,
    /// Tasks that ended well.
    pub tasks_done: usize,
    /// Rows that tasks which ended gave to the next stage.
    pub rows_shuffled: u64,
    /// What its tasks did so far.
    #[serde(flatten)]
    pub work: Work,
}

/// What `/api/job/<id>/stages` says.
#[derive(Debug, Deserialize)]
pub(super) struct Stages {
    stages: Vec<Stage>,
}

#[derive(Debug, Deserialize)]
struct Stage {
    stage_status: String,
    #[serde(default)]
    output_rows: u64,
    tasks: Option<Vec<Task>>,
}

#[derive(Debug, Deserialize)]
struct Task {
    status: serde_json::Value,
}

impl Stages {
    /// Tasks in that state.
    fn tasks(&self, state: &str) -> usize {
        let all = self
            .stages
            .iter()
            .flat_map(|stage| stage.tasks.iter().flatten());
        all.filter(|task| task.status.as_str() == Some(state))
            .count()
    }

    /// Tasks at work.
    pub(super) fn tasks_running(&self) -> usize {
        self.tasks("Running")
    }
}

impl JobProgress {
    /// Takes what the scheduler and the executors say of the job.
    pub(super) fn set(&self, executors: usize, stages: &Stages, work: Work) {
        let done = stages
            .stages
            .iter()
            .filter(|stage| stage.stage_status == "Successful");
        let seen = JobSnapshot {
            executors,
            stages: stages.stages.len(),
            stages_done: done.count(),
            tasks_running: stages.tasks_running(),
            tasks_done: stages.tasks("Successful"),
            rows_shuffled: stages.stages.iter().map(|stage| stage.output_rows).sum(),
            work,
        };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    /// How far the job was when the scheduler was asked last.
    pub fn snapshot(&self) -> JobSnapshot {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for JobProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = self.snapshot();
        if seen.stages == 0 {
            return f.write_str("waiting for the cluster");
        }
        write!(
            f,
            "{} of {} stages, {} tasks done and {} at work, {} rows read and {} shuffled, {} executors",
            seen.stages_done,
            seen.stages,
            seen.tasks_done,
            seen.tasks_running,
            seen.work.rows_read,
            seen.rows_shuffled,
            seen.executors
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheduler_s_answer_becomes_a_line() {
        let answer = r#"{"stages": [
            {"stage_id": "1", "stage_status": "Successful", "output_rows": 70, "tasks": [
                {"id": 0, "status": "Successful"}, {"id": 1, "status": "Successful"}]},
            {"stage_id": "2", "stage_status": "Running", "output_rows": 0, "tasks": [
                {"id": 0, "status": "Running"},
                {"id": 1, "status": {"Failed": {"reason": "x", "error": "y"}}}]}
        ]}"#;
        let progress = JobProgress::default();
        assert_eq!(progress.to_string(), "waiting for the cluster");
        let work = Work {
            rows_read: 95,
            ..Work::default()
        };
        progress.set(3, &serde_json::from_str(answer).unwrap(), work);
        assert_eq!(
            progress.to_string(),
            "1 of 2 stages, 2 tasks done and 1 at work, 95 rows read and 70 shuffled, 3 executors"
        );
        let seen = progress.snapshot();
        assert_eq!((seen.stages_done, seen.stages), (1, 2));
    }
}
