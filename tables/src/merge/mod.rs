//! Merging arriving rows into published ones: copy on write. Owns which row wins, which published rows go, and how much
//! memory that takes; the files are written by `write` and published like any others.
//!
//! - A published row goes when a row with its key arrives: in its partition, or anywhere if the key is the table's
//!   (`table_wide`).
//! - Among arriving rows with one key the winner is chosen by values alone (`winners`), never by the order of arrival.
//! - NULL in a key equals NULL, so that a rerun replaces its own rows.
//!
//! Only touched partitions are read and written. The plans are the engine's and spill their sorts; the keys of a join are
//! held in memory. A merge that exhausts the memory pool is tried again in one stream, then with joins that sort instead.

mod attempt;
mod partition;
mod table_wide;
mod winners;
mod work;

use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::prelude::SessionContext;
use futures::{StreamExt, stream};
use tracing::warn;

use crate::error::Result;
use crate::log::DataFile;
use crate::staging::Staging;
use crate::write::StagedFile;

use attempt::{Attempt, is_exhausted, memory_given_back};
use partition::{Merge, Outcome, failed};
pub(crate) use table_wide::resolve as resolve_table_wide;
pub(crate) use work::{Merged, Work};

/// Partitions merged at a time where memory allows: each is encoded by one thread.
const PARTITIONS_AT_A_TIME: usize = 2;
/// The memory pool must hold so many row groups for that: an encoder holds one, the joins and sorts before it want more.
const MIN_ROW_GROUPS: usize = 8;

/// Merges the partitions, two at a time if the memory pool has room for that. In the order of `work`.
pub(crate) async fn merge(
    staging: &Staging,
    ctx: &SessionContext,
    work: Vec<Work>,
) -> Result<Vec<Merged>> {
    let mut done = Vec::with_capacity(work.len());
    let mut running = stream::iter(
        work.into_iter()
            .map(|work| first_attempt(staging, ctx, work)),
    )
    .buffered(at_a_time(staging, ctx));
    while let Some((work, outcome)) = running.next().await {
        done.push((work, outcome?));
    }
    drop(running);
    let mut merged = Vec::with_capacity(done.len());
    for (work, outcome) in done {
        merged.push(match outcome {
            Some(merged) => merged.of(work),
            // One by one, now that nothing else holds memory.
            None => again(staging, ctx, &work).await?.of(work),
        });
    }
    Ok(merged)
}

/// `None` in place of an outcome if memory did not suffice.
async fn first_attempt(
    staging: &Staging,
    ctx: &SessionContext,
    work: Work,
) -> (Work, Result<Option<Outcome>>) {
    let outcome = Merge::new(staging, ctx.clone(), &work.partition, Attempt::Usual)
        .run(&work)
        .await;
    let outcome = match outcome {
        Ok(outcome) => Ok(Some(outcome)),
        Err(error) if is_exhausted(&error) => {
            warn!(partition = work.partition, %error, "the merge did not fit in memory; it is tried again alone");
            Ok(None)
        }
        Err(error) => Err(failed(staging, &work.partition, error)),
    };
    (work, outcome)
}

async fn again(staging: &Staging, ctx: &SessionContext, work: &Work) -> Result<Outcome> {
    memory_given_back(ctx).await;
    let merge = Merge::new(
        staging,
        Attempt::OneStream.session(ctx),
        &work.partition,
        Attempt::OneStream,
    );
    let outcome = match merge.run(work).await {
        Err(error) if is_exhausted(&error) => {
            warn!(partition = work.partition, %error, "the keys do not fit in memory; the merge is tried again with joins that sort");
            memory_given_back(ctx).await;
            let ctx = Attempt::SortedJoins.session(ctx);
            Merge::new(staging, ctx, &work.partition, Attempt::SortedJoins)
                .run(work)
                .await
        }
        outcome => outcome,
    };
    outcome.map_err(|error| failed(staging, &work.partition, error))
}

/// Writes the rows of published files again, with the table's present schema, and `arrived` rows among them.
pub(crate) async fn rewrite(
    staging: &Staging,
    ctx: &SessionContext,
    partition: &str,
    published: &[DataFile],
    arrived: &[StagedFile],
) -> Result<Vec<StagedFile>> {
    let usual = Merge::new(staging, ctx.clone(), partition, Attempt::Usual);
    let written = match usual.rewrite(published, arrived).await {
        Err(error) if is_exhausted(&error) => {
            memory_given_back(ctx).await;
            let ctx = Attempt::OneStream.session(ctx);
            Merge::new(staging, ctx, partition, Attempt::OneStream)
                .rewrite(published, arrived)
                .await
        }
        written => written,
    };
    written.map_err(|error| failed(staging, partition, error))
}

fn at_a_time(staging: &Staging, ctx: &SessionContext) -> usize {
    let room = match ctx.runtime_env().memory_pool.memory_limit() {
        MemoryLimit::Finite(bytes) => bytes / staging.options().row_group_bytes >= MIN_ROW_GROUPS,
        MemoryLimit::Infinite | MemoryLimit::Unknown => true,
    };
    let streams = ctx.state().config().target_partitions();
    if room {
        PARTITIONS_AT_A_TIME.min(streams).max(1)
    } else {
        1
    }
}
