//! Rows as they are stored, and the domain types that they become.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use crate::store::identity::{RunId, RunIdentity};
use crate::store::owner::Owner;
use crate::store::records::{
    Chunk, LedgerTotals, MemorySnapshot, Output, Quarantined, RowPlace, Stage, StageName, Warning,
};
use crate::store::run::{Counts, Decision, Run, RunError, RunMode, RunState, Setting};

/// The columns of a [`RunRow`]. They are named, not `*`, so that a newer program may add columns while
/// this one has statements prepared.
macro_rules! select_runs {
    ($rest:literal) => {
        concat!(
            "SELECT id, pipeline, definition_fingerprint, parameters, identity, state, mode, decision, settings, \
             attempt, owner_host, owner_pid, owner_process, heartbeat_at, started_at, attempt_started_at, \
             finished_at, exit_code, error, counts, bytes_read, bytes_written, peak_memory_bytes, work_dir \
             FROM runs ",
            $rest
        )
    };
}
pub(super) use select_runs;

#[derive(Debug, FromRow)]
pub(super) struct RunRow {
    #[sqlx(try_from = "String")]
    id: RunId,
    pipeline: String,
    definition_fingerprint: String,
    #[sqlx(json)]
    parameters: BTreeMap<String, String>,
    #[sqlx(try_from = "String")]
    identity: RunIdentity,
    #[sqlx(try_from = "String")]
    state: RunState,
    #[sqlx(try_from = "String")]
    mode: RunMode,
    #[sqlx(json(nullable))]
    decision: Option<Decision>,
    #[sqlx(json)]
    settings: BTreeMap<String, Setting>,
    attempt: u32,
    owner_host: String,
    owner_pid: u32,
    owner_process: String,
    heartbeat_at: DateTime<Utc>,
    started_at: DateTime<Utc>,
    attempt_started_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    exit_code: Option<i32>,
    #[sqlx(json(nullable))]
    error: Option<RunError>,
    #[sqlx(json)]
    counts: Counts,
    bytes_read: u64,
    bytes_written: u64,
    peak_memory_bytes: Option<u64>,
    work_dir: String,
}

impl From<RunRow> for Run {
    fn from(row: RunRow) -> Self {
        Self {
            id: row.id,
            pipeline: row.pipeline,
            definition_fingerprint: row.definition_fingerprint,
            parameters: row.parameters,
            identity: row.identity,
            state: row.state,
            mode: row.mode,
            decision: row.decision,
            settings: row.settings,
            attempt: row.attempt,
            owner: Owner {
                host: row.owner_host,
                pid: row.owner_pid,
                process: row.owner_process,
                heartbeat_at: row.heartbeat_at,
            },
            started_at: row.started_at,
            attempt_started_at: row.attempt_started_at,
            finished_at: row.finished_at,
            exit_code: row.exit_code,
            error: row.error,
            counts: row.counts,
            bytes_read: row.bytes_read,
            bytes_written: row.bytes_written,
            peak_memory_bytes: row.peak_memory_bytes,
            work_dir: row.work_dir,
        }
    }
}

#[derive(Debug, FromRow)]
pub(super) struct StageRow {
    attempt: u32,
    #[sqlx(try_from = "String")]
    name: StageName,
    started_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    rows: u64,
    bytes: u64,
    #[sqlx(json)]
    detail: serde_json::Value,
}

impl From<StageRow> for Stage {
    fn from(row: StageRow) -> Self {
        Self {
            attempt: row.attempt,
            name: row.name,
            started_at: row.started_at,
            finished_at: row.finished_at,
            rows: row.rows,
            bytes: row.bytes,
            detail: row.detail,
        }
    }
}

#[derive(Debug, FromRow)]
pub(super) struct ChunkRow {
    source: String,
    sequence: u64,
    path: String,
    rows: u64,
    units: u64,
    bytes: u64,
    digest: String,
    cursor: Option<String>,
    landed_at: DateTime<Utc>,
}

impl From<ChunkRow> for Chunk {
    fn from(row: ChunkRow) -> Self {
        Self {
            source: row.source,
            sequence: row.sequence,
            path: row.path,
            rows: row.rows,
            units: row.units,
            bytes: row.bytes,
            digest: row.digest,
            cursor: row.cursor,
            landed_at: row.landed_at,
        }
    }
}

#[derive(Debug, FromRow)]
pub(super) struct TotalsRow {
    source: String,
    chunks: u64,
    rows: u64,
    units: u64,
    bytes: u64,
}

impl From<TotalsRow> for LedgerTotals {
    fn from(row: TotalsRow) -> Self {
        Self {
            source: row.source,
            chunks: row.chunks,
            rows: row.rows,
            units: row.units,
            bytes: row.bytes,
        }
    }
}

#[derive(Debug, FromRow)]
pub(super) struct SnapshotRow {
    at: DateTime<Utc>,
    label: String,
    rss_bytes: u64,
    virtual_bytes: u64,
    percent: f64,
    peak_bytes: u64,
    average_bytes: u64,
}

impl From<SnapshotRow> for MemorySnapshot {
    fn from(row: SnapshotRow) -> Self {
        Self {
            at: row.at,
            label: row.label,
            rss_bytes: row.rss_bytes,
            virtual_bytes: row.virtual_bytes,
            percent: row.percent,
            peak_bytes: row.peak_bytes,
            average_bytes: row.average_bytes,
        }
    }
}

#[derive(Debug, FromRow)]
pub(super) struct QuarantinedRow {
    source: String,
    unit: Option<String>,
    resource: Option<String>,
    url: String,
    reason: String,
    class: String,
    body: Option<String>,
    at: DateTime<Utc>,
    line: Option<u64>,
    byte_offset: Option<u64>,
    byte_length: Option<u64>,
    column_name: Option<String>,
    body_hex: Option<String>,
}

impl From<QuarantinedRow> for Quarantined {
    fn from(row: QuarantinedRow) -> Self {
        let place = row.line.zip(row.byte_offset).zip(row.byte_length);
        let place = place.map(|((line, offset), length)| RowPlace {
            line,
            offset,
            length,
            column: row.column_name,
            body_hex: row.body_hex,
        });
        Self {
            row: place,
            source: row.source,
            unit: row.unit,
            resource: row.resource,
            url: row.url,
            reason: row.reason,
            class: row.class,
            body: row.body,
            at: row.at,
        }
    }
}

#[derive(Debug, FromRow)]
pub(super) struct OutputRow {
    name: String,
    location: String,
    mode: String,
    commit_number: Option<u64>,
    files: u64,
    rows: u64,
    bytes: u64,
    files_added: u64,
    files_removed: u64,
    files_unchanged: u64,
}

impl From<OutputRow> for Output {
    fn from(row: OutputRow) -> Self {
        Self {
            name: row.name,
            location: row.location,
            mode: row.mode,
            commit: row.commit_number,
            files: row.files,
            rows: row.rows,
            bytes: row.bytes,
            files_added: row.files_added,
            files_removed: row.files_removed,
            files_unchanged: row.files_unchanged,
        }
    }
}

#[derive(Debug, FromRow)]
pub(super) struct WarningRow {
    at: DateTime<Utc>,
    message: String,
}

impl From<WarningRow> for Warning {
    fn from(row: WarningRow) -> Self {
        Self {
            at: row.at,
            message: row.message,
        }
    }
}
