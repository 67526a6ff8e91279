//! The commit log: what a record says, how the state of the table follows from the records, and their versioned
//! spelling on disk. Owns `commits/<n>.json`; does not decide when one is written (`publish`) or finished (`recover`).
//!
//! A record holds what its commit added and removed. Every [`SNAPSHOT_EVERY`]th one, and every one that is shorter that
//! way, holds all files of the table instead, so that the state is read from a bounded number of records and a small
//! commit to a large table stays small.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::contract::SchemaChange;
use crate::error::{Error, Result};
use crate::mode::CommitMode;
use crate::recorded::RecordedOptions;
use crate::schema::{ColumnRecord, TableSchema};
use crate::store::{Expected, Store};
use crate::transaction::Transaction;

/// The format version that this program writes, and the newest it reads.
const VERSION: u64 = 1;
/// At most this many records are read to know the state of the table.
const SNAPSHOT_EVERY: u64 = 32;

/// A half-open interval of data, `[start, end)`, as the pipeline spells it. Compared as text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Interval {
    /// First instant or day in the interval.
    pub start: String,
    /// First one after it.
    pub end: String,
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}

/// A published file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// Relative to the table: the partition path and the file's name.
    pub path: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes, in hexadecimal.
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
    pub files: u64,
    /// Partitions that have files.
    pub partitions: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Totals {
    pub(crate) fn of<'a>(files: impl IntoIterator<Item = &'a DataFile>) -> Self {
        let mut totals = Self::default();
        let mut partitions = HashSet::new();
        for file in files {
            totals.files += 1;
            totals.rows += file.rows;
            totals.bytes += file.bytes;
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
    pub options: Option<RecordedOptions>,
    pub(crate) epoch: u64,
}

impl Commit {
    /// Whether an append of this interval would be refused.
    pub fn has_interval(&self, interval: &Interval) -> bool {
        self.intervals.contains(interval)
    }

    /// The files of one partition.
    pub fn files_in<'a>(&'a self, partition: &'a str) -> impl Iterator<Item = &'a DataFile> {
        self.files
            .iter()
            .filter(move |file| file.partition() == partition)
    }
}

/// A file that a commit adds, with the staged file it is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AddedFile {
    #[serde(flatten)]
    pub(crate) file: DataFile,
    pub(crate) staged: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) upload: String,
    /// A published file of this path is replaced, in one step.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) replaces: bool,
}

impl AddedFile {
    pub(crate) fn expected(&self) -> Expected {
        Expected {
            staged: self.staged.clone(),
            upload: self.upload.clone(),
            bytes: self.file.bytes,
            sha256: self.file.sha256.clone(),
        }
    }
}

/// Everything about the table that is not about one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) files: Vec<DataFile>,
    pub(crate) intervals: Vec<Interval>,
}

/// `commits/<n>.json`: the decision, and all that is needed to carry it out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) version: u64,
    pub(crate) number: u64,
    pub(crate) run_id: String,
    /// Names the staging area of the run; differs in every attempt.
    pub(crate) token: String,
    pub(crate) epoch: u64,
    pub(crate) mode: CommitMode,
    pub(crate) interval: Option<Interval>,
    pub(crate) committed_at: DateTime<Utc>,
    pub(crate) plan_fingerprint: Option<String>,
    /// Who publishes what; not known of runs that did not say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) transaction: Option<Transaction>,
    pub(crate) cursors: serde_json::Value,
    pub(crate) rows_read: Option<u64>,
    /// Rows that the run staged, before any merge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rows_staged: Option<u64>,
    pub(crate) partition_by: Vec<String>,
    pub(crate) columns: Vec<ColumnRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) schema_changes: Vec<SchemaChange>,
    /// Rows that the run left out because they do not fit the schema.
    #[serde(default)]
    pub(crate) rows_discarded: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) options: Option<RecordedOptions>,
    pub(crate) totals: Totals,
    pub(crate) added: Vec<AddedFile>,
    pub(crate) removed: Vec<String>,
    /// The run that this record keeps from committing under its number. Such a record changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fences: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) snapshot: Option<Snapshot>,
}

/// `intents/<token>.json`: a run that stages files and has not decided yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Intent {
    pub(crate) version: u64,
    pub(crate) run_id: String,
    pub(crate) token: String,
    pub(crate) epoch: u64,
    pub(crate) base: u64,
    pub(crate) mode: CommitMode,
    pub(crate) begun_at: DateTime<Utc>,
}

impl Intent {
    pub(crate) fn new(run_id: &str, token: &str, epoch: u64, base: u64, mode: CommitMode) -> Self {
        Self {
            version: VERSION,
            run_id: run_id.to_owned(),
            token: token.to_owned(),
            epoch,
            base,
            mode,
            begun_at: Utc::now(),
        }
    }
}

impl Record {
    /// A record that takes `base`'s next number and changes nothing, so that `fenced`, which might be about to commit
    /// under that number, cannot.
    pub(crate) fn fence(
        number: u64,
        base: Option<&Commit>,
        fenced: &str,
        token: String,
        epoch: u64,
    ) -> Self {
        let record = Self {
            version: VERSION,
            number,
            run_id: base.map_or_else(|| "recovery".to_owned(), |base| base.run_id.clone()),
            token,
            epoch,
            mode: CommitMode::Fence,
            interval: None,
            committed_at: Utc::now(),
            plan_fingerprint: base.and_then(|base| base.plan_fingerprint.clone()),
            transaction: None,
            cursors: base.map_or(serde_json::Value::Null, |base| base.cursors.clone()),
            rows_read: None,
            rows_staged: None,
            rows_discarded: 0,
            schema_changes: Vec::new(),
            options: base.and_then(|base| base.options.clone()),
            partition_by: base.map_or_else(Vec::new, |base| base.schema.partition_by().to_vec()),
            columns: base.map_or_else(Vec::new, |base| base.schema.to_record()),
            totals: Totals::default(),
            added: Vec::new(),
            removed: Vec::new(),
            fences: Some(fenced.to_owned()),
            snapshot: None,
        };
        record.complete(base)
    }

    /// Whether there is no table yet: all records so far are fences of runs that would have made it.
    fn precedes_the_table(&self) -> bool {
        self.fences.is_some() && self.columns.is_empty()
    }

    /// Fills in what follows from the state before (`base`) and the change: totals, and a snapshot where one is due.
    pub(crate) fn complete(mut self, base: Option<&Commit>) -> Self {
        self.version = VERSION;
        let mut state = State::of(base);
        state.apply(&self);
        let files: Vec<DataFile> = state.files.into_values().collect();
        self.totals = Totals::of(&files);
        let delta = self.added.len() + self.removed.len();
        if base.is_none() || self.number.is_multiple_of(SNAPSHOT_EVERY) || delta >= files.len() {
            self.snapshot = Some(Snapshot {
                files,
                intervals: state.intervals,
            });
        }
        self
    }

    /// The state of the table after this commit, which follows `base`.
    pub(crate) fn into_commit(self, base: Option<&Commit>, store: &dyn Store) -> Result<Commit> {
        let mut state = State::of(base);
        state.apply(&self);
        state.into_commit(store, self)
    }
}

/// The path of a record in the control area.
pub(crate) fn record_key(number: u64) -> String {
    format!("commits/{number:08}.json")
}

/// The path of the mark that a record has been carried out.
pub(crate) fn done_key(number: u64) -> String {
    format!("commits/{number:08}.done")
}

pub(crate) fn intent_key(token: &str) -> String {
    format!("intents/{token}.json")
}

/// Spells a control object, for people to read too.
pub(crate) fn to_json<T: Serialize>(key: &str, value: &T) -> Result<bytes::Bytes> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| damaged(key, error))?;
    text.push(b'\n');
    Ok(text.into())
}

/// Reads a control object of a version that this program knows.
pub(crate) fn from_json<T: DeserializeOwned>(key: &str, content: &[u8]) -> Result<T> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u64,
    }
    let Versioned { version } =
        serde_json::from_slice(content).map_err(|error| damaged(key, error))?;
    if version == 0 || version > VERSION {
        return Err(Error::UnknownVersion {
            path: key.to_owned(),
            found: version,
            supported: VERSION,
        });
    }
    serde_json::from_slice(content).map_err(|error| damaged(key, error))
}

fn damaged(key: &str, reason: impl fmt::Display) -> Error {
    Error::DamagedRecord {
        path: key.to_owned(),
        reason: reason.to_string(),
    }
}

/// What the control folder says about commits: the highest number, and whether it was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Newest {
    pub(crate) number: u64,
    pub(crate) done: bool,
}

pub(crate) async fn newest(store: &dyn Store) -> Result<Option<Newest>> {
    let mut records = Vec::new();
    let mut done = HashSet::new();
    for name in store.list("commits").await? {
        match name.split_once('.') {
            Some((number, "json")) => records.extend(number.parse::<u64>()),
            Some((number, "done")) => done.extend(number.parse::<u64>()),
            _ => {}
        }
    }
    Ok(records.into_iter().max().map(|number| Newest {
        number,
        done: done.contains(&number),
    }))
}

pub(crate) async fn read_record(store: &dyn Store, number: u64) -> Result<Record> {
    let key = record_key(number);
    let content = store
        .read(&key)
        .await?
        .ok_or_else(|| damaged(&full_path(store, &key), "it is missing"))?;
    let record: Record = from_json(&full_path(store, &key), &content)?;
    if record.number != number {
        return Err(damaged(
            &full_path(store, &key),
            format!("it holds commit {}", record.number),
        ));
    }
    Ok(record)
}

/// A control object as a message names it.
pub(crate) fn full_path(store: &dyn Store, key: &str) -> String {
    format!("{key} in the control folder of {}", store.location())
}

/// The state after commit `number`: that record, and those before it back to the last snapshot. `None` if no commit
/// has made the table yet.
pub(crate) async fn read_state(store: &dyn Store, number: u64) -> Result<Option<Commit>> {
    let mut records = vec![read_record(store, number).await?];
    if records.iter().all(Record::precedes_the_table) {
        return Ok(None);
    }
    while let Some(oldest) = records.last()
        && oldest.snapshot.is_none()
    {
        let before = oldest.number.checked_sub(1).filter(|number| *number > 0);
        let before = before.ok_or_else(|| {
            damaged(
                &full_path(store, &record_key(number)),
                "no record has all files",
            )
        })?;
        records.push(read_record(store, before).await?);
    }
    let mut state = State::default();
    for record in records.iter().rev() {
        state.apply(record);
    }
    state.into_commit(store, records.swap_remove(0)).map(Some)
}

/// The files and intervals of a table while records are applied to it.
#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, DataFile>,
    intervals: Vec<Interval>,
}

impl State {
    fn of(base: Option<&Commit>) -> Self {
        let Some(base) = base else {
            return Self::default();
        };
        let files = base
            .files
            .iter()
            .map(|file| (file.path.clone(), file.clone()))
            .collect();
        Self {
            files,
            intervals: base.intervals.clone(),
        }
    }

    fn apply(&mut self, record: &Record) {
        if let Some(snapshot) = &record.snapshot {
            self.files = snapshot
                .files
                .iter()
                .map(|file| (file.path.clone(), file.clone()))
                .collect();
            self.intervals.clone_from(&snapshot.intervals);
            return;
        }
        for path in &record.removed {
            self.files.remove(path);
        }
        for added in &record.added {
            self.files
                .insert(added.file.path.clone(), added.file.clone());
        }
        if record.mode == CommitMode::Replace {
            self.intervals.clear();
        }
        if let Some(interval) = &record.interval
            && !self.intervals.contains(interval)
        {
            self.intervals.push(interval.clone());
        }
    }

    fn into_commit(self, store: &dyn Store, record: Record) -> Result<Commit> {
        let key = full_path(store, &record_key(record.number));
        let files: Vec<DataFile> = self.files.into_values().collect();
        let totals = Totals::of(&files);
        if totals != record.totals {
            return Err(damaged(
                &key,
                format!("it says {:?}, the files say {totals:?}", record.totals),
            ));
        }
        let schema = TableSchema::from_record(&record.columns, &record.partition_by)
            .map_err(|reason| damaged(&key, reason))?;
        Ok(Commit {
            number: record.number,
            run_id: record.run_id,
            mode: record.mode,
            interval: record.interval,
            committed_at: record.committed_at,
            plan_fingerprint: record.plan_fingerprint,
            cursors: record.cursors,
            rows_read: record.rows_read,
            schema,
            schema_changes: record.schema_changes,
            files,
            totals,
            intervals: self.intervals,
            window: None,
            uncleared: None,
            options: record.options,
            epoch: record.epoch,
        })
    }
}
