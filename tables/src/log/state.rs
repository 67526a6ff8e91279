//! The state of a table, as it follows from the records: its files and intervals. Owns which records have all of them.

use std::collections::BTreeMap;

use super::record::Snapshot;
use super::{
    AddedFile, Commit, DataFile, FilesRead, Interval, Record, Totals, VERSION, damaged, full_path,
    read_record, record_key,
};
use crate::error::Result;
use crate::schema::TableSchema;
use crate::store::Store;

/// At most this many records are read to know the state of the table.
pub(super) const SNAPSHOT_EVERY: u64 = 32;

impl Record {
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
                files_read: state.files_read,
            });
            self.files_read = FilesRead::default();
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

/// The files, intervals and sources of a table while records are applied to it.
#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, DataFile>,
    intervals: Vec<Interval>,
    files_read: FilesRead,
}

impl From<&Snapshot> for State {
    fn from(snapshot: &Snapshot) -> Self {
        let files = snapshot.files.iter();
        Self {
            files: files
                .map(|file| (file.path.clone(), file.clone()))
                .collect(),
            intervals: snapshot.intervals.clone(),
            files_read: snapshot.files_read.clone(),
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
            files_read: base.files_read.clone(),
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
            self.files_read = FilesRead::default();
        }
        self.files_read.follow(&record.files_read);
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
            files_read: self.files_read,
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
