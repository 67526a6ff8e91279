//! The commit log: what a record says, how the state of the table follows from the records, and their versioned
//! spelling on disk. Owns `commits/<n>.json`; does not decide when one is written (`publish`) or finished (`recover`).
//!
//! A record holds what its commit added and removed. Every [`SNAPSHOT_EVERY`]th one, and every one that is shorter that
//! way, holds all files of the table instead, so that the state is read from a bounded number of records and a small
//! commit to a large table stays small.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::commit::CommitMode;
use crate::contract::SchemaChange;
use crate::error::{Error, Result};
use crate::layout;
use crate::parse;
use crate::recorded::RecordedOptions;
use crate::schema::{ColumnRecord, TableSchema};
use crate::store::{Expected, Store, max_bytes};
use crate::transaction::Transaction;

/// The format version that this program writes, and the newest it reads.
const VERSION: u64 = 1;
/// At most this many records are read to know the state of the table.
const SNAPSHOT_EVERY: u64 = 32;

/// A half-open interval of data, `[start, end)`, as the pipeline spells it. Compared as text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Interval {
    /// First instant or day in the interval.
    #[serde(deserialize_with = "parse::line")]
    pub start: String,
    /// First one after it.
    #[serde(deserialize_with = "parse::line")]
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
    #[serde(deserialize_with = "parse::staged")]
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
    #[serde(deserialize_with = "parse::number")]
    pub(crate) number: u64,
    #[serde(deserialize_with = "parse::line")]
    pub(crate) run_id: String,
    /// Names the staging area of the run; differs in every attempt.
    #[serde(deserialize_with = "parse::token")]
    pub(crate) token: String,
    #[serde(deserialize_with = "parse::number")]
    pub(crate) epoch: u64,
    pub(crate) mode: CommitMode,
    pub(crate) interval: Option<Interval>,
    pub(crate) committed_at: DateTime<Utc>,
    #[serde(default, deserialize_with = "parse::optional_line")]
    pub(crate) plan_fingerprint: Option<String>,
    /// Who publishes what; not known of runs that did not say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) transaction: Option<Transaction>,
    pub(crate) cursors: serde_json::Value,
    #[serde(default, deserialize_with = "parse::optional_number")]
    pub(crate) rows_read: Option<u64>,
    /// Rows that the run staged, before any merge.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "parse::optional_number"
    )]
    pub(crate) rows_staged: Option<u64>,
    pub(crate) partition_by: Vec<String>,
    pub(crate) columns: Vec<ColumnRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) schema_changes: Vec<SchemaChange>,
    /// Rows that the run left out because they do not fit the schema.
    #[serde(default, deserialize_with = "parse::number")]
    pub(crate) rows_discarded: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) options: Option<RecordedOptions>,
    pub(crate) totals: Totals,
    pub(crate) added: Vec<AddedFile>,
    #[serde(deserialize_with = "parse::all_published")]
    pub(crate) removed: Vec<String>,
    /// The run that this record keeps from committing under its number. Such a record changes nothing.
    #[serde(
        default,
        deserialize_with = "parse::optional_line",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) fences: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) snapshot: Option<Snapshot>,
}

/// `intents/<token>.json`: a run that stages files and has not decided yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Intent {
    pub(crate) version: u64,
    #[serde(deserialize_with = "parse::line")]
    pub(crate) run_id: String,
    #[serde(deserialize_with = "parse::token")]
    pub(crate) token: String,
    #[serde(deserialize_with = "parse::number")]
    pub(crate) epoch: u64,
    #[serde(deserialize_with = "parse::number")]
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

impl ControlFile for Intent {
    fn check(&self) -> std::result::Result<(), String> {
        if parse::is_attempt(&self.token) {
            return Ok(());
        }
        Err(format!("{:?} is not the name of an attempt", self.token))
    }
}

impl ControlFile for Record {
    fn check(&self) -> std::result::Result<(), String> {
        if self.number == 0 {
            return Err("commits are numbered from 1".to_owned());
        }
        if self.fences.is_some() != (self.mode == CommitMode::Fence) {
            return Err("only a fence names a run that it keeps off".to_owned());
        }
        if self.fences.is_some() && !(self.added.is_empty() && self.removed.is_empty()) {
            return Err("a fence changes nothing".to_owned());
        }
        if self.precedes_the_table() && self.snapshot.as_ref().is_some_and(Snapshot::has_files) {
            return Err("it has files and no columns".to_owned());
        }
        let folder = format!("{}/", self.token);
        if let Some(added) = (self.added.iter()).find(|added| !added.staged.starts_with(&folder)) {
            return Err(format!(
                "{:?} was staged by another attempt than {}",
                added.staged, self.token
            ));
        }
        let removed = self.removed.iter();
        let added = self.added.iter().map(|added| &added.file.path);
        distinct(added.clone().chain(removed))?;
        in_partitions(added, &self.partition_by)?;
        if let Some(snapshot) = &self.snapshot {
            let files = snapshot.files.iter().map(|file| &file.path);
            distinct(files.clone())?;
            in_partitions(files, &self.partition_by)?;
        }
        Ok(())
    }
}

/// A file that comes and goes in one commit would be there or not by the order of the steps.
fn distinct<'a>(keys: impl Iterator<Item = &'a String>) -> std::result::Result<(), String> {
    let mut seen = HashSet::new();
    match keys.into_iter().find(|key| !seen.insert(key.as_str())) {
        Some(key) => Err(format!("it names {key:?} twice")),
        None => Ok(()),
    }
}

/// Files lie in the folders of their table's partitions, so that none lands beside them.
fn in_partitions<'a>(
    mut keys: impl Iterator<Item = &'a String>,
    partition_by: &[String],
) -> std::result::Result<(), String> {
    let columns: Vec<String> = partition_by
        .iter()
        .map(|column| format!("{}=", layout::escape(column)))
        .collect();
    let fits = |key: &String| {
        let folders = key.split('/').count() - 1;
        folders == columns.len()
            && (key.split('/').zip(&columns)).all(|(folder, column)| folder.starts_with(column))
    };
    match keys.find(|key| !fits(key)) {
        Some(key) => Err(format!(
            "{key:?} is not in a partition by ({})",
            partition_by.join(", ")
        )),
        None => Ok(()),
    }
}

impl Snapshot {
    fn has_files(&self) -> bool {
        !self.files.is_empty()
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

/// A control file in JSON. Its fields are parsed by [`parse`]; this is what must hold among them.
pub(crate) trait ControlFile: Serialize + DeserializeOwned {
    /// Says what does not fit together.
    fn check(&self) -> std::result::Result<(), String>;
}

/// Spells a control object, for people to read too.
///
/// # Errors
/// [`Error::Unrecordable`] for what could not be read back: it must not be written, least of all as a decision.
pub(crate) fn to_json<T: ControlFile>(key: &str, value: &T) -> Result<bytes::Bytes> {
    let refused = |reason: String| Error::Unrecordable {
        path: key.to_owned(),
        reason,
    };
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| refused(error.to_string()))?;
    text.push(b'\n');
    let limit = max_bytes(key);
    if text.len() as u64 > limit {
        return Err(refused(format!(
            "it would have {} bytes, and {limit} are the most that are read",
            text.len()
        )));
    }
    parsed::<T>(&text).map_err(refused)?;
    Ok(text.into())
}

fn parsed<T: ControlFile>(content: &[u8]) -> std::result::Result<T, String> {
    let value: T = serde_json::from_slice(content).map_err(|error| error.to_string())?;
    value.check()?;
    Ok(value)
}

/// Reads a control object of a version that this program knows.
pub(crate) fn from_json<T: ControlFile>(key: &str, content: &[u8]) -> Result<T> {
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
    parsed(content).map_err(|reason| damaged(key, reason))
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

/// The newest record. Records are numbered from 1 and never removed, so the log is whole if none of them, up to the
/// greatest number that anything names, is missing.
///
/// # Errors
/// [`Error::LostRecord`] where one is: its number would be given again, and its rows be forgotten or doubled.
pub(crate) async fn newest(store: &dyn Store) -> Result<Option<Newest>> {
    let mut records = BTreeSet::new();
    let mut done = BTreeSet::new();
    for name in store.list("commits").await? {
        match commit_of(&name) {
            Some((number, Part::Record)) => drop(records.insert(number)),
            Some((number, Part::Done)) => drop(done.insert(number)),
            // Not a name that this program gives: somebody's copy.
            None => {}
        }
    }
    let Some(number) = records.last().max(done.last()).copied() else {
        return Ok(None);
    };
    if records.len() as u64 != number {
        // A listing that a commit overtakes may show a mark and not its record: that one is asked for by its name. At
        // the first that is not there it ends, so a mark of any number costs no more.
        for missing in (1..=number).filter(|number| !records.contains(number)) {
            if store.read(&record_key(missing)).await?.is_none() {
                let evidence = if done.contains(&missing) {
                    format!("{} says that it was carried out", done_key(missing))
                } else {
                    format!("commit {number} came after it")
                };
                return Err(lost(store, missing, evidence));
            }
        }
    }
    Ok(Some(Newest {
        number,
        done: done.contains(&number),
    }))
}

/// Refuses a log that ends before a commit that something else knows of.
///
/// # Errors
/// [`Error::LostRecord`] if there is no commit `known` by now.
pub(crate) async fn expect(
    store: &dyn Store,
    newest: Option<Newest>,
    known: u64,
    whence: &str,
) -> Result<()> {
    if newest.is_some_and(|newest| newest.number >= known) || known == 0 {
        return Ok(());
    }
    // Of those from the newest to that one, the first is what has to be restored first.
    let missing = newest.map_or(1, |newest| newest.number + 1);
    Err(lost(
        store,
        missing,
        format!("{whence} knows commit {known}"),
    ))
}

fn lost(store: &dyn Store, number: u64, evidence: String) -> Error {
    Error::LostRecord {
        table: store.location().to_owned(),
        record: record_key(number),
        evidence,
    }
}

/// What a file in the folder of the commits is.
enum Part {
    Record,
    Done,
}

/// The commit that a name in the folder of the commits tells; `None` for a file that is not ours.
fn commit_of(name: &str) -> Option<(u64, Part)> {
    let (digits, _) = name.split_once('.')?;
    let number = digits.parse().ok()?;
    let is = |key: String| key.strip_prefix("commits/") == Some(name);
    match number {
        1..=parse::MAX_NUMBER if is(record_key(number)) => Some((number, Part::Record)),
        1..=parse::MAX_NUMBER if is(done_key(number)) => Some((number, Part::Done)),
        _ => None,
    }
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

/// What an attempt announced; `None` if it cannot be read, or is not of that attempt: a damaged intent is no reason to
/// keep what it announced.
pub(crate) async fn read_intent(store: &dyn Store, token: &str) -> Result<Option<Intent>> {
    let key = intent_key(token);
    let content = store.read(&key).await?.unwrap_or_default();
    let intent = from_json::<Intent>(&key, &content).ok();
    Ok(intent.filter(|intent| intent.token == token))
}

/// A decided record that is to be carried out, compared with the state before it: it removes and replaces files that the
/// table has, adds others, and ends in the state that it says. T-5 holds for a record that was tampered with, too.
///
/// # Errors
/// [`Error::DamagedRecord`] if it does not follow from the record before.
pub(crate) async fn read_decided(store: &dyn Store, number: u64) -> Result<Record> {
    let record = read_record(store, number).await?;
    let base = match number {
        0 | 1 => None,
        number => Box::pin(read_state(store, number - 1)).await?,
    };
    let refused = |reason| damaged(&full_path(store, &record_key(number)), reason);
    let mut state = State::of(base.as_ref());
    state.follow(&record).map_err(refused)?;
    let totals = Totals::of(state.files.values());
    if totals != record.totals {
        return Err(refused(differs(record.totals, totals)));
    }
    Ok(record)
}

fn differs(said: Totals, found: Totals) -> String {
    format!("it says {said:?}, the files say {found:?}")
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
    for (position, record) in records.iter().rev().enumerate() {
        // The oldest has all files: what was before it is not looked at.
        let followed = if position == 0 {
            state.apply(record);
            Ok(())
        } else {
            state.follow(record)
        };
        followed
            .map_err(|reason| damaged(&full_path(store, &record_key(record.number)), reason))?;
    }
    state.into_commit(store, records.swap_remove(0)).map(Some)
}

/// The files and intervals of a table while records are applied to it.
#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, DataFile>,
    intervals: Vec<Interval>,
}

impl From<&Snapshot> for State {
    fn from(snapshot: &Snapshot) -> Self {
        let files = snapshot.files.iter();
        Self {
            files: files
                .map(|file| (file.path.clone(), file.clone()))
                .collect(),
            intervals: snapshot.intervals.clone(),
        }
    }
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

    /// Applies a record to the state before it, which it must fit.
    fn follow(&mut self, record: &Record) -> std::result::Result<(), String> {
        let gone = |path: &&String| !self.files.contains_key(*path);
        if let Some(path) = record.removed.iter().find(gone) {
            return Err(format!(
                "it removes {path:?}, which the table does not have"
            ));
        }
        let wrong =
            |added: &&AddedFile| self.files.contains_key(&added.file.path) != added.replaces;
        if let Some(added) = record.added.iter().find(wrong) {
            return Err(format!(
                "it adds {:?}, which the table {}",
                added.file.path,
                if added.replaces {
                    "does not have to be replaced"
                } else {
                    "has already"
                }
            ));
        }
        self.change(record);
        match &record.snapshot {
            Some(snapshot) if Self::from(snapshot).files != self.files => {
                Err("its list of all files is not what its change makes".to_owned())
            }
            Some(snapshot) => {
                *self = Self::from(snapshot);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Applies a record to whatever was before it.
    fn apply(&mut self, record: &Record) {
        match &record.snapshot {
            Some(snapshot) => *self = Self::from(snapshot),
            None => self.change(record),
        }
    }

    fn change(&mut self, record: &Record) {
        for path in &record.removed {
            self.files.remove(path);
        }
        for added in &record.added {
            self.files
                .insert(added.file.path.clone(), added.file.clone());
        }
        if record.mode.begins_anew() {
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
            return Err(damaged(&key, differs(record.totals, totals)));
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
