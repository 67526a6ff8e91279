//! What a run leaves behind besides its end: stages, landed chunks, memory, quarantine, outputs, warnings.
//!
//! Owns the meaning of each field. Does not own how they are stored or gathered.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::words::words;

/// A part of a run that is timed for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageName {
    /// Records are landed from the sources that need it.
    Extract,
    /// The definition becomes a plan.
    Plan,
    /// The plan runs and its rows are staged.
    Write,
    /// Assertions and counts are checked.
    Check,
    /// What was staged is published.
    Commit,
}

words!(StageName, "stage", {
    Extract => "extract",
    Plan => "plan",
    Write => "write",
    Check => "check",
    Commit => "commit",
});

/// How a stage of an attempt went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// The attempt it belongs to, from 1.
    pub attempt: u32,
    /// Which stage.
    pub name: StageName,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended; absent while it goes on, and for ever when the attempt broke off in it.
    pub finished_at: Option<DateTime<Utc>>,
    /// Rows it handled.
    pub rows: u64,
    /// Bytes it handled.
    pub bytes: u64,
    /// Further facts, such as the plan's text; `null` when there are none.
    pub detail: serde_json::Value,
}

/// What a stage did.
#[derive(Debug, Clone, PartialEq)]
pub struct StageEnd {
    /// When it ended.
    pub at: DateTime<Utc>,
    /// Rows it handled.
    pub rows: u64,
    /// Bytes it handled.
    pub bytes: u64,
    /// Further facts; [`serde_json::Value::Null`] when there are none.
    pub detail: serde_json::Value,
}

/// An entry of the landing ledger: a file of landed records that is complete and will not change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// The source table it belongs to.
    pub source: String,
    /// Its place among the chunks of the source: 0, 1, 2, …
    pub sequence: u64,
    /// Its file, relative to the run's work folder, with `/` between the parts.
    pub path: String,
    /// Rows in it.
    pub rows: u64,
    /// Units of extraction whose records end with it, such as bugs or pages.
    pub units: u64,
    /// Size of the file.
    pub bytes: u64,
    /// SHA-256 of the file in hexadecimal.
    pub digest: String,
    /// The key of the last unit in it, after which extraction goes on.
    pub cursor: Option<String>,
    /// When it was complete.
    pub landed_at: DateTime<Utc>,
}

/// What has landed of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerTotals {
    /// The source table.
    pub source: String,
    /// Number of chunks.
    pub chunks: u64,
    /// Rows in all of them.
    pub rows: u64,
    /// Units in all of them.
    pub units: u64,
    /// Bytes in all of them.
    pub bytes: u64,
}

/// One measurement of the process's memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemorySnapshot {
    /// When.
    pub at: DateTime<Utc>,
    /// At what point of the run, such as `extract start` or `chunk 12`.
    pub label: String,
    /// Resident memory.
    pub rss_bytes: u64,
    /// Address space.
    pub virtual_bytes: u64,
    /// Resident memory in percent of the machine's.
    pub percent: f64,
    /// Highest resident memory so far.
    pub peak_bytes: u64,
    /// Mean resident memory so far.
    pub average_bytes: u64,
}

/// An item that could not be fetched or understood and was put aside, so that the run could go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The source table it would have gone to.
    pub source: String,
    /// The unit of extraction it belongs to, such as a bug number.
    pub unit: Option<String>,
    /// The kind of thing it is, such as `messages`.
    pub resource: Option<String>,
    /// Where it is: the address without secrets, or file and line.
    pub url: String,
    /// What is wrong with it.
    pub reason: String,
    /// The source's word for this kind of fault, such as `missing_field`.
    pub class: String,
    /// What was received, as far as it is kept.
    pub body: Option<String>,
    /// Where it is, for a row of a file.
    #[serde(flatten)]
    pub row: Option<RowPlace>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Where a bad row of a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowPlace {
    /// The line on which it begins, from 1.
    pub line: u64,
    /// Where it begins, in bytes of the file's text.
    pub offset: u64,
    /// Its bytes; as many as are kept of it are the body.
    pub length: u64,
    /// The column whose value is to blame.
    pub column: Option<String>,
    /// The bytes of the body in hexadecimal, where they are no text.
    pub body_hex: Option<String>,
}

/// What an output of a run holds since the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Its name in the definition.
    pub name: String,
    /// Where it is.
    pub location: String,
    /// How it was published, such as `overwrite` or `append`.
    pub mode: String,
    /// The number of the table's commit; absent when there was nothing to commit.
    pub commit: Option<u64>,
    /// Files in the table.
    pub files: u64,
    /// Rows in the table.
    pub rows: u64,
    /// Bytes in the table.
    pub bytes: u64,
    /// Files that this run added.
    pub files_added: u64,
    /// Files that this run replaced or removed.
    pub files_removed: u64,
    /// Files that this run left as they were.
    pub files_unchanged: u64,
}

/// Something that the user should know although the run goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// When.
    pub at: DateTime<Utc>,
    /// What; never a secret.
    pub message: String,
}
