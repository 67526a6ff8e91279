//! How far a job is, for a line that a person watches. Nothing is decided by it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;

/// How far the newest job is. Clones show the same job.
#[derive(Debug, Clone, Default)]
pub struct JobProgress {
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    executors: usize,
    stages: usize,
    stages_done: usize,
    tasks_running: usize,
    tasks_done: usize,
    /// Rows that tasks which ended gave to the next stage.
    rows: u64,
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
    /// Takes what the scheduler says of the job.
    pub(super) fn set(&self, executors: usize, stages: &Stages) {
        let done = stages
            .stages
            .iter()
            .filter(|stage| stage.stage_status == "Successful");
        let seen = Seen {
            executors,
            stages: stages.stages.len(),
            stages_done: done.count(),
            tasks_running: stages.tasks_running(),
            tasks_done: stages.tasks("Successful"),
            rows: stages.stages.iter().map(|stage| stage.output_rows).sum(),
        };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    /// Stages that ended, and stages in all; `None` before the job has any.
    pub fn stages(&self) -> Option<(usize, usize)> {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        (seen.stages > 0).then_some((seen.stages_done, seen.stages))
    }
}

impl fmt::Display for JobProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.stages == 0 {
            return f.write_str("waiting for the cluster");
        }
        write!(
            f,
            "{} of {} stages, {} tasks done and {} at work, {} rows shuffled, {} executors",
            seen.stages_done,
            seen.stages,
            seen.tasks_done,
            seen.tasks_running,
            seen.rows,
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
        progress.set(3, &serde_json::from_str(answer).unwrap());
        assert_eq!(
            progress.to_string(),
            "1 of 2 stages, 2 tasks done and 1 at work, 70 rows shuffled, 3 executors"
        );
        assert_eq!(progress.stages(), Some((1, 2)));
    }
}
