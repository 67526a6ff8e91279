//! The right to write a table: an exclusive lock that dies with its process, and an epoch that grows with every
//! holder. Owns `lease.json`; does not decide what the holder does.
//!
//! The lock keeps two live runs apart; the epoch makes sure that a run which lost its lock without noticing (someone
//! deleted the control folder) cannot commit (T-4). Where the lock is one that a paused run can lose, recovery fences
//! that run off (`recover`).

pub(crate) mod holder;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::error::{Error, Result};
use crate::log::{self, ControlFile, Newest, from_json, full_path, to_json};
use crate::parse;
use crate::store::{Lock, Store};

pub use holder::LeaseHolder;

const KEY: &str = "lease.json";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LeaseRecord {
    version: u64,
    #[serde(deserialize_with = "parse::number")]
    epoch: u64,
    #[serde(deserialize_with = "parse::line")]
    run_id: String,
    pid: u32,
    since: DateTime<Utc>,
    /// The newest commit when the lease was taken: one that is missing later was lost.
    #[serde(default, deserialize_with = "parse::number")]
    newest: u64,
}

impl ControlFile for LeaseRecord {
    fn check(&self) -> std::result::Result<(), String> {
        // The next holder's is greater by one.
        if self.epoch < parse::MAX_NUMBER {
            return Ok(());
        }
        Err(format!("there is no epoch after {}", self.epoch))
    }
}

/// The lease while this run has it; given back when dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    lock: Box<dyn Lock>,
    record: LeaseRecord,
}

impl Lease {
    /// Takes the lease with the next epoch, or says who has it. Gives the newest record of the log as well, which was
    /// looked at under the lease: its epoch counts too, in case the lease file was lost.
    ///
    /// # Errors
    /// [`Error::LeaseHeld`] while another run is alive; nothing is written then.
    pub(crate) async fn acquire(store: &dyn Store, run_id: &str) -> Result<(Self, Option<Newest>)> {
        let Some(lock) = store.lock().await? else {
            let holder = match read(store).await {
                Ok(Some(record)) => LeaseHolder {
                    run_id: Some(record.run_id),
                    pid: Some(record.pid),
                    since: Some(record.since),
                },
                Ok(None) | Err(_) => LeaseHolder {
                    run_id: None,
                    pid: None,
                    since: None,
                },
            };
            return Err(Error::LeaseHeld {
                table: store.location().to_owned(),
                holder,
            });
        };
        let newest = log::newest(store).await?;
        let committed_epoch = match newest {
            Some(newest) => log::read_record(store, newest.number).await?.epoch,
            None => 0,
        };
        let last = read(store).await?;
        let last_epoch = last.as_ref().map_or(0, |record| record.epoch);
        let known = last.map_or(0, |record| record.newest);
        log::expect(store, newest, known, "the lease of the last run").await?;
        let record = LeaseRecord {
            version: 1,
            epoch: last_epoch.max(committed_epoch) + 1,
            newest: newest.map_or(0, |newest| newest.number),
            run_id: run_id.to_owned(),
            pid: std::process::id(),
            since: Utc::now(),
        };
        store.put(KEY, to_json(KEY, &record)?).await?;
        Ok((Self { lock, record }, newest))
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.record.epoch
    }

    /// Whether a holder before this one cannot act any more; otherwise it must be fenced off.
    pub(crate) fn is_exclusive(&self) -> bool {
        self.lock.is_exclusive()
    }

    /// Gives the lease back. A failure is no failure of the run: the lease is free when its time is over.
    pub(crate) async fn release(&self, store: &dyn Store) {
        if let Err(error) = self.lock.release().await {
            warn!(table = store.location(), %error, "could not give the lease back");
        }
    }

    /// # Errors
    /// [`Error::LeaseLost`] if another run may have taken the lease (T-4).
    pub(crate) async fn check(&self, store: &dyn Store) -> Result<()> {
        if self.lock.is_held().await?
            && read(store)
                .await?
                .is_some_and(|record| record == self.record)
        {
            return Ok(());
        }
        Err(self.lost(store))
    }

    pub(crate) fn lost(&self, store: &dyn Store) -> Error {
        Error::LeaseLost {
            table: store.location().to_owned(),
            epoch: self.record.epoch,
        }
    }
}

async fn read(store: &dyn Store) -> Result<Option<LeaseRecord>> {
    match store.read(KEY).await? {
        Some(content) => from_json(&full_path(store, KEY), &content).map(Some),
        None => Ok(None),
    }
}
