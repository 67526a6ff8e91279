//! Opening sources, reading them to the end, waiting for conditions.

use std::collections::BTreeMap;
use std::error::Error;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use connectors::RetryPolicy;
use connectors::record::Record;
use connectors::source::{
    ClientSettings, Control, Extract, ExtractError, MetricsSnapshot, Open, OpenError, OptionValue,
    Quarantined, open,
};
use futures::StreamExt;

/// What a test returns when its surroundings fail.
pub(crate) type Outcome = Result<(), Box<dyn Error>>;

/// Retries without the waiting.
pub(crate) fn quick() -> ClientSettings {
    let delay = Duration::from_millis(2);
    ClientSettings {
        retry: Some(RetryPolicy {
            max_attempts: NonZeroU32::MIN.saturating_add(5),
            first_delay: delay,
            max_delay: delay,
            max_retry_after: Duration::from_secs(1),
            max_total: Duration::from_secs(30),
        }),
        ..ClientSettings::default()
    }
}

pub(crate) fn plain(options: &[(&str, &str)]) -> BTreeMap<String, OptionValue> {
    options
        .iter()
        .map(|(name, value)| ((*name).to_owned(), OptionValue::from(*value)))
        .collect()
}

/// Opens the bugs of `ada-example` on a server.
pub(crate) fn bugs(root: &str, more: &[(&str, &str)]) -> Result<Arc<dyn Extract>, OpenError> {
    let mut options = plain(&[("member", "ada-example"), ("service_root", root)]);
    options.extend(plain(more));
    open(Open {
        kind: "LAUNCHPAD",
        location: "bugs",
        options,
        settings: quick(),
    })
}

/// Everything that an extraction brought.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) units: Vec<String>,
    pub(crate) records: Vec<Record>,
    pub(crate) quarantined: Vec<Quarantined>,
    pub(crate) error: Option<ExtractError>,
    pub(crate) metrics: MetricsSnapshot,
}

impl Read {
    /// The keys of the records, sorted.
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self
            .records
            .iter()
            .map(|record| record.key.clone())
            .collect();
        keys.sort();
        keys
    }

    /// Whether every entry is accounted for.
    pub(crate) fn adds_up(&self) -> bool {
        let metrics = &self.metrics;
        let landed = self.records.len() as u64;
        let quarantined = self.quarantined.len() as u64;
        (metrics.entries_landed, metrics.entries_quarantined) == (landed, quarantined)
            && metrics.entries_fetched == landed + quarantined + metrics.entries_filtered
    }
}

pub(crate) async fn read(source: &Arc<dyn Extract>) -> Read {
    read_with(source, Control::default()).await
}

pub(crate) async fn read_with(source: &Arc<dyn Extract>, control: Control) -> Read {
    let metrics = Arc::clone(&control.metrics);
    let mut units = Arc::clone(source).units(control);
    let mut read = Read::default();
    while let Some(unit) = units.next().await {
        assert!(read.error.is_none(), "something came after an error");
        match unit {
            Ok(unit) => {
                read.units.push(unit.key);
                read.records.extend(unit.records);
                read.quarantined.extend(unit.quarantined);
            }
            Err(error) => read.error = Some(error),
        }
    }
    read.metrics = metrics.snapshot();
    read
}

/// Waits until the condition holds; false when it does not within ten seconds.
pub(crate) async fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    true
}

/// Waits until a number stands still for a while, and returns it.
pub(crate) async fn settled(mut number: impl FnMut() -> usize) -> usize {
    let mut last = (number(), Instant::now());
    while last.1.elapsed() < Duration::from_millis(300) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if number() != last.0 {
            last = (number(), Instant::now());
        }
    }
    last.0
}
