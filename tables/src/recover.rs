//! Bringing a table to rest after a run that did not end by itself: a decided commit is carried out, everything else
//! that was staged is dropped. Owns roll-forward, which publishing uses too; decides nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use tracing::{info, warn};

use crate::error::{Error, Result};
use crate::lease::Lease;
use crate::log::{self, Intent, Record};
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

/// Recovers under a lease. Idempotent: it may be cut off at any call and run again by any process (T-6).
pub(crate) async fn recover(store: &Arc<dyn Store>, _lease: &Lease) -> Result<Recovery> {
    let mut recovery = Recovery::default();
    let newest = log::newest(store.as_ref()).await?;
    if let Some(newest) = newest
        && !newest.done
    {
        let record = log::read_record(store.as_ref(), newest.number).await?;
        warn!(
            table = store.location(),
            commit = newest.number,
            run_id = record.run_id,
            "finishing a commit"
        );
        roll_forward(store.as_ref(), &record).await?;
        recovery.rolled_forward = Some(newest.number);
    }
    // Whatever is staged now belongs to no commit: decided ones are in place, and no other run is alive.
    let mut leftovers: BTreeSet<String> = store.list_staged().await?.into_iter().collect();
    let intents = store.list("intents").await?;
    leftovers.extend(
        intents
            .iter()
            .filter_map(|name| name.strip_suffix(".json"))
            .map(str::to_owned),
    );
    let committed = match newest {
        Some(newest) if !leftovers.is_empty() => {
            Some(log::read_record(store.as_ref(), newest.number).await?.token)
        }
        _ => None,
    };
    for token in leftovers {
        let key = log::intent_key(&token);
        let content = store.read(&key).await?.unwrap_or_default();
        store.abort(&token).await?;
        store.delete(&key).await?;
        if committed.as_ref() != Some(&token) {
            // A damaged intent is no reason to keep what it announced: nothing of it was decided.
            let intent = log::from_json::<Intent>(&key, &content);
            recovery
                .dropped
                .push(intent.map_or(token, |intent| intent.run_id));
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
    Ok(recovery)
}

/// Carries a decided commit out and marks it done. May be repeated from any point.
///
/// New files come before old ones go: a reader may see rows twice for a moment, never not at all.
///
/// # Errors
/// [`Error::RollForward`]: the commit stands, and the next run finishes it.
pub(crate) async fn roll_forward(store: &dyn Store, record: &Record) -> Result<()> {
    put_in_place(store, record)
        .await
        .map_err(|source| Error::RollForward {
            table: store.location().to_owned(),
            number: record.number,
            source,
        })?;
    clear(store, &record.token).await;
    Ok(())
}

/// Drops the traces of a run that has nothing left to do. A failure is no failure of the run: the commit, if any, is
/// done, and the next recovery drops them as well.
pub(crate) async fn clear(store: &dyn Store, token: &str) {
    let cleared = async {
        store.abort(token).await?;
        store.delete(&log::intent_key(token)).await
    };
    if let Err(error) = cleared.await {
        warn!(table = store.location(), %error, "could not clear the staging area; the next run will");
    }
}

async fn put_in_place(store: &dyn Store, record: &Record) -> StoreResult<()> {
    let mut folders = BTreeSet::new();
    for added in &record.added {
        store.complete(&added.expected(), &added.file.path).await?;
        folders.insert(added.file.partition().to_owned());
    }
    // New files must be durable before the first old one goes.
    let new_folders: Vec<String> = folders.iter().cloned().collect();
    if !new_folders.is_empty() {
        store.settle(&new_folders).await?;
    }
    // T-5: only files that a record names are ever removed.
    let mut old_folders = BTreeSet::new();
    for path in &record.removed {
        store.remove(path).await?;
        old_folders.insert(
            path.rsplit_once('/')
                .map_or("", |(partition, _)| partition)
                .to_owned(),
        );
    }
    let old_folders: Vec<String> = old_folders.into_iter().collect();
    if !old_folders.is_empty() {
        store.settle(&old_folders).await?;
    }
    store
        .put_if_absent(&log::done_key(record.number), bytes::Bytes::new())
        .await?;
    Ok(())
}
