//! Publishing: what a run would change, and the one put that decides it. Owns the meaning of the publish modes and the
//! order of the decision; carrying it out is `recover::roll_forward`.
//!
//! ```text
//! prepare  staged files ─► merge (mode merge) ─► compare digests ─► Change
//! publish  lease ─► seal files ─► lease ─► put-if-absent commits/<n>.json ─► roll forward ─► <n>.done
//!                                          └── before: nothing happened ── after: it will be finished ──►
//! ```

use std::collections::{BTreeMap, BTreeSet};

use chrono::Utc;
use datafusion::prelude::SessionContext;
use tracing::info;

use crate::contract::SchemaChange;
use crate::error::{Error, Result};
use crate::log::{self, AddedFile, Commit, DataFile, Interval, Record, Totals};
use crate::merge;
use crate::options::{KeyScope, PublishMode};
use crate::recover::roll_forward;
use crate::staging::{Staged, Staging};
use crate::store::{Expected, StoreError};
use crate::transaction;
use crate::write::StagedFile;

/// What publishing would change. Made by [`Staging::prepare`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// Files that readers will see after it.
    pub added: Vec<DataFile>,
    /// Published files that go.
    pub removed: Vec<DataFile>,
    /// Published files, in partitions that this run produced, that hold the very bytes it would write; they stay.
    pub unchanged: Vec<DataFile>,
    /// Rows that this run staged, before any merge.
    pub rows_staged: u64,
    /// Rows in `added`. In `merge` these include the kept rows of the replaced files.
    pub rows_written: u64,
    /// Bytes in `added`.
    pub bytes_written: u64,
    /// Rows that the run read and did not stage, because contract `discard_row` left them out.
    pub rows_discarded: u64,
    /// What a merge did to rows; `None` in other modes.
    pub merge: Option<MergeCounts>,
    /// Published files that are rewritten only because a column gets a wider type; they are in `removed` too.
    pub rewritten: u64,
    /// What changes in the schema of the table.
    pub schema_changes: Vec<SchemaChange>,
    /// Keys and uploads of the staged files of `added`, in the same order.
    staged: Vec<(String, String)>,
    /// Paths in `added` under which a file is published now, which will be replaced in one step.
    replaced: BTreeSet<String>,
}

/// What a merge does to rows, over the partitions whose files change. Every arriving row whose partition changes is
/// inserted, an update, moved, or a dropped duplicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MergeCounts {
    /// Rows whose key was not published: the table has so many rows more.
    pub inserted: u64,
    /// Published rows replaced by an arriving row with their key in their partition.
    pub updated: u64,
    /// Published rows that went because their key arrived in another partition; only where a key is unique in the whole
    /// table.
    pub moved: u64,
    /// Arriving rows dropped because another arriving row with their key won, over all partitions.
    pub duplicates_dropped: u64,
}

impl Change {
    /// Whether the table would hold the same files as before.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.schema_changes.is_empty()
    }

    /// How many files of `added` take the place, and the name, of a published one in one step.
    pub fn replaced(&self) -> usize {
        self.replaced.len()
    }

    /// Sums over the files that would be added.
    pub fn totals(&self) -> Totals {
        Totals::of(&self.added)
    }

    /// A change that was worked out elsewhere: these staged files come, these published ones go.
    pub(crate) fn of(added: Vec<StagedFile>, removed: Vec<DataFile>) -> Self {
        let mut change = Self {
            rows_staged: added.iter().map(|file| file.rows).sum(),
            removed,
            ..Self::default()
        };
        added.into_iter().for_each(|file| change.add(file));
        change
    }

    fn add(&mut self, file: StagedFile) {
        self.rows_written += file.rows;
        self.bytes_written += file.bytes;
        self.staged.push((file.staged.clone(), file.upload.clone()));
        self.added.push(file.into_data_file());
    }

    /// Takes the produced files of one partition, except where a published one has the same bytes.
    fn replace(&mut self, published: Vec<DataFile>, produced: Vec<StagedFile>) {
        let mut published = published;
        let mut others = Vec::new();
        for file in produced {
            // Written for the name of the published file, to take its place in one step.
            match published.iter().position(|old| old.path == file.path()) {
                Some(position) => {
                    let old = published.remove(position);
                    if old.sha256 == file.sha256 && old.bytes == file.bytes {
                        self.unchanged.push(old);
                    } else {
                        self.replaced.insert(old.path);
                        self.add(file);
                    }
                }
                None => others.push(file),
            }
        }
        for file in others {
            let same = published
                .iter()
                .position(|old| old.sha256 == file.sha256 && old.bytes == file.bytes);
            match same {
                Some(position) => self.unchanged.push(published.remove(position)),
                None => self.add(file),
            }
        }
        self.removed.extend(published);
    }
}

/// What a run says about itself in its commit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommitInfo {
    /// How far the sources were read; `null` if they have no cursors.
    pub cursors: serde_json::Value,
    /// The interval of data that the run covered.
    pub interval: Option<Interval>,
    /// Identifies the plan that made the rows.
    pub plan_fingerprint: Option<String>,
    /// Rows read from the sources.
    pub rows_read: Option<u64>,
}

pub(crate) async fn prepare(
    staging: &Staging,
    ctx: &SessionContext,
    staged: Staged,
) -> Result<Change> {
    let mut change = Change {
        rows_staged: staged.rows(),
        rows_discarded: staged.rows_discarded,
        schema_changes: staging.agreed.changes.clone(),
        ..Change::default()
    };
    let produced = by_partition(staged.files);
    let widened = staging.agreed.widened;
    let mut published: BTreeMap<&str, Vec<DataFile>> = BTreeMap::new();
    for file in staging.base.iter().flat_map(|base| &base.files) {
        published
            .entry(file.partition())
            .or_default()
            .push(file.clone());
    }
    match staging.options.mode {
        PublishMode::Append => {
            for (partition, files) in produced {
                // Rows of both in the same files, so that no two files of a partition have one name.
                match published.remove(partition.as_str()) {
                    Some(old) if widened => {
                        let files = merge::rewrite(staging, ctx, &partition, &old, &files).await?;
                        change.rewritten += old.len() as u64;
                        change.replace(old, files);
                    }
                    _ => files.into_iter().for_each(|file| change.add(file)),
                }
            }
        }
        mode @ (PublishMode::Overwrite | PublishMode::Replace) => {
            for (partition, files) in produced {
                let old = published.remove(partition.as_str()).unwrap_or_default();
                change.replace(old, files);
            }
            if mode == PublishMode::Replace {
                change
                    .removed
                    .extend(std::mem::take(&mut published).into_values().flatten());
            }
        }
        PublishMode::Merge => {
            merge_into(staging, ctx, produced, &mut published, &mut change).await?;
        }
    }
    if widened {
        // What is left is touched by nothing else. Readers of several files take a column's type from any of them, so
        // no file may keep the narrower one.
        for (partition, old) in published {
            let files = merge::rewrite(staging, ctx, partition, &old, &[]).await?;
            change.rewritten += old.len() as u64;
            change.replace(old, files);
        }
    }
    Ok(change)
}

async fn merge_into(
    staging: &Staging,
    ctx: &SessionContext,
    mut produced: BTreeMap<String, Vec<StagedFile>>,
    published: &mut BTreeMap<&str, Vec<DataFile>>,
    change: &mut Change,
) -> Result<()> {
    let mut counts = MergeCounts::default();
    let mut moved = BTreeMap::new();
    if staging.options.key_scope == KeyScope::Table && !staging.schema.partition_by().is_empty() {
        let files: Vec<&DataFile> = published.values().flatten().collect();
        let resolved = merge::resolve_table_wide(staging, ctx, produced, &files).await?;
        counts.duplicates_dropped = resolved.duplicates_dropped;
        produced = by_partition(resolved.winners);
        moved = by_partition(resolved.moved);
    }
    let partitions: BTreeSet<String> = produced.keys().chain(moved.keys()).cloned().collect();
    let work = partitions
        .into_iter()
        .map(|partition| merge::Work {
            published: published.remove(partition.as_str()).unwrap_or_default(),
            arrived: produced.remove(&partition).unwrap_or_default(),
            moved: moved.remove(&partition).unwrap_or_default(),
            partition,
        })
        .collect();
    for merged in merge::merge(staging, ctx, work).await? {
        let changes = change.added.len() + change.removed.len();
        change.replace(merged.published, merged.files);
        counts.duplicates_dropped += merged.duplicates_dropped;
        if change.added.len() + change.removed.len() > changes {
            counts.inserted += merged.inserted;
            counts.updated += merged.updated;
            counts.moved += merged.moved;
        }
    }
    // In its new partition a moved row was counted as new.
    counts.inserted = counts.inserted.saturating_sub(counts.moved);
    change.merge = Some(counts);
    Ok(())
}

fn by_partition(files: Vec<StagedFile>) -> BTreeMap<String, Vec<StagedFile>> {
    let mut partitions: BTreeMap<String, Vec<StagedFile>> = BTreeMap::new();
    for file in files {
        partitions
            .entry(file.partition.clone())
            .or_default()
            .push(file);
    }
    partitions
}

pub(crate) async fn publish(staging: &Staging, change: Change, info: CommitInfo) -> Result<Commit> {
    let store = staging.store.as_ref();
    let base = staging.base.as_ref();
    if let (PublishMode::Append, Some(base), Some(interval)) =
        (staging.options.mode, base, &info.interval)
        && base.has_interval(interval)
    {
        return Err(transaction::refuse(store, staging.base_number, interval).await);
    }
    staging.lease.check(store).await?;
    if let Some(base) = base
        && change.is_empty()
        && base.cursors == info.cursors
        && base.schema == staging.schema
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
    let base = staging.base.as_ref();
    let names: BTreeSet<&str> = base
        .iter()
        .flat_map(|base| &base.files)
        .map(|file| file.path.as_str())
        .collect();
    if let Some(file) = change
        .added
        .iter()
        .find(|file| names.contains(file.path.as_str()) && !change.replaced.contains(&file.path))
    {
        return Err(Error::StagedFile {
            path: file.path.clone(),
            reason: "a name that is already published; start the run again".to_owned(),
        });
    }
    let added = change
        .added
        .into_iter()
        .zip(change.staged)
        .map(|(file, (staged, upload))| AddedFile {
            replaces: change.replaced.contains(&file.path),
            file,
            staged,
            upload,
        })
        .collect();
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
        rows_read: info.rows_read,
        rows_staged: Some(change.rows_staged),
        partition_by: staging.schema.partition_by().to_vec(),
        columns: staging.schema.to_record(),
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
