//! Runs: beginning, taking over, ending and finding them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::SqliteConnection;
use sqlx::types::Json;

use super::rows::{RunRow, select_runs};
use super::{SqliteRunStore, instant, integer};
use crate::redact::redacted;
use crate::store::error::StoreError;
use crate::store::identity::{RunAttempt, RunId, RunIdentity};
use crate::store::owner::OwnerAlive;
use crate::store::run::{
    Claim, Counts, Decision, ErrorClass, NewRun, Run, RunEnd, RunError, RunFilter, RunMode,
    RunState,
};

/// How many runs an ambiguous prefix is answered with.
const MATCHES_LISTED: usize = 5;

/// Among how many of the newest runs a mistyped id is looked for.
const NEAR_SEARCHED: i64 = 200;

/// How many runs a mistyped id is answered with.
const NEAR_LISTED: usize = 3;

impl SqliteRunStore {
    pub(super) async fn create(
        &self,
        new: &NewRun,
        owner_alive: &OwnerAlive<'_>,
    ) -> Result<Run, StoreError> {
        const OPERATION: &str = "record a new run";
        let mut transaction = self.begin_write(OPERATION).await?;
        self.clear_the_way(&mut transaction, &new.pipeline, None, owner_alive)
            .await?;
        let started = instant(new.owner.heartbeat_at);
        sqlx::query(
            "INSERT INTO runs (id, pipeline, definition_fingerprint, parameters, identity, state, mode, settings, \
             attempt, owner_host, owner_pid, owner_process, heartbeat_at, started_at, attempt_started_at, counts, \
             bytes_read, bytes_written, work_dir) \
             VALUES (?1, ?2, ?3, ?4, ?5, 'running', ?6, ?7, 1, ?8, ?9, ?10, ?11, ?11, ?11, ?12, 0, 0, ?13)",
        )
        .bind(new.id.to_string())
        .bind(&new.pipeline)
        .bind(&new.definition_fingerprint)
        .bind(Json(without_secrets(&new.parameters)))
        .bind(new.identity().as_str().to_owned())
        .bind(new.mode.as_str())
        .bind(Json(&new.settings))
        .bind(&new.owner.host)
        .bind(new.owner.pid)
        .bind(&new.owner.process)
        .bind(started)
        .bind(Json(Counts::default()))
        .bind(&new.work_dir)
        .execute(&mut *transaction)
        .await
        .map_err(self.fault(OPERATION))?;
        let run = self.load(&mut transaction, new.id).await?;
        self.commit(transaction, OPERATION).await?;
        tracing::info!(run = %run.id, pipeline = run.pipeline, to = %run.state, "run created");
        Ok(run)
    }

    pub(super) async fn adopt(
        &self,
        seen: RunAttempt,
        claim: &Claim,
        owner_alive: &OwnerAlive<'_>,
    ) -> Result<Run, StoreError> {
        const OPERATION: &str = "take over a run";
        let mut transaction = self.begin_write(OPERATION).await?;
        let before = self.load(&mut transaction, seen.run).await?;
        if before.state == RunState::Running && owner_alive(&before.owner) {
            return Err(already_running(before));
        }
        if before.attempt != seen.number {
            return Err(StoreError::Superseded {
                run: seen.run,
                attempt: seen.number,
                current: before.attempt,
            });
        }
        if !before.state.is_resumable() {
            return Err(StoreError::NotResumable {
                run: before.id,
                state: before.state,
            });
        }
        self.clear_the_way(
            &mut transaction,
            &before.pipeline,
            Some(before.id),
            owner_alive,
        )
        .await?;

        let began = instant(claim.owner.heartbeat_at);
        sqlx::query("INSERT INTO warnings (run, at, message) VALUES (?1, ?2, ?3)")
            .bind(before.id.to_string())
            .bind(&began)
            .bind(end_of_attempt(&before))
            .execute(&mut *transaction)
            .await
            .map_err(self.fault(OPERATION))?;
        sqlx::query(
            "UPDATE runs SET state = 'running', attempt = attempt + 1, owner_host = ?3, owner_pid = ?4, \
             owner_process = ?5, heartbeat_at = ?6, attempt_started_at = ?6, settings = ?7, finished_at = NULL, \
             exit_code = NULL, error = NULL, counts = ?8, bytes_read = 0, bytes_written = 0, peak_memory_bytes = NULL \
             WHERE id = ?1 AND attempt = ?2",
        )
        .bind(before.id.to_string())
        .bind(seen.number)
        .bind(&claim.owner.host)
        .bind(claim.owner.pid)
        .bind(&claim.owner.process)
        .bind(began)
        .bind(Json(&claim.settings))
        .bind(Json(Counts::default()))
        .execute(&mut *transaction)
        .await
        .map_err(self.fault(OPERATION))?;
        let run = self.load(&mut transaction, before.id).await?;
        self.commit(transaction, OPERATION).await?;
        tracing::info!(
            run = %run.id, attempt = run.attempt, from = %before.state, to = %run.state, "run taken over"
        );
        Ok(run)
    }

    pub(super) async fn beat(
        &self,
        attempt: RunAttempt,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        const OPERATION: &str = "record a heartbeat";
        let mut transaction = self.begin_write(OPERATION).await?;
        self.require_current(&mut transaction, attempt).await?;
        sqlx::query("UPDATE runs SET heartbeat_at = ?2 WHERE id = ?1")
            .bind(attempt.run.to_string())
            .bind(instant(at))
            .execute(&mut *transaction)
            .await
            .map_err(self.fault(OPERATION))?;
        self.commit(transaction, OPERATION).await
    }

    pub(super) async fn ask_to_cancel(
        &self,
        attempt: RunAttempt,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        const OPERATION: &str = "ask a run to stop";
        let mut transaction = self.begin_write(OPERATION).await?;
        self.require_current(&mut transaction, attempt).await?;
        sqlx::query("INSERT OR IGNORE INTO cancel_requests (run, attempt, at) VALUES (?1, ?2, ?3)")
            .bind(attempt.run.to_string())
            .bind(attempt.number)
            .bind(instant(at))
            .execute(&mut *transaction)
            .await
            .map_err(self.fault(OPERATION))?;
        self.commit(transaction, OPERATION).await
    }

    pub(super) async fn is_asked_to_cancel(&self, attempt: RunAttempt) -> Result<bool, StoreError> {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM cancel_requests WHERE run = ?1 AND attempt = ?2)",
        )
        .bind(attempt.run.to_string())
        .bind(attempt.number)
        .fetch_one(&self.connections.readers)
        .await
        .map_err(self.fault("look for a request to stop"))
    }

    pub(super) async fn decide(
        &self,
        attempt: RunAttempt,
        mode: RunMode,
        decision: &Decision,
    ) -> Result<(), StoreError> {
        const OPERATION: &str = "record where the run is executed";
        let mut transaction = self.begin_write(OPERATION).await?;
        self.require_current(&mut transaction, attempt).await?;
        sqlx::query("UPDATE runs SET mode = ?2, decision = ?3 WHERE id = ?1")
            .bind(attempt.run.to_string())
            .bind(mode.as_str())
            .bind(Json(decision))
            .execute(&mut *transaction)
            .await
            .map_err(self.fault(OPERATION))?;
        self.commit(transaction, OPERATION).await
    }

    pub(super) async fn finish(
        &self,
        attempt: RunAttempt,
        end: &RunEnd,
    ) -> Result<Run, StoreError> {
        const OPERATION: &str = "record the end of a run";
        let mut transaction = self.begin_write(OPERATION).await?;
        let state = RunState::from(end.outcome);
        match self.require_current(&mut transaction, attempt).await {
            // The answer to an earlier call was lost.
            Err(StoreError::NotRunning { state: stored, .. }) if stored == state => {
                return self.load(&mut transaction, attempt.run).await;
            }
            other => other?,
        }
        sqlx::query(
            "UPDATE runs SET state = ?2, finished_at = ?3, heartbeat_at = ?3, exit_code = ?4, error = ?5, counts = ?6, \
             bytes_read = ?7, bytes_written = ?8, peak_memory_bytes = ?9 WHERE id = ?1",
        )
        .bind(attempt.run.to_string())
        .bind(state.as_str())
        .bind(instant(end.at))
        .bind(end.exit_code)
        .bind(end.error.as_ref().map(shown).map(Json))
        .bind(Json(&end.counts))
        .bind(integer(end.bytes_read))
        .bind(integer(end.bytes_written))
        .bind(end.peak_memory_bytes.map(integer))
        .execute(&mut *transaction)
        .await
        .map_err(self.fault(OPERATION))?;
        let run = self.load(&mut transaction, attempt.run).await?;
        self.commit(transaction, OPERATION).await?;
        tracing::info!(run = %run.id, from = %RunState::Running, to = %run.state, "run finished");
        Ok(run)
    }

    /// Makes sure that no other run of the pipeline is running. Those whose owner is gone are recorded as
    /// interrupted, at the time at which they were last heard of.
    async fn clear_the_way(
        &self,
        connection: &mut SqliteConnection,
        pipeline: &str,
        except: Option<RunId>,
        owner_alive: &OwnerAlive<'_>,
    ) -> Result<(), StoreError> {
        const OPERATION: &str = "look for runs of the pipeline";
        let running: Vec<RunRow> =
            sqlx::query_as(select_runs!("WHERE pipeline = ?1 AND state = 'running'"))
                .bind(pipeline)
                .fetch_all(&mut *connection)
                .await
                .map_err(self.fault(OPERATION))?;
        for run in running.into_iter().map(Run::from) {
            if except == Some(run.id) {
                continue;
            }
            if owner_alive(&run.owner) {
                return Err(already_running(run));
            }
            let error = RunError {
                message: format!(
                    "process {} on {} went away without ending the run",
                    run.owner.pid, run.owner.host
                ),
                class: ErrorClass::Transient,
                hint: None,
            };
            sqlx::query(
                "UPDATE runs SET state = 'interrupted', finished_at = heartbeat_at, error = ?2 WHERE id = ?1",
            )
            .bind(run.id.to_string())
            .bind(Json(error))
            .execute(&mut *connection)
            .await
            .map_err(self.fault(OPERATION))?;
            tracing::info!(
                run = %run.id,
                from = %RunState::Running,
                to = %RunState::Interrupted,
                reason = "its owner is gone",
                "run interrupted"
            );
        }
        Ok(())
    }

    /// Fences: the attempt must be the run's current one and the run must be running.
    pub(super) async fn require_current(
        &self,
        connection: &mut SqliteConnection,
        attempt: RunAttempt,
    ) -> Result<(), StoreError> {
        let stored: Option<(u32, String)> =
            sqlx::query_as("SELECT attempt, state FROM runs WHERE id = ?1")
                .bind(attempt.run.to_string())
                .fetch_optional(connection)
                .await
                .map_err(self.fault("look up a run"))?;
        let Some((current, state)) = stored else {
            return Err(not_found(attempt.run));
        };
        if current != attempt.number {
            return Err(StoreError::Superseded {
                run: attempt.run,
                attempt: attempt.number,
                current,
            });
        }
        let state: RunState = state.parse().map_err(|unknown| {
            self.fault("look up a run")(sqlx::Error::Decode(Box::new(unknown)))
        })?;
        if state != RunState::Running {
            return Err(StoreError::NotRunning {
                run: attempt.run,
                state,
            });
        }
        Ok(())
    }

    pub(super) async fn load(
        &self,
        connection: &mut SqliteConnection,
        run: RunId,
    ) -> Result<Run, StoreError> {
        let row: Option<RunRow> = sqlx::query_as(select_runs!("WHERE id = ?1"))
            .bind(run.to_string())
            .fetch_optional(connection)
            .await
            .map_err(self.fault("read a run"))?;
        row.map(Run::from).ok_or_else(|| not_found(run))
    }

    pub(super) async fn find_by_prefix(&self, wanted: &str) -> Result<Run, StoreError> {
        let Some(prefix) = id_prefix(wanted) else {
            return Err(self.nothing_like(wanted).await?);
        };
        // `g` follows every hexadecimal digit and the hyphen.
        let rows: Vec<RunRow> = sqlx::query_as(select_runs!(
            "WHERE id >= ?1 AND id < ?1 || 'g' ORDER BY id DESC LIMIT ?2"
        ))
        .bind(prefix)
        .bind(integer(MATCHES_LISTED as u64))
        .fetch_all(&self.connections.readers)
        .await
        .map_err(self.fault("look for a run"))?;
        let mut runs: Vec<Run> = rows.into_iter().map(Run::from).collect();
        match (runs.pop(), runs.is_empty()) {
            (Some(run), true) => Ok(run),
            (Some(last), false) => Err(StoreError::Ambiguous {
                wanted: wanted.to_owned(),
                matches: runs.iter().chain([&last]).map(|run| run.id).collect(),
            }),
            (None, _) => Err(self.nothing_like(wanted).await?),
        }
    }

    /// The error for an id that no run has, with the runs that may have been meant: those of a pipeline
    /// of that name, or those whose id begins nearly so.
    async fn nothing_like(&self, wanted: &str) -> Result<StoreError, StoreError> {
        let newest: Vec<(String, String)> = sqlx::query_as(
            "SELECT id, pipeline FROM runs ORDER BY started_at DESC, id DESC LIMIT ?1",
        )
        .bind(NEAR_SEARCHED)
        .fetch_all(&self.connections.readers)
        .await
        .map_err(self.fault("look for similar runs"))?;
        let typed = wanted.trim().to_ascii_lowercase();
        let tolerated = (typed.len() / 4).max(1);
        let mut near: Vec<(usize, &str)> = newest
            .iter()
            .filter_map(|(id, pipeline)| {
                if pipeline == wanted {
                    return Some((0, id.as_str()));
                }
                let beginning = id.get(..typed.len()).unwrap_or(id);
                let distance = language::edits(&typed, beginning);
                (distance <= tolerated).then_some((distance, id.as_str()))
            })
            .collect();
        // Stable, so among equally near ones the newest stay first.
        near.sort_by_key(|(distance, _)| *distance);
        Ok(StoreError::NotFound {
            wanted: wanted.to_owned(),
            near: near
                .into_iter()
                .filter_map(|(_, id)| id.parse().ok())
                .take(NEAR_LISTED)
                .collect(),
        })
    }

    pub(super) async fn list(&self, filter: &RunFilter) -> Result<Vec<Run>, StoreError> {
        let rows: Vec<RunRow> = sqlx::query_as(select_runs!(
            "WHERE (?1 IS NULL OR pipeline = ?1) AND (?2 IS NULL OR state = ?2) \
             ORDER BY started_at DESC, id DESC LIMIT ?3"
        ))
        .bind(filter.pipeline.as_deref())
        .bind(filter.state.map(RunState::as_str))
        .bind(filter.limit)
        .fetch_all(&self.connections.readers)
        .await
        .map_err(self.fault("list runs"))?;
        Ok(rows.into_iter().map(Run::from).collect())
    }

    pub(super) async fn newest_of(
        &self,
        identity: &RunIdentity,
    ) -> Result<Option<Run>, StoreError> {
        let row: Option<RunRow> = sqlx::query_as(select_runs!(
            "WHERE identity = ?1 ORDER BY attempt_started_at DESC, id DESC LIMIT 1"
        ))
        .bind(identity.as_str().to_owned())
        .fetch_optional(&self.connections.readers)
        .await
        .map_err(self.fault("look for a run to resume"))?;
        Ok(row.map(Run::from))
    }
}

fn not_found(run: RunId) -> StoreError {
    StoreError::NotFound {
        wanted: run.to_string(),
        near: Vec::new(),
    }
}

fn already_running(run: Run) -> StoreError {
    StoreError::AlreadyRunning {
        run: run.id,
        pid: run.owner.pid,
        since: run.attempt_started_at,
        pipeline: run.pipeline,
        host: run.owner.host,
    }
}

/// One sentence on how an attempt ended, kept when the next one begins and its error is cleared.
fn end_of_attempt(run: &Run) -> String {
    let attempt = run.attempt;
    match (&run.error, run.state) {
        (Some(error), state) => format!(
            "attempt {attempt} is recorded as {state}: {}",
            error.message
        ),
        (None, RunState::Running) => format!(
            "attempt {attempt} broke off: process {} on {} went away",
            run.owner.pid, run.owner.host
        ),
        (None, state) => format!("attempt {attempt} is recorded as {state}"),
    }
}

/// The beginning of a stored id that a user's text stands for; `None` if it cannot be one.
fn id_prefix(typed: &str) -> Option<String> {
    const DIGITS: usize = 32;
    let digits: Vec<char> = typed
        .trim()
        .chars()
        .filter(|character| *character != '-')
        .map(|character| character.to_ascii_lowercase())
        .collect();
    let hexadecimal = digits.iter().all(char::is_ascii_hexdigit);
    if digits.is_empty() || digits.len() > DIGITS || !hexadecimal {
        return None;
    }
    let mut prefix = String::with_capacity(DIGITS + 4);
    for (position, digit) in digits.into_iter().enumerate() {
        if matches!(position, 8 | 12 | 16 | 20) {
            prefix.push('-');
        }
        prefix.push(digit);
    }
    Some(prefix)
}

/// Parameters as they are recorded. What identifies the run was made of their real values.
fn without_secrets(parameters: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    parameters
        .iter()
        .map(|(name, value)| (name.clone(), redacted(value).into_owned()))
        .collect()
}

/// An error as it is recorded.
fn shown(error: &RunError) -> RunError {
    RunError {
        message: redacted(&error.message).into_owned(),
        ..error.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_may_be_typed_with_or_without_hyphens_and_in_capitals() {
        for (typed, prefix) in [
            ("0199", Some("0199")),
            ("0199abcd", Some("0199abcd")),
            ("0199abcd-", Some("0199abcd")),
            ("0199ABCD7", Some("0199abcd-7")),
            (" 0199abcd-71b4-7 ", Some("0199abcd-71b4-7")),
            ("", None),
            ("--", None),
            ("launchpad_bugs", None),
            ("0199%", None),
            ("000000000000000000000000000000000", None),
        ] {
            assert_eq!(id_prefix(typed).as_deref(), prefix, "{typed:?}");
        }
    }
}
