//! A commit as users of a table see it: the state of the table after it, its files and their sums.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{FilesRead, Interval};
use crate::commit::CommitMode;
use crate::log_options::LogOptions;
use crate::options::Format;
use crate::parse;
use crate::schema::TableSchema;
use crate::schema_policy::SchemaChange;

/// A published file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// Relative to the table: the partition path and the file's name.
    #[serde(deserialize_with = "parse::published")]
    pub path: String,
    /// Rows in it.
    #[serde(deserialize_with = "parse::number")]
    pub rows: u64,
    /// Its size in bytes.
    #[serde(deserialize_with = "parse::number")]
    pub bytes: u64,
    /// SHA-256 of its bytes, in hexadecimal.
    #[serde(deserialize_with = "parse::sha256")]
    pub sha256: String,
}

impl DataFile {
    /// The partition path, such as `year=2026/city=K%C3%B6ln`; empty in a table without partition columns.
    pub fn partition(&self) -> &str {
        self.path
            .rsplit_once('/')
            .map_or("", |(partition, _)| partition)
    }
}

/// Sums over the files of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Files.
    #[serde(deserialize_with = "parse::number")]
    pub files: u64,
    /// Partitions that have files.
    #[serde(deserialize_with = "parse::number")]
    pub partitions: u64,
    /// Rows.
    #[serde(deserialize_with = "parse::number")]
    pub rows: u64,
    /// Bytes.
    #[serde(deserialize_with = "parse::number")]
    pub bytes: u64,
}

impl Totals {
    pub(crate) fn of<'a>(files: impl IntoIterator<Item = &'a DataFile>) -> Self {
        let mut totals = Self::default();
        let mut partitions = HashSet::new();
        for file in files {
            totals.files += 1;
            // Sums that would not fit are those of no table: they differ from what the record says.
            totals.rows = totals.rows.saturating_add(file.rows);
            totals.bytes = totals.bytes.saturating_add(file.bytes);
            partitions.insert(file.partition());
        }
        totals.partitions = partitions.len() as u64;
        totals
    }
}

/// The state of a table after its newest commit.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// 1 for the first commit.
    pub number: u64,
    /// The run that made it.
    pub run_id: String,
    /// What kind of change it made.
    pub mode: CommitMode,
    /// The interval that run covered.
    pub interval: Option<Interval>,
    /// When the commit was decided.
    pub committed_at: DateTime<Utc>,
    /// Identifies the plan that made the rows.
    pub plan_fingerprint: Option<String>,
    /// How far the sources were read (T-3: part of the decision, so rows and cursors never disagree).
    pub cursors: serde_json::Value,
    /// Which files sources that are read file by file were read from, up to this commit: part of the decision as cursors are.
    pub files_read: FilesRead,
    /// Rows that the run read from its sources, as the run counted them.
    pub rows_read: Option<u64>,
    /// The table's schema and partition columns.
    pub schema: TableSchema,
    /// What this commit changed in the schema of the table; empty if nothing, and in the first one.
    pub schema_changes: Vec<SchemaChange>,
    /// Every file of the table, by path.
    pub files: Vec<DataFile>,
    /// Sums over `files` (T-2).
    pub totals: Totals,
    /// Every interval that is committed to the table since it was last replaced as a whole.
    pub intervals: Vec<Interval>,
    /// The longest time that readers could see a partition with both its new and its old files, while this very call
    /// published; `None` if every partition changed in one step, and when the commit was read from the log.
    pub window: Option<Duration>,
    /// What could not be cleared away after this very call published. The next run will; the commit is whole without it.
    pub uncleared: Option<String>,
    /// How the newest publishing run laid the table out; `None` if the log does not say.
    pub options: Option<LogOptions>,
    pub(crate) epoch: u64,
}

impl Commit {
    /// Whether an append of this interval would be refused.
    pub fn has_interval(&self, interval: &Interval) -> bool {
        self.intervals.contains(interval)
    }

    /// The format of the files.
    pub fn format(&self) -> Format {
        (self.options.as_ref()).map_or_else(Format::default, |options| options.format)
    }

    /// The files of one partition.
    pub fn files_in<'a>(&'a self, partition: &'a str) -> impl Iterator<Item = &'a DataFile> {
        self.files
            .iter()
            .filter(move |file| file.partition() == partition)
    }
}
