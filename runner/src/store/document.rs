//! The run document: everything that is known of a run, as one JSON value.
//!
//! Owns the document's shape, which scripts read: a field is never removed or given another meaning
//! without a new [`SCHEMA_VERSION`]; adding one is no change. `docs/runs.md` describes it for users.

use serde::{Deserialize, Serialize};

use super::records::{Chunk, LedgerTotals, MemorySnapshot, Output, Quarantined, Stage, Warning};
use super::run::Run;

/// The version of [`RunDocument`] that this program writes.
pub const SCHEMA_VERSION: u32 = 1;

/// How many quarantined items a document lists; `quarantine.total` says how many there are.
pub(super) const QUARANTINE_LISTED: u32 = 1_000;

/// Everything that is known of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunDocument {
    /// [`SCHEMA_VERSION`] of the program that wrote it.
    pub schema_version: u32,
    /// The run itself.
    pub run: Run,
    /// The stages of every attempt, in the order in which they began.
    pub stages: Vec<Stage>,
    /// What has landed, source by source in the order of their names.
    pub ledger: Vec<SourceLedger>,
    /// Memory, in the order of measuring.
    pub memory: Vec<MemorySnapshot>,
    /// Items put aside.
    pub quarantine: QuarantineSummary,
    /// What was published, in the order of names.
    pub outputs: Vec<Output>,
    /// What the user should know, in the order of appearance.
    pub warnings: Vec<Warning>,
}

/// The landing ledger of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceLedger {
    /// The source and its sums.
    #[serde(flatten)]
    pub totals: LedgerTotals,
    /// Every entry in order.
    pub entries: Vec<Chunk>,
}

/// Quarantined items, or some of them, and how many there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineSummary {
    /// How many the run has in all.
    pub total: u64,
    /// Those asked for; a document lists the first 1,000.
    pub items: Vec<Quarantined>,
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};
    use serde_json::json;

    use super::*;
    use crate::store::{Counts, Owner, RunIdentity, RunMode, RunState, StageName};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).unwrap() + TimeDelta::seconds(seconds)
    }

    fn document() -> RunDocument {
        let text = |text: &str| text.to_owned();
        RunDocument {
            schema_version: SCHEMA_VERSION,
            run: Run {
                id: "019968ad-5e00-7000-8000-000000000001".parse().unwrap(),
                pipeline: text("bugs"),
                definition_fingerprint: text("d1f0"),
                parameters: [(text("member"), text("ada-example"))].into(),
                identity: RunIdentity::from(text("1d")),
                state: RunState::Partial,
                mode: RunMode::Local,
                decision: None,
                settings: Default::default(),
                attempt: 1,
                owner: Owner {
                    host: text("laptop-example"),
                    pid: 41,
                    process: text("boot/pid:[1]/100"),
                    heartbeat_at: at(60),
                },
                started_at: at(0),
                attempt_started_at: at(0),
                finished_at: Some(at(60)),
                exit_code: Some(5),
                error: None,
                counts: Counts {
                    read: 3,
                    filtered: 0,
                    written: 2,
                    quarantined: 1,
                    other: [(text("requests"), 7)].into(),
                },
                bytes_read: 900,
                bytes_written: 400,
                peak_memory_bytes: Some(1),
                work_dir: text("work"),
            },
            stages: vec![Stage {
                attempt: 1,
                name: StageName::Extract,
                started_at: at(1),
                finished_at: None,
                rows: 3,
                bytes: 900,
                detail: json!({"requests": 7}),
            }],
            ledger: vec![SourceLedger {
                totals: LedgerTotals {
                    source: text("bugs"),
                    chunks: 1,
                    rows: 2,
                    units: 2,
                    bytes: 900,
                },
                entries: vec![Chunk {
                    source: text("bugs"),
                    sequence: 0,
                    path: text("bugs/000000.parquet"),
                    rows: 2,
                    units: 2,
                    bytes: 900,
                    digest: text("00"),
                    cursor: Some(text("2")),
                    landed_at: at(2),
                }],
            }],
            memory: vec![MemorySnapshot {
                at: at(1),
                label: text("extract start"),
                rss_bytes: 1,
                virtual_bytes: 2,
                percent: 0.5,
                peak_bytes: 1,
                average_bytes: 1,
            }],
            quarantine: QuarantineSummary {
                total: 1,
                items: vec![Quarantined {
                    source: text("bugs"),
                    unit: Some(text("3")),
                    resource: None,
                    url: text("https://example.org/bugs/3"),
                    reason: text("no title"),
                    class: text("missing_field"),
                    body: None,
                    row: None,
                    at: at(2),
                }],
            },
            outputs: vec![Output {
                name: text("events"),
                location: text("lake/events"),
                mode: text("overwrite"),
                commit: Some(1),
                files: 1,
                rows: 2,
                bytes: 400,
                files_added: 1,
                files_removed: 0,
                files_unchanged: 0,
            }],
            warnings: vec![Warning {
                at: at(3),
                message: text("slow"),
            }],
        }
    }

    /// Scripts read this. A change that makes this test fail needs a new [`SCHEMA_VERSION`], unless it
    /// only adds a field.
    #[test]
    fn version_one_has_exactly_this_shape() {
        let expected = json!({
            "schema_version": 1,
            "run": {
                "id": "019968ad-5e00-7000-8000-000000000001",
                "pipeline": "bugs",
                "definition_fingerprint": "d1f0",
                "parameters": {"member": "ada-example"},
                "identity": "1d",
                "state": "partial",
                "mode": "local",
                "decision": null,
                "settings": {},
                "attempt": 1,
                "owner": {
                    "host": "laptop-example",
                    "pid": 41,
                    "process": "boot/pid:[1]/100",
                    "heartbeat_at": "2026-09-21T14:14:20Z",
                },
                "started_at": "2026-09-21T14:13:20Z",
                "attempt_started_at": "2026-09-21T14:13:20Z",
                "finished_at": "2026-09-21T14:14:20Z",
                "exit_code": 5,
                "error": null,
                "counts": {
                    "read": 3,
                    "filtered": 0,
                    "written": 2,
                    "quarantined": 1,
                    "other": {"requests": 7},
                },
                "bytes_read": 900,
                "bytes_written": 400,
                "peak_memory_bytes": 1,
                "work_dir": "work",
            },
            "stages": [{
                "attempt": 1,
                "name": "extract",
                "started_at": "2026-09-21T14:13:21Z",
                "finished_at": null,
                "rows": 3,
                "bytes": 900,
                "detail": {"requests": 7},
            }],
            "ledger": [{
                "source": "bugs",
                "chunks": 1,
                "rows": 2,
                "units": 2,
                "bytes": 900,
                "entries": [{
                    "source": "bugs",
                    "sequence": 0,
                    "path": "bugs/000000.parquet",
                    "rows": 2,
                    "units": 2,
                    "bytes": 900,
                    "digest": "00",
                    "cursor": "2",
                    "landed_at": "2026-09-21T14:13:22Z",
                }],
            }],
            "memory": [{
                "at": "2026-09-21T14:13:21Z",
                "label": "extract start",
                "rss_bytes": 1,
                "virtual_bytes": 2,
                "percent": 0.5,
                "peak_bytes": 1,
                "average_bytes": 1,
            }],
            "quarantine": {
                "total": 1,
                "items": [{
                    "source": "bugs",
                    "unit": "3",
                    "resource": null,
                    "url": "https://example.org/bugs/3",
                    "reason": "no title",
                    "class": "missing_field",
                    "body": null,
                    "at": "2026-09-21T14:13:22Z",
                }],
            },
            "outputs": [{
                "name": "events",
                "location": "lake/events",
                "mode": "overwrite",
                "commit": 1,
                "files": 1,
                "rows": 2,
                "bytes": 400,
                "files_added": 1,
                "files_removed": 0,
                "files_unchanged": 0,
            }],
            "warnings": [{"at": "2026-09-21T14:13:23Z", "message": "slow"}],
        });
        assert_eq!(serde_json::to_value(document()).unwrap(), expected);
        let read: RunDocument = serde_json::from_value(expected).unwrap();
        assert_eq!(read, document());
    }
}
