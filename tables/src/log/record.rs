//! A record as it is on disk: what one commit changed. Owns what must hold within one.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    Commit, ControlFile, DataFile, FilesRead, Interval, Totals, Transaction, VERSION, damaged,
    from_json, full_path, record_key,
};
use crate::commit::CommitMode;
use crate::error::Result;
use crate::layout;
use crate::log_options::LogOptions;
use crate::parse;
use crate::schema::ColumnRecord;
use crate::schema_policy::SchemaChange;
use crate::store::{Expected, Store};

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
    #[serde(default, skip_serializing_if = "FilesRead::is_empty")]
    pub(crate) files_read: FilesRead,
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
    /// Files that the run read of sources which are read file by file; those in the snapshot are not here too.
    #[serde(default, skip_serializing_if = "FilesRead::is_empty")]
    pub(crate) files_read: FilesRead,
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
    pub(crate) options: Option<LogOptions>,
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
            files_read: FilesRead::default(),
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
    pub(super) fn precedes_the_table(&self) -> bool {
        self.fences.is_some() && self.columns.is_empty()
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
