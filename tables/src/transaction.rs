//! What makes a commit recognisable as a run's own: to the run itself when it is asked for again, and to others that
//! would add the same interval. Owns the search for it; decides nothing about what
//! is published.
//!
//! A process that dies after its decision cannot tell anybody that it decided. The record can: it names the run, and what
//! was asked for. So the next process asks the log before it does any work, and a commit of its own is *done*.

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};

use crate::commit::{CommitMode, Requirements};
use crate::error::{Error, Result};
use crate::log::{self, Commit, Interval, Record, Totals, Transaction};
use crate::recover::Recovery;
use crate::store::Store;

/// Records that are read ahead while the log is searched: on an object store each is a request.
const READ_AHEAD: usize = 8;

/// What a run shows to learn whether it committed before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Who publishes what. It is recorded with the commit.
    pub transaction: Transaction,
    /// The interval of data that the run covers.
    pub interval: Option<Interval>,
    /// Identifies the definition, to tell a changed one from other parameters.
    pub plan_fingerprint: Option<String>,
    /// The newest record when a run of this id first opened the table ([`crate::Staging::log_position`]): its commit, if
    /// there is one, came after. `None` if no process worked on this run before. 0 is always right, and searches the
    /// whole log.
    pub since: Option<u64>,
}

/// A commit that was made before by the run that asks, or by one that was asked for the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Committed {
    /// Its number.
    pub number: u64,
    /// The run that made it.
    pub run_id: String,
    /// When it was decided.
    pub committed_at: DateTime<Utc>,
    /// What kind of change it made.
    pub mode: CommitMode,
    /// Rows that its run staged, before any merge.
    pub rows_staged: u64,
    /// Rows that its run read from its sources.
    pub rows_read: Option<u64>,
    /// Rows that its run left out because they do not fit the schema.
    pub rows_discarded: u64,
    /// The files that it added.
    pub added: Totals,
    /// How many files it removed or replaced.
    pub files_removed: u64,
    /// The table as it is now.
    pub totals: Totals,
    /// What was put in order before it was looked for.
    pub recovery: Recovery,
}

impl Committed {
    pub(crate) fn of(record: Record, totals: Totals, recovery: Recovery) -> Self {
        let added = Totals::of(record.added.iter().map(|added| &added.file));
        let replaced = record.added.iter().filter(|added| added.replaces).count();
        Self {
            number: record.number,
            run_id: record.run_id,
            committed_at: record.committed_at,
            mode: record.mode,
            rows_staged: record.rows_staged.unwrap_or(added.rows),
            rows_read: record.rows_read,
            rows_discarded: record.rows_discarded,
            added,
            files_removed: (record.removed.len() + replaced) as u64,
            totals,
            recovery,
        }
    }
}

/// The record of a commit that is this run's own, among those up to `newest`.
///
/// A run finds what it committed itself, in whatever mode. An append of an interval finds what was committed of it by a run
/// that was asked for the same: other modes come to the same table when they are done again, an append would not.
///
/// # Errors
/// [`Error::IntervalCommitted`] if the interval of an append was committed by something else.
pub(crate) async fn find(
    store: &dyn Store,
    newest: u64,
    base: Option<&Commit>,
    run_id: &str,
    requirements: Requirements,
    claim: &Claim,
) -> Result<Option<Record>> {
    if let Some(since) = claim.since {
        let own = |record: &Record| {
            let output = record.transaction.as_ref().map(|by| &by.output);
            // A fence carries the name of the run before it.
            record.mode != CommitMode::Fence
                && record.run_id == run_id
                && output.is_none_or(|output| *output == claim.transaction.output)
        };
        if let Some(record) = search(store, since, newest, own).await? {
            return Ok(Some(record));
        }
    }
    let (true, Some(base), Some(interval)) = (requirements.new_interval, base, &claim.interval)
    else {
        return Ok(None);
    };
    if !base.has_interval(interval) {
        return Ok(None);
    }
    match by_interval(store, newest, interval).await? {
        Some(record) if record.transaction.as_ref() == Some(&claim.transaction) => Ok(Some(record)),
        found => Err(refusal(store, interval, found, Some(claim))),
    }
}

/// Why an append of an interval that the table holds is refused, where the run did not say who it is.
pub(crate) async fn refuse(store: &dyn Store, newest: u64, interval: &Interval) -> Error {
    match by_interval(store, newest, interval).await {
        Ok(found) => refusal(store, interval, found, None),
        Err(error) => error,
    }
}

fn refusal(
    store: &dyn Store,
    interval: &Interval,
    found: Option<Record>,
    claim: Option<&Claim>,
) -> Error {
    let by = match found {
        // The state says so, and no record does: only a snapshot knew.
        None => String::from("an earlier commit"),
        Some(record) => {
            let mut by = format!("commit {} of run {}", record.number, record.run_id);
            if let (Some(made), Some(claim)) = (&record.transaction, claim) {
                if made.application != claim.transaction.application {
                    by = format!("{by}, of pipeline '{}'", made.application);
                } else if record.plan_fingerprint != claim.plan_fingerprint {
                    by = format!("{by}, and the definition has changed since");
                } else {
                    by = format!("{by}, with other parameters or as another output");
                }
            }
            by
        }
    };
    Error::IntervalCommitted {
        table: store.location().to_owned(),
        interval: interval.clone(),
        by,
    }
}

async fn by_interval(
    store: &dyn Store,
    newest: u64,
    interval: &Interval,
) -> Result<Option<Record>> {
    search(store, 0, newest, |record| {
        record.interval.as_ref() == Some(interval)
    })
    .await
}

/// The newest record after number `since` that `is_it`.
async fn search(
    store: &dyn Store,
    since: u64,
    newest: u64,
    is_it: impl Fn(&Record) -> bool,
) -> Result<Option<Record>> {
    let records = stream::iter((since.saturating_add(1)..=newest).rev())
        .map(|number| log::read_record(store, number))
        .buffered(READ_AHEAD);
    let mut found = std::pin::pin!(records.try_filter(|record| std::future::ready(is_it(record))));
    found.try_next().await
}
