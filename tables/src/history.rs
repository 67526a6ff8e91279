//! The commits of a table, one after the other. Owns what a commit is summed up to; reads records and nothing else.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::commit::CommitMode;
use crate::error::Result;
use crate::log::{self, Interval, Record, Totals};
use crate::maintenance;
use crate::schema_policy::SchemaChange;
use crate::table::Table;

/// One commit, without the names of its files.
#[derive(Debug, Clone, PartialEq)]
pub struct CommitSummary {
    /// 1 for the first commit.
    pub number: u64,
    /// When it was decided.
    pub committed_at: DateTime<Utc>,
    /// The run that made it.
    pub run_id: String,
    /// What kind of change it made.
    pub mode: CommitMode,
    /// The interval that the run covered.
    pub interval: Option<Interval>,
    /// Rows that the run read from its sources.
    pub rows_read: Option<u64>,
    /// Identifies the plan that made the rows.
    pub plan_fingerprint: Option<String>,
    /// How far the sources were read.
    pub cursors: serde_json::Value,
    /// Files, partitions, rows and bytes that came.
    pub added: Totals,
    /// Files, partitions, rows and bytes that went; in `rows` and `bytes` as the sums of the table say.
    pub removed: Totals,
    /// The table after it.
    pub totals: Totals,
    /// Columns that came, went or got another type; empty in the first commit.
    pub schema_changes: Vec<SchemaChange>,
    /// The partition columns, if this commit changed them.
    pub repartitioned_by: Option<Vec<String>>,
    /// Whether its files are in place; `false` for at most the newest.
    pub done: bool,
}

impl Table {
    /// The newest `limit` commits, newest first. Reads the log only, takes no lease and writes nothing. A commit that is
    /// made meanwhile may or may not be among them.
    ///
    /// # Errors
    /// [`crate::Error::NoTable`]; [`crate::Error::DamagedRecord`] and [`crate::Error::UnknownVersion`] name the record
    /// that cannot be used.
    pub async fn history(&self, limit: usize) -> Result<Vec<CommitSummary>> {
        let store = self.store.as_ref();
        let newest = maintenance::current(self).await?.number;
        let done = log::newest(store).await?;
        let mut summaries = Vec::new();
        let mut next = Some(log::read_record(store, newest).await?);
        while let Some(record) = next.take()
            && summaries.len() < limit
        {
            let before = match record.number {
                0 | 1 => None,
                number => Some(log::read_record(store, number - 1).await?),
            };
            // Only the newest commit may be unfinished.
            let finished = done.is_none_or(|newest| newest.number != record.number || newest.done);
            summaries.push(summary(&record, before.as_ref(), finished));
            next = before;
        }
        Ok(summaries)
    }
}

fn summary(record: &Record, before: Option<&Record>, done: bool) -> CommitSummary {
    let earlier = before.map(|before| before.totals).unwrap_or_default();
    let added = Totals::of(record.added.iter().map(|added| &added.file));
    // A file that took the name of another one removed it.
    let replaced = record.added.iter().filter(|added| added.replaces);
    let gone_paths: Vec<&str> = record
        .removed
        .iter()
        .map(String::as_str)
        .chain(replaced.map(|added| added.file.path.as_str()))
        .collect();
    let partitions: BTreeSet<&str> = gone_paths
        .iter()
        .map(|path| path.rsplit_once('/').map_or("", |(partition, _)| partition))
        .collect();
    // The record names the removed files only; the sums before and after tell what was in them.
    let gone =
        |before: u64, came: u64, after: u64| before.saturating_add(came).saturating_sub(after);
    CommitSummary {
        number: record.number,
        committed_at: record.committed_at,
        run_id: record.run_id.clone(),
        mode: record.mode,
        interval: record.interval.clone(),
        rows_read: record.rows_read,
        plan_fingerprint: record.plan_fingerprint.clone(),
        cursors: record.cursors.clone(),
        removed: Totals {
            files: gone_paths.len() as u64,
            partitions: partitions.len() as u64,
            rows: gone(earlier.rows, added.rows, record.totals.rows),
            bytes: gone(earlier.bytes, added.bytes, record.totals.bytes),
        },
        added,
        totals: record.totals,
        schema_changes: record.schema_changes.clone(),
        repartitioned_by: before
            .filter(|before| before.partition_by != record.partition_by)
            .map(|_| record.partition_by.clone()),
        done,
    }
}
