//! The end of a run: what it would change, the one put that decides the change, or nothing of it. Owns the order of the
//! decision; what is changed is `commit`'s, and carrying it out is `recover::roll_forward`.
//!
//! ```text
//! prepare  staged files ─► what the mode does with them ─► compare digests ─► Change
//! publish  lease ─► seal files ─► lease ─► put-if-absent commits/<n>.json ─► roll forward ─► <n>.done
//!                                          └── before: nothing happened ── after: it will be finished ──►
//! ```

use std::collections::BTreeSet;

use chrono::Utc;
use datafusion::prelude::SessionContext;
use tracing::info;

use super::{Staged, Staging};
use crate::commit::{Base, Change};
use crate::error::{Error, Result};
use crate::log::{self, AddedFile, Commit, FilesRead, Interval, Record, Totals};
use crate::recover::{clear, drop_attempt, roll_forward};
use crate::store::{Expected, StoreError};
use crate::transaction;

/// What a run says about itself in its commit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommitInfo {
    /// How far the sources were read; `null` if they have no cursors.
    pub cursors: serde_json::Value,
    /// Files that the run read of sources which are read file by file.
    pub files_read: FilesRead,
    /// The interval of data that the run covered.
    pub interval: Option<Interval>,
    /// Identifies the plan that made the rows.
    pub plan_fingerprint: Option<String>,
    /// Rows read from the sources.
    pub rows_read: Option<u64>,
}

impl Staging {
    /// Works out what publishing these files would change, and makes the files that replace published ones: those of a
    /// `merge`, and all others if a column gets a wider type. Publishes nothing; may be repeated only after
    /// [`Staging::abandon`] and a new run.
    ///
    /// `ctx` gives the memory pool and the temporary folder for that.
    ///
    /// # Errors
    /// [`Error::Merge`] with the engine's error as its source.
    pub async fn prepare(&self, ctx: &SessionContext, staged: Staged) -> Result<Change> {
        self.open_to(ctx);
        let (rows_staged, rows_discarded) = (staged.rows(), staged.rows_discarded);
        let mut base = Base::new(self, ctx);
        let action = self.options.mode.action();
        let mut change = action.prepare(&mut base, staged.files).await?;
        base.widen(&mut change).await?;
        change.rows_staged = rows_staged;
        change.rows_discarded = rows_discarded;
        change.schema_changes.clone_from(&self.agreed.changes);
        Ok(change)
    }

    /// Publishes the change, all or nothing, with the cursors in the same decision, and ends the run.
    ///
    /// A change that is empty, with the cursors and files read of the base, makes no commit: the base is returned. Before the
    /// decision every staged file is made durable and compared with its digest.
    ///
    /// # Errors
    /// Nothing is published, and the staged files are dropped, unless the error [leaves a commit](Error::leaves_commit):
    /// [`Error::RollForward`] and [`Error::NotDurable`] (the commit stands and the next run finishes it) or
    /// [`Error::Undecided`] (the next run finds out).
    pub async fn publish(self, change: Change, info: CommitInfo) -> Result<Commit> {
        let mut published = publish(&self, change, info).await;
        match &mut published {
            Err(error) if error.leaves_commit() => {}
            Err(_) => drop(clear(self.store.as_ref(), &self.token).await),
            Ok(commit) => {
                commit.uncleared = clear(self.store.as_ref(), &self.token).await;
                if commit.number > self.base_number {
                    self.listeners
                        .tell(self.store.as_ref(), commit.number)
                        .await;
                }
            }
        }
        self.lease.release(self.store.as_ref()).await;
        published
    }

    /// Drops everything staged and ends the run. The table is as before.
    ///
    /// # Errors
    /// [`Error::Store`] if files could not be deleted; the next run tries again.
    pub async fn abandon(self) -> Result<()> {
        let dropped = drop_attempt(self.store.as_ref(), &self.token).await;
        self.lease.release(self.store.as_ref()).await;
        Ok(dropped?)
    }
}

async fn publish(staging: &Staging, change: Change, info: CommitInfo) -> Result<Commit> {
    let store = staging.store.as_ref();
    let base = staging.base.as_ref();
    if staging.requirements.new_interval
        && let (Some(base), Some(interval)) = (base, &info.interval)
        && base.has_interval(interval)
    {
        return Err(transaction::refuse(store, staging.base_number, interval).await);
    }
    staging.lease.check(store).await?;
    if let Some(base) = base
        && change.is_empty()
        && base.cursors == info.cursors
        && base.files_read.has(&info.files_read)
        && base.schema == *staging.schema()
    {
        info!(
            table = store.location(),
            run_id = staging.run_id,
            "nothing changed"
        );
        return Ok(base.clone());
    }
    let record = record(staging, change, info)?;
    let files: Vec<Expected> = record.added.iter().map(AddedFile::expected).collect();
    store.seal(&files).await?;
    // T-4: asked again after the long part, right before the decision.
    staging.lease.check(store).await?;
    decide(staging, &record).await?;
    info!(
        table = store.location(),
        run_id = staging.run_id,
        commit = record.number,
        added = record.added.len(),
        removed = record.removed.len(),
        rows = record.totals.rows,
        "committed"
    );
    let window = roll_forward(store, &record).await?;
    let mut commit = record.into_commit(base, store)?;
    commit.window = window;
    Ok(commit)
}

fn record(staging: &Staging, change: Change, info: CommitInfo) -> Result<Record> {
    let base = staging.base();
    let names: BTreeSet<&str> = base
        .iter()
        .flat_map(|base| &base.files)
        .map(|file| file.path.as_str())
        .collect();
    let added: Vec<AddedFile> = change.added_files().collect();
    let taken = |added: &&AddedFile| !added.replaces && names.contains(added.file.path.as_str());
    if let Some(added) = added.iter().find(taken) {
        return Err(Error::StagedFile {
            path: added.file.path.clone(),
            reason: "a name that is already published; start the run again".to_owned(),
        });
    }
    let schema = staging.schema();
    let record = Record {
        version: 0,
        number: staging.base_number + 1,
        run_id: staging.run_id.clone(),
        token: staging.token.clone(),
        epoch: staging.lease.epoch(),
        mode: staging.mode,
        interval: info.interval,
        committed_at: Utc::now(),
        plan_fingerprint: info.plan_fingerprint,
        transaction: staging.transaction.clone(),
        cursors: info.cursors,
        files_read: info.files_read,
        rows_read: info.rows_read,
        rows_staged: Some(change.rows_staged),
        partition_by: schema.partition_by().to_vec(),
        columns: schema.to_record(),
        schema_changes: change.schema_changes,
        rows_discarded: change.rows_discarded,
        options: staging.recorded.clone(),
        totals: Totals::default(),
        added,
        removed: change.removed.into_iter().map(|file| file.path).collect(),
        fences: None,
        snapshot: None,
    };
    Ok(record.complete(base))
}

/// The commit point. An answer may be lost on the way, so after a failure the record is read back: if it is ours, the
/// decision was made. If it is known not to be durable, nothing is built on it: what readers see would outlast it.
async fn decide(staging: &Staging, record: &Record) -> Result<()> {
    let store = staging.store.as_ref();
    let key = log::record_key(record.number);
    let put = store.put_if_absent(&key, log::to_json(&key, record)?).await;
    if matches!(put, Ok(true)) {
        return Ok(());
    }
    let undecided = |source: Error| Error::Undecided {
        table: store.location().to_owned(),
        number: record.number,
        source: Box::new(source),
    };
    let found = match store.read(&key).await {
        Ok(Some(content)) => {
            log::from_json::<Record>(&log::full_path(store, &key), &content).map_err(undecided)?
        }
        Ok(None) => {
            return Err(match put {
                // A request that the storage took and did not answer may still be on its way to take effect. Where the
                // next run fences it off, nothing may be dropped before.
                Err(error) if !staging.lease.is_exclusive() => undecided(error.into()),
                Err(error) => error.into(),
                // Taken a moment ago, gone now: someone else is at work in the control folder.
                Ok(_) => Error::LeaseLost {
                    table: store.location().to_owned(),
                    epoch: record.epoch,
                },
            });
        }
        Err(error) => return Err(undecided(put.err().unwrap_or(error).into())),
    };
    if found.token == record.token {
        return match put {
            Err(source @ StoreError::NotDurable { .. }) => Err(Error::NotDurable {
                table: store.location().to_owned(),
                number: record.number,
                source,
            }),
            _ => Ok(()),
        };
    }
    Err(Error::Superseded {
        table: store.location().to_owned(),
        number: record.number,
        run_id: found.run_id,
    })
}
