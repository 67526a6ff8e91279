//! Retention: whole partitions whose days are all before a limit are dropped. Owns what goes and what is refused; how a
//! folder name becomes days is `span`.
//!
//! No file is rewritten: a partition goes as a whole or stays. One whose date is NULL or cannot be read stays, and is
//! reported. Cursors and intervals stay too, so that an interval whose rows expired is not appended again by mistake.

use std::collections::BTreeMap;
use std::future::pending;

use chrono::NaiveDate;

use super::{Change, CommitAction, CommitMode, MaintenanceAction, Requirements};
use crate::error::{Error, Result};
use crate::log::{Commit, DataFile};
use crate::maintenance;
use crate::partition_dates::DateColumns;
use crate::retention::DateUnit;
use crate::staging::Staging;
use crate::table::Table;

/// What to drop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpireOptions {
    /// The first day that is kept. See [`crate::Retention::before`].
    pub first_kept: NaiveDate,
    /// The partition column that holds the date. Default: the one that is a date, else year, month, day or year, week.
    pub column: Option<String>,
    /// How long one value of that column lasts. Default: by its name (`week`, `month`, `quarter`, `year`), else a day.
    pub span: Option<DateUnit>,
    /// Allows that no file remains in the table.
    pub allow_empty: bool,
}

/// What expiry did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// The first day that is kept.
    pub first_kept: NaiveDate,
    /// The partition columns that were read as a date.
    pub columns: String,
    /// Partitions that go, by their paths.
    pub expired: Vec<ExpiredPartition>,
    /// Partitions that stay because of their date.
    pub kept: u64,
    /// Partitions that stay because their date cannot be told, with the reason.
    pub undated: Vec<(String, String)>,
    /// The commit that it made; `None` for a plan, and when nothing is old enough.
    pub commit: Option<u64>,
    /// See [`Commit::uncleared`].
    pub uncleared: Option<String>,
}

impl Expiry {
    /// Whether no file would remain.
    pub fn empties_the_table(&self) -> bool {
        !self.expired.is_empty() && self.kept == 0 && self.undated.is_empty()
    }
}

/// A partition that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiredPartition {
    /// Its path below the table.
    pub partition: String,
    /// Its first day.
    pub first_day: NaiveDate,
    /// The day after its last one.
    pub end: NaiveDate,
    /// Its files.
    pub files: u64,
    /// Their rows.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Table {
    /// What [`Table::expire`] would drop. Reads the log only, takes no lease and writes nothing. That the table would be
    /// empty is no error here.
    ///
    /// # Errors
    /// [`Error::NoTable`], [`Error::NoDate`], those of [`Table::current`].
    pub async fn plan_expiry(&self, options: &ExpireOptions) -> Result<Expiry> {
        let commit = maintenance::current(self).await?;
        Ok(plan(self, &commit, options)?.0)
    }

    /// Drops the partitions all of whose days are before `options.first_kept`, in one commit of mode `expire`. Where
    /// nothing is old enough, nothing is written and no lease is taken, unless a process that was cut off left something to
    /// finish. After a failure it may simply be asked for again.
    ///
    /// # Errors
    /// Those of [`Table::plan_expiry`], [`Table::begin`] and [`crate::Staging::publish`]; [`Error::WouldBeEmpty`] if no
    /// file would remain and `options.allow_empty` is not set.
    pub async fn expire(&self, run_id: &str, options: &ExpireOptions) -> Result<Expiry> {
        let planned = self.plan_expiry(options).await?;
        if planned.expired.is_empty() {
            maintenance::bring_to_rest(self).await?;
            return Ok(planned);
        }
        refuse_to_empty(self, &planned, options)?;
        let action = Expire {
            table: self,
            options,
        };
        let (mut expiry, commit) = maintenance::carry_out(self, run_id, action, pending()).await?;
        if let Some(commit) = commit {
            expiry.commit = Some(commit.number);
            expiry.uncleared = commit.uncleared;
        }
        Ok(expiry)
    }
}

/// Dropping the partitions that are old enough.
#[derive(Debug)]
struct Expire<'a> {
    table: &'a Table,
    options: &'a ExpireOptions,
}

impl CommitAction for Expire<'_> {
    fn mode(&self) -> CommitMode {
        CommitMode::Expire
    }

    fn requirements(&self) -> Requirements {
        Requirements {
            carries_options: true,
            ..Requirements::default()
        }
    }
}

impl MaintenanceAction for Expire<'_> {
    type Report = Expiry;

    /// Works out again what goes: the table may be another one since it was looked at.
    async fn prepare(self, _run: &Staging, base: &Commit) -> Result<(Expiry, Change)> {
        let (expiry, removed) = plan(self.table, base, self.options)?;
        refuse_to_empty(self.table, &expiry, self.options)?;
        Ok((expiry, Change::of(Vec::new(), removed)))
    }
}

fn refuse_to_empty(table: &Table, expiry: &Expiry, options: &ExpireOptions) -> Result<()> {
    if expiry.empties_the_table() && !options.allow_empty {
        return Err(Error::WouldBeEmpty {
            table: table.location().to_owned(),
            partitions: expiry.expired.len() as u64,
            first_kept: expiry.first_kept,
        });
    }
    Ok(())
}

fn plan(
    table: &Table,
    commit: &Commit,
    options: &ExpireOptions,
) -> Result<(Expiry, Vec<DataFile>)> {
    let columns = DateColumns::find(&commit.schema, options.column.as_deref(), options.span)
        .map_err(|reason| Error::NoDate {
            table: table.location().to_owned(),
            reason,
        })?;
    let mut partitions: BTreeMap<&str, Vec<&DataFile>> = BTreeMap::new();
    for file in &commit.files {
        partitions.entry(file.partition()).or_default().push(file);
    }
    let mut expiry = Expiry {
        first_kept: options.first_kept,
        columns: columns.to_string(),
        expired: Vec::new(),
        kept: 0,
        undated: Vec::new(),
        commit: None,
        uncleared: None,
    };
    let mut removed = Vec::new();
    for (partition, files) in partitions {
        match columns.span(partition) {
            Ok((first_day, end)) if end <= options.first_kept => {
                expiry.expired.push(ExpiredPartition {
                    partition: partition.to_owned(),
                    first_day,
                    end,
                    files: files.len() as u64,
                    rows: files.iter().map(|file| file.rows).sum(),
                    bytes: files.iter().map(|file| file.bytes).sum(),
                });
                removed.extend(files.into_iter().cloned());
            }
            Ok(_) => expiry.kept += 1,
            Err(reason) => expiry.undated.push((partition.to_owned(), reason)),
        }
    }
    Ok((expiry, removed))
}
