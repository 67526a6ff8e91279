//! Stages, memory, quarantine, outputs and warnings of a run.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::SqliteConnection;
use sqlx::types::Json;

use super::rows::{OutputRow, QuarantinedRow, SnapshotRow, StageRow, WarningRow};
use super::{SqliteRunStore, instant, integer};
use crate::redact::redacted;
use crate::store::document::QuarantineSummary;
use crate::store::error::StoreError;
use crate::store::identity::{RunAttempt, RunId};
use crate::store::records::{
    MemorySnapshot, Output, Quarantined, Stage, StageEnd, StageName, Warning,
};

impl SqliteRunStore {
    pub(super) async fn insert_stage(
        &self,
        attempt: RunAttempt,
        stage: StageName,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        const OPERATION: &str = "record the start of a stage";
        let mut transaction = self.begin_write(OPERATION).await?;
        self.require_current(&mut transaction, attempt).await?;
        sqlx::query(
            "INSERT INTO stages (run, attempt, name, started_at) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (run, attempt, name) DO NOTHING",
        )
        .bind(attempt.run.to_string())
        .bind(attempt.number)
        .bind(stage.as_str())
        .bind(instant(at))
        .execute(&mut *transaction)
        .await
        .map_err(self.fault(OPERATION))?;
        self.commit(transaction, OPERATION).await
    }

    pub(super) async fn end_stage(
        &self,
        attempt: RunAttempt,
        stage: StageName,
        end: &StageEnd,
    ) -> Result<(), StoreError> {
        const OPERATION: &str = "record the end of a stage";
        let mut transaction = self.begin_write(OPERATION).await?;
        self.require_current(&mut transaction, attempt).await?;
        let ended = sqlx::query(
            "UPDATE stages SET finished_at = ?4, rows = ?5, bytes = ?6, detail = ?7 \
             WHERE run = ?1 AND attempt = ?2 AND name = ?3",
        )
        .bind(attempt.run.to_string())
        .bind(attempt.number)
        .bind(stage.as_str())
        .bind(instant(end.at))
        .bind(integer(end.rows))
        .bind(integer(end.bytes))
        .bind(Json(&end.detail))
        .execute(&mut *transaction)
        .await
        .map_err(self.fault(OPERATION))?;
        if ended.rows_affected() == 0 {
            return Err(StoreError::StageNotStarted {
                run: attempt.run,
                attempt: attempt.number,
                stage,
            });
        }
        self.commit(transaction, OPERATION).await
    }

    pub(super) async fn insert_snapshot(
        &self,
        attempt: RunAttempt,
        snapshot: &MemorySnapshot,
    ) -> Result<(), StoreError> {
        const OPERATION: &str = "record a memory snapshot";
        let mut transaction = self.begin_write(OPERATION).await?;
        self.require_current(&mut transaction, attempt).await?;
        sqlx::query(
            "INSERT INTO memory_snapshots \
             (run, at, label, rss_bytes, virtual_bytes, percent, peak_bytes, average_bytes) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .bind(attempt.run.to_string())
        .bind(instant(snapshot.at))
        .bind(&snapshot.label)
        .bind(integer(snapshot.rss_bytes))
        .bind(integer(snapshot.virtual_bytes))
        .bind(snapshot.percent)
        .bind(integer(snapshot.peak_bytes))
        .bind(integer(snapshot.average_bytes))
        .execute(&mut *transaction)
        .await
        .map_err(self.fault(OPERATION))?;
        self.commit(transaction, OPERATION).await
    }

    pub(super) async fn insert_quarantined(
        &self,
        attempt: RunAttempt,
        items: &[Quarantined],
    ) -> Result<u64, StoreError> {
        const OPERATION: &str = "record quarantined items";
        let mut transaction = self.begin_write(OPERATION).await?;
        self.require_current(&mut transaction, attempt).await?;
        let mut added = 0;
        for item in items {
            let inserted = sqlx::query(
                "INSERT INTO quarantine (run, source, unit, resource, url, reason, class, body, at, \
                 line, byte_offset, byte_length, column_name, body_hex) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) \
                 ON CONFLICT DO NOTHING",
            )
            .bind(attempt.run.to_string())
            .bind(&item.source)
            .bind(item.unit.as_deref())
            .bind(item.resource.as_deref())
            .bind(redacted(&item.url).as_ref())
            .bind(redacted(&item.reason).as_ref())
            .bind(&item.class)
            .bind(item.body.as_deref())
            .bind(instant(item.at))
            .bind(item.row.as_ref().map(|row| integer(row.line)))
            .bind(item.row.as_ref().map(|row| integer(row.offset)))
            .bind(item.row.as_ref().map(|row| integer(row.length)))
            .bind(item.row.as_ref().and_then(|row| row.column.as_deref()))
            .bind(item.row.as_ref().and_then(|row| row.body_hex.as_deref()))
            .execute(&mut *transaction)
            .await
            .map_err(self.fault(OPERATION))?;
            added += inserted.rows_affected();
        }
        self.commit(transaction, OPERATION).await?;
        Ok(added)
    }

    pub(super) async fn delete_quarantined_except(
        &self,
        attempt: RunAttempt,
        source: &str,
        keep: &HashSet<String>,
    ) -> Result<u64, StoreError> {
        const OPERATION: &str = "forget quarantined items";
        let mut transaction = self.begin_write(OPERATION).await?;
        self.require_current(&mut transaction, attempt).await?;
        let items: Vec<(i64, Option<String>)> =
            sqlx::query_as("SELECT id, unit FROM quarantine WHERE run = ?1 AND source = ?2")
                .bind(attempt.run.to_string())
                .bind(source)
                .fetch_all(&mut *transaction)
                .await
                .map_err(self.fault(OPERATION))?;
        let mut forgotten = 0;
        for (id, unit) in items {
            if unit.is_some_and(|unit| keep.contains(&unit)) {
                continue;
            }
            sqlx::query("DELETE FROM quarantine WHERE id = ?1")
                .bind(id)
                .execute(&mut *transaction)
                .await
                .map_err(self.fault(OPERATION))?;
            forgotten += 1;
        }
        self.commit(transaction, OPERATION).await?;
        Ok(forgotten)
    }

    pub(super) async fn insert_warning(
        &self,
        attempt: RunAttempt,
        warning: &Warning,
    ) -> Result<(), StoreError> {
        const OPERATION: &str = "record a warning";
        let mut transaction = self.begin_write(OPERATION).await?;
        self.require_current(&mut transaction, attempt).await?;
        sqlx::query("INSERT INTO warnings (run, at, message) VALUES (?1, ?2, ?3)")
            .bind(attempt.run.to_string())
            .bind(instant(warning.at))
            .bind(redacted(&warning.message).as_ref())
            .execute(&mut *transaction)
            .await
            .map_err(self.fault(OPERATION))?;
        self.commit(transaction, OPERATION).await
    }

    pub(super) async fn upsert_output(
        &self,
        attempt: RunAttempt,
        output: &Output,
    ) -> Result<(), StoreError> {
        const OPERATION: &str = "record an output";
        let mut transaction = self.begin_write(OPERATION).await?;
        self.require_current(&mut transaction, attempt).await?;
        sqlx::query(
            "INSERT INTO outputs (run, name, location, mode, commit_number, files, rows, bytes, \
             files_added, files_removed, files_unchanged) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
             ON CONFLICT (run, name) DO UPDATE SET location = excluded.location, mode = excluded.mode, \
             commit_number = excluded.commit_number, files = excluded.files, rows = excluded.rows, \
             bytes = excluded.bytes, files_added = excluded.files_added, files_removed = excluded.files_removed, \
             files_unchanged = excluded.files_unchanged",
        )
        .bind(attempt.run.to_string())
        .bind(&output.name)
        .bind(redacted(&output.location).as_ref())
        .bind(&output.mode)
        .bind(output.commit.map(integer))
        .bind(integer(output.files))
        .bind(integer(output.rows))
        .bind(integer(output.bytes))
        .bind(integer(output.files_added))
        .bind(integer(output.files_removed))
        .bind(integer(output.files_unchanged))
        .execute(&mut *transaction)
        .await
        .map_err(self.fault(OPERATION))?;
        self.commit(transaction, OPERATION).await
    }

    pub(super) async fn stages(
        &self,
        connection: &mut SqliteConnection,
        run: RunId,
    ) -> Result<Vec<Stage>, StoreError> {
        let rows: Vec<StageRow> = sqlx::query_as(
            "SELECT attempt, name, started_at, finished_at, rows, bytes, detail \
             FROM stages WHERE run = ?1 ORDER BY attempt, started_at, rowid",
        )
        .bind(run.to_string())
        .fetch_all(connection)
        .await
        .map_err(self.fault("read the stages of a run"))?;
        Ok(rows.into_iter().map(Stage::from).collect())
    }

    pub(super) async fn snapshots(
        &self,
        connection: &mut SqliteConnection,
        run: RunId,
    ) -> Result<Vec<MemorySnapshot>, StoreError> {
        let rows: Vec<SnapshotRow> = sqlx::query_as(
            "SELECT at, label, rss_bytes, virtual_bytes, percent, peak_bytes, average_bytes \
             FROM memory_snapshots WHERE run = ?1 ORDER BY id",
        )
        .bind(run.to_string())
        .fetch_all(connection)
        .await
        .map_err(self.fault("read the memory snapshots of a run"))?;
        Ok(rows.into_iter().map(MemorySnapshot::from).collect())
    }

    /// The two statements agree with each other when the connection is in a transaction; otherwise items
    /// may arrive between them, and the total counts them.
    pub(super) async fn quarantine_page(
        &self,
        connection: &mut SqliteConnection,
        run: RunId,
        offset: u64,
        limit: u32,
    ) -> Result<QuarantineSummary, StoreError> {
        const OPERATION: &str = "read the quarantined items of a run";
        let rows: Vec<QuarantinedRow> = sqlx::query_as(
            "SELECT source, unit, resource, url, reason, class, body, at, \
             line, byte_offset, byte_length, column_name, body_hex FROM quarantine WHERE run = ?1 ORDER BY id LIMIT ?2 OFFSET ?3",
        )
        .bind(run.to_string())
        .bind(limit)
        .bind(integer(offset))
        .fetch_all(&mut *connection)
        .await
        .map_err(self.fault(OPERATION))?;
        let total = sqlx::query_scalar("SELECT count(*) FROM quarantine WHERE run = ?1")
            .bind(run.to_string())
            .fetch_one(connection)
            .await
            .map_err(self.fault(OPERATION))?;
        Ok(QuarantineSummary {
            total,
            items: rows.into_iter().map(Quarantined::from).collect(),
        })
    }

    pub(super) async fn outputs(
        &self,
        connection: &mut SqliteConnection,
        run: RunId,
    ) -> Result<Vec<Output>, StoreError> {
        let rows: Vec<OutputRow> = sqlx::query_as(
            "SELECT name, location, mode, commit_number, files, rows, bytes, files_added, files_removed, \
             files_unchanged FROM outputs WHERE run = ?1 ORDER BY name",
        )
        .bind(run.to_string())
        .fetch_all(connection)
        .await
        .map_err(self.fault("read the outputs of a run"))?;
        Ok(rows.into_iter().map(Output::from).collect())
    }

    pub(super) async fn warnings(
        &self,
        connection: &mut SqliteConnection,
        run: RunId,
    ) -> Result<Vec<Warning>, StoreError> {
        let rows: Vec<WarningRow> =
            sqlx::query_as("SELECT at, message FROM warnings WHERE run = ?1 ORDER BY id")
                .bind(run.to_string())
                .fetch_all(connection)
                .await
                .map_err(self.fault("read the warnings of a run"))?;
        Ok(rows.into_iter().map(Warning::from).collect())
    }
}
