//! The extract stage: from a source's stream of units to landed chunks, quarantine and ledger.
//!
//! Owns the loop and what is kept when it ends early. How records are fetched is the connector's, how they are stored
//! [`landing`](super::landing)'s.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::Utc;
use connectors::extract::{Control, Extract, ExtractError, Metrics, MetricsSnapshot, Quarantined};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::context::RunContext;
use super::error::RunError;
use super::landing::{Landed, Landing};
use crate::store;

/// What the extraction of one source did.
#[derive(Debug, Clone)]
pub struct Extracted {
    /// What has landed, earlier attempts included.
    pub landed: Landed,
    /// Units that an earlier attempt had landed.
    pub resumed_units: u64,
    /// What this attempt's requests came to.
    pub metrics: MetricsSnapshot,
    /// Times that extraction waited for memory.
    pub pauses: u64,
}

/// Extracts `source` until its stream ends.
///
/// A killed attempt's chunks are found again and their units are not asked for; what the stream gave before an error or
/// a cancellation is landed before this returns.
///
/// # Errors
/// [`RunError::Interrupted`] when cancelled, [`RunError::Extract`] when the source failed, else what landing failed with.
pub async fn extract(
    run: &RunContext,
    source: &str,
    extract: Arc<dyn Extract>,
    metrics: Arc<Metrics>,
) -> Result<Extracted, RunError> {
    let settings = &run.settings;
    let gate = run.memory.gate(settings.memory_threshold.value);
    let (mut landing, landed) =
        Landing::open(run, source, extract.schema(), Arc::clone(&gate)).await?;
    let resumed_units = landed.len() as u64;
    if run.attempt.number > 1 {
        run.store
            .retain_quarantined(run.attempt, source, &landed)
            .await?;
    }
    run.snapshot(&format!("extract {source} start")).await?;
    let stop = CancellationToken::new();
    let control = Control {
        landed: is_in(landed),
        gate: Arc::clone(&gate) as _,
        cancel: stop.clone(),
        metrics: Arc::clone(&metrics),
    };
    let mut measured = landing.totals().chunks;
    let outcome = land_all(
        run,
        source,
        extract,
        control,
        &mut landing,
        &gate,
        &mut measured,
    )
    .await;
    stop.cancel();
    // What came before an error is worth keeping: the next attempt goes on from there.
    let landed = landing.finish().await;
    outcome?;
    let landed = landed?;
    measure(run, &mut measured, landed.chunks).await?;
    run.snapshot(&format!("extract {source} end")).await?;
    Ok(Extracted {
        landed,
        resumed_units,
        metrics: metrics.snapshot(),
        pauses: gate.pauses(),
    })
}

/// Keeps a measurement of memory for each chunk that landed since the last one.
async fn measure(run: &RunContext, measured: &mut u64, landed: u64) -> Result<(), RunError> {
    while *measured < landed {
        *measured += 1;
        run.snapshot(&format!("chunk {measured}")).await?;
    }
    Ok(())
}

async fn land_all(
    run: &RunContext,
    source: &str,
    extract: Arc<dyn Extract>,
    control: Control,
    landing: &mut Landing,
    gate: &super::memory::MemoryGate,
    measured: &mut u64,
) -> Result<(), RunError> {
    let mut units = extract.units(control);
    loop {
        let unit = tokio::select! {
            biased;
            () = run.stop.asked() => return Err(run.interrupted()),
            () = gate.flush_wanted() => {
                landing.finish().await?;
                continue;
            }
            whole = landing.whole() => {
                landing.enter(whole?).await?;
                measure(run, measured, landing.totals().chunks).await?;
                continue;
            }
            unit = units.next() => unit,
        };
        let mut unit = match unit {
            None => return Ok(()),
            Some(Err(ExtractError::Cancelled)) => return Err(run.interrupted()),
            Some(Err(source_error)) => {
                return Err(RunError::Extract {
                    table: String::from(source),
                    source: source_error,
                });
            }
            Some(Ok(unit)) => unit,
        };
        let quarantined = std::mem::take(&mut unit.quarantined);
        let whole = unit.records.is_empty() && !quarantined.is_empty();
        if !quarantined.is_empty() {
            let items: Vec<_> = quarantined
                .into_iter()
                .map(|item| kept(source, item))
                .collect();
            run.store.add_quarantined(run.attempt, &items).await?;
        }
        // A unit that could not be read at all has not landed: the next attempt asks for it again.
        if !whole {
            landing.add(unit).await?;
        }
        measure(run, measured, landing.totals().chunks).await?;
    }
}

fn is_in(landed: HashSet<String>) -> connectors::extract::Landed {
    Arc::new(move |key| landed.contains(key))
}

fn kept(source: &str, item: Quarantined) -> store::Quarantined {
    store::Quarantined {
        source: String::from(source),
        unit: Some(item.unit),
        resource: Some(item.resource),
        url: item.url,
        reason: item.reason,
        class: String::from(item.class),
        body: item.body,
        row: None,
        at: Utc::now(),
    }
}
