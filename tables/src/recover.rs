//! Bringing a table to rest after a run that did not end by itself: a decided commit is carried out, everything else
//! that was staged is dropped. Owns roll-forward, which publishing uses too, and the fence that keeps a run which is not
//! known to be dead from deciding; decides nothing itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use tracing::{info, warn};

use crate::error::{Error, Result};
use crate::lease::Lease;
use crate::log::{self, AddedFile, Intent, Newest, Record};
use crate::parse;
use crate::store::{Store, StoreResult};

/// What recovery found and did. Equal to the default if the table was at rest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// The decided commit whose files were put in place now.
    pub rolled_forward: Option<u64>,
    /// Runs whose staged files were dropped; a name of the staging area where the run is not known.
    pub dropped: Vec<String>,
}

impl Recovery {
    /// Whether there was nothing to do.
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

/// Recovers under a lease. `newest` is the newest record as it was found after the lease was taken; given back is the
/// newest one now. Idempotent: it may be cut off at any call and run again by any process (T-6).
pub(crate) async fn recover(
    store: &Arc<dyn Store>,
    lease: &Lease,
    mut newest: Option<Newest>,
) -> Result<(Recovery, Option<Newest>)> {
    let store = store.as_ref();
    let mut recovery = Recovery::default();
    if let Some(found) = newest
        && !found.done
    {
        finish(store, found.number, &mut recovery).await?;
    }
    let mut leftovers: BTreeMap<String, Leftover> = BTreeMap::new();
    for name in store.list("intents").await? {
        let Some(token) = parse::attempt_of_intent(&name) else {
            leave_alone(store, "intents", &name);
            continue;
        };
        let intent = log::read_intent(store, token).await?;
        if let Some(intent) = &intent {
            let whence = format!("run {}", intent.run_id);
            log::expect(store, newest, intent.base, &whence).await?;
        }
        leftovers.insert(token.to_owned(), Leftover::Announced(intent));
    }
    if !lease.is_exclusive() {
        fence(store, lease, &leftovers, &mut newest, &mut recovery).await?;
    }
    // Whatever is staged now belongs to no commit: decided ones are in place, and no other run can decide one.
    for token in store.list_staged().await? {
        if !parse::is_attempt(&token) {
            leave_alone(store, "staging", &token);
            continue;
        }
        leftovers.entry(token).or_insert(Leftover::Staged);
    }
    let committed = match newest {
        Some(newest) if !leftovers.is_empty() => {
            Some(log::read_record(store, newest.number).await?.token)
        }
        _ => None,
    };
    for (token, leftover) in leftovers {
        drop_attempt(store, &token).await?;
        if committed.as_ref() != Some(&token) {
            recovery.dropped.push(leftover.run_id().unwrap_or(token));
        }
    }
    store.sweep().await?;
    if !recovery.is_clean() {
        info!(
            table = store.location(),
            rolled_forward = recovery.rolled_forward,
            dropped = recovery.dropped.len(),
            "recovered the table"
        );
    }
    Ok((recovery, newest))
}

/// T-5: what is not named as an attempt is nobody's of ours.
fn leave_alone(store: &dyn Store, folder: &str, name: &str) {
    warn!(
        table = store.location(),
        folder,
        name = format!("{name:?}"),
        "left alone what no run is named as"
    );
}

/// What a run left: its intent, if it can be read, or staged files alone.
#[derive(Debug)]
enum Leftover {
    Announced(Option<Intent>),
    Staged,
}

impl Leftover {
    fn run_id(self) -> Option<String> {
        match self {
            Self::Announced(Some(intent)) => Some(intent.run_id),
            Self::Announced(None) | Self::Staged => None,
        }
    }

    /// Whether the run might still commit, being the one that makes the record after `newest`.
    fn may_decide(&self, newest: u64) -> bool {
        match self {
            Self::Announced(Some(intent)) => intent.base >= newest,
            Self::Announced(None) => true,
            // Files without an intent were staged after their run was fenced off.
            Self::Staged => false,
        }
    }
}

async fn finish(store: &dyn Store, number: u64, recovery: &mut Recovery) -> Result<()> {
    let record = log::read_decided(store, number).await?;
    warn!(
        table = store.location(),
        commit = number,
        run_id = record.run_id,
        "finishing a commit"
    );
    // Whoever wrote it may have died before it was durable, and what is built on it now would outlast it.
    store
        .make_durable("commits")
        .await
        .map_err(|source| Error::NotDurable {
            table: store.location().to_owned(),
            number,
            source,
        })?;
    roll_forward(store, &record).await?;
    clear(store, &record.token).await;
    recovery.rolled_forward = Some(number);
    Ok(())
}

/// Makes sure that no run which announced itself can commit any more (T-4). Such a run may be paused anywhere, even right
/// before the put that decides, with all its checks behind it; all it can do then is to create the next record. So that
/// record is created here, and changes nothing. If it is there already, that run has committed, and is finished instead.
async fn fence(
    store: &dyn Store,
    lease: &Lease,
    leftovers: &BTreeMap<String, Leftover>,
    newest: &mut Option<Newest>,
    recovery: &mut Recovery,
) -> Result<()> {
    loop {
        let number = newest.map_or(0, |newest| newest.number);
        let fenced: Vec<String> = leftovers
            .iter()
            .filter(|(_, leftover)| leftover.may_decide(number))
            .map(|(token, leftover)| match leftover {
                Leftover::Announced(Some(intent)) => intent.run_id.clone(),
                _ => token.clone(),
            })
            .collect();
        if fenced.is_empty() {
            return Ok(());
        }
        // A recovery that was itself paused and lost its lease must not fence off the run that has it now.
        lease.check(store).await?;
        let base = match newest {
            Some(newest) => log::read_state(store, newest.number).await?,
            None => None,
        };
        let next = number + 1;
        let token = format!("fence-{}", uuid::Uuid::new_v4());
        let record = Record::fence(
            next,
            base.as_ref(),
            &fenced.join(", "),
            token,
            lease.epoch(),
        );
        let key = log::record_key(next);
        let put = store
            .put_if_absent(&key, log::to_json(&key, &record)?)
            .await;
        let won = match &put {
            Ok(true) => true,
            // An answer may be lost on the way: whose record is it?
            Ok(false) | Err(_) => match store.read(&key).await? {
                Some(content) => {
                    let found: Record = log::from_json(&log::full_path(store, &key), &content)?;
                    found.token == record.token
                }
                None => {
                    put?;
                    return Err(lease.lost(store));
                }
            },
        };
        *newest = Some(Newest {
            number: next,
            done: won,
        });
        if won {
            store
                .put_if_absent(&log::done_key(next), bytes::Bytes::new())
                .await?;
            info!(
                table = store.location(),
                commit = next,
                fenced = fenced.join(", "),
                "fenced off a run that did not end"
            );
            // Each of them began after a record that is there, so this was the last number that it could take. One whose
            // announcement cannot be read would otherwise be fenced off for ever.
            return Ok(());
        }
        finish(store, next, recovery).await?;
    }
}

/// Carries a decided commit out and marks it done. May be repeated from any point. The run's traces are the caller's to
/// clear.
///
/// New files come before old ones go: a reader may see rows twice for a moment, never not at all.
///
/// Gives the longest time that readers could see a partition with both its new and its old files; `None` if every
/// partition changed in one step.
///
/// # Errors
/// [`Error::RollForward`]: the commit stands, and the next run finishes it.
pub(crate) async fn roll_forward(store: &dyn Store, record: &Record) -> Result<Option<Duration>> {
    let window = put_in_place(store, record)
        .await
        .map_err(|source| Error::RollForward {
            table: store.location().to_owned(),
            number: record.number,
            source,
        })?;
    Ok(window)
}

/// Drops the traces of a run that has nothing left to do. A failure is no failure of the run: the commit, if any, is
/// done, and the next recovery drops them as well. Gives what went wrong.
pub(crate) async fn clear(store: &dyn Store, token: &str) -> Option<String> {
    let error = drop_attempt(store, token).await.err()?;
    warn!(table = store.location(), %error, "could not clear the staging area; the next run will");
    Some(error.to_string())
}

/// Drops what a run staged, then its intent: as long as that is there, the rest is looked for.
pub(crate) async fn drop_attempt(store: &dyn Store, token: &str) -> StoreResult<()> {
    store.abort(token).await?;
    store.delete(&log::intent_key(token)).await
}

/// The files of one partition, or of several that are put in place together.
#[derive(Debug, Default)]
struct Group {
    new: Vec<AddedFile>,
    /// These replace a published file in one step.
    replacing: Vec<AddedFile>,
    removed: Vec<String>,
}

impl Group {
    /// Whether a partition changes in more than one step, so that readers can see it in between.
    fn is_torn(&self) -> bool {
        let partitions = |files: &[AddedFile]| -> BTreeSet<String> {
            files
                .iter()
                .map(|added| added.file.partition().to_owned())
                .collect()
        };
        let (new, replacing) = (partitions(&self.new), partitions(&self.replacing));
        let removed = self.removed.iter().map(|path| partition_of(path));
        !new.is_disjoint(&replacing)
            || removed
                .into_iter()
                .any(|partition| new.contains(partition) || replacing.contains(partition))
    }
}

async fn put_in_place(store: &dyn Store, record: &Record) -> StoreResult<Option<Duration>> {
    let parallel = store.parallel_partitions();
    // One after the other, all new files are made durable at once: cheaper than once for each partition.
    let group_of = |path: &str| {
        let partition = if parallel > 1 { partition_of(path) } else { "" };
        partition.to_owned()
    };
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for added in &record.added {
        let group = groups.entry(group_of(&added.file.path)).or_default();
        let files = if added.replaces {
            &mut group.replacing
        } else {
            &mut group.new
        };
        files.push(added.clone());
    }
    // T-5: only files that a record names are ever removed.
    for path in &record.removed {
        let group = groups.entry(group_of(path)).or_default();
        group.removed.push(path.clone());
    }
    let groups: Vec<Group> = groups.into_values().collect();
    let window = stream::iter(groups)
        .map(|group| put_group(store, group))
        .buffer_unordered(parallel)
        .try_fold(
            None,
            |longest, window| async move { Ok(window.max(longest)) },
        )
        .await?;
    store
        .put_if_absent(&log::done_key(record.number), bytes::Bytes::new())
        .await?;
    Ok(window)
}

/// New files come first, then those that replace one, then the old ones go: a reader may see rows twice for a moment,
/// never not at all. Each step is durable before the next begins.
async fn put_group(store: &dyn Store, group: Group) -> StoreResult<Option<Duration>> {
    let begun = Instant::now();
    let torn = group.is_torn();
    for files in [group.new, group.replacing] {
        let folders = folders_of(files.iter().map(|added| added.file.path.as_str()));
        stream::iter(files)
            .map(|added| async move { store.complete(&added.expected(), &added.file.path).await })
            .buffer_unordered(store.parallel_partitions())
            .try_collect::<()>()
            .await?;
        settle(store, &folders).await?;
    }
    let folders = folders_of(group.removed.iter().map(String::as_str));
    stream::iter(group.removed)
        .map(|path| async move { store.remove(&path).await })
        .buffer_unordered(store.parallel_partitions())
        .try_collect::<()>()
        .await?;
    settle(store, &folders).await?;
    Ok(torn.then(|| begun.elapsed()))
}

async fn settle(store: &dyn Store, folders: &[String]) -> StoreResult<()> {
    if folders.is_empty() {
        return Ok(());
    }
    store.settle(folders).await
}

fn folders_of<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<String> {
    let folders: BTreeSet<&str> = paths.map(partition_of).collect();
    folders.into_iter().map(str::to_owned).collect()
}

fn partition_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(partition, _)| partition)
}
