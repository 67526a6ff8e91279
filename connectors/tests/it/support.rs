//! Opening sources, reading them to the end, waiting for conditions.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use connectors::extract::{Control, Extract, ExtractError, MetricsSnapshot, Quarantined};
use connectors::option::OptionValue;
use connectors::source::{Declared, OpenError, SourceFactory};
use connectors::{Api, SpecError};
use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use futures::StreamExt;

/// What a test returns when its surroundings fail.
pub(crate) type Outcome = Result<(), Box<dyn Error>>;

/// A spec with retries that do not wait.
pub(crate) fn quick(spec: &str) -> String {
    let numbers = "[defaults]\nfirst_delay = \"2ms\"\nmax_delay = \"2ms\"\nmax_retry_after = \"1s\"\nmax_total = \"30s\"\n";
    spec.replacen("[defaults]\n", numbers, 1)
}

/// Launchpad, by a spec with retries that do not wait.
pub(crate) fn launchpad() -> Result<Api, SpecError> {
    let spec = quick(include_str!("../../specs/launchpad.toml"));
    Api::new("LAUNCHPAD", "launchpad.toml", &spec)
}

/// A location with options.
pub(crate) fn declared(location: &str, options: &[(&str, &str)]) -> Declared {
    let options = options.iter();
    Declared {
        location: location.to_owned(),
        options: options
            .map(|(name, value)| ((*name).to_owned(), Some(OptionValue::from(*value))))
            .collect(),
        ..Declared::default()
    }
}

/// Opens the bugs of `ada-example` on a server.
pub(crate) fn bugs(root: &str, more: &[(&str, &str)]) -> Result<Arc<dyn Extract>, OpenError> {
    let mut options = vec![("member", "ada-example"), ("service_root", root)];
    options.extend(more);
    let api = launchpad().expect("the spec that comes with the product is right");
    api.open(&declared("bugs", &options))
}

/// A record as it lands.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) resource: String,
    pub(crate) unit: String,
    pub(crate) key: String,
    pub(crate) position: Option<i64>,
    pub(crate) record: String,
    pub(crate) parent: Option<String>,
    pub(crate) root: Option<String>,
    pub(crate) actor: Option<String>,
}

/// The records of a batch.
fn records(batch: &RecordBatch) -> Vec<Record> {
    let column = |name: &str| batch.column_by_name(name).map(Arc::clone);
    let text = |name: &str| -> Vec<Option<String>> {
        let column = column(name).and_then(|column| cast(&column, &DataType::Utf8).ok());
        column
            .iter()
            .flat_map(|column| column.as_string::<i32>().iter())
            .map(|text| text.map(str::to_owned))
            .collect()
    };
    let (resource, unit, key) = (text("resource"), text("unit"), text("key"));
    let (record, parent) = (text("record"), text("parent"));
    let (root, actor) = (text("root"), text("actor"));
    let position: Vec<Option<i64>> = column("position")
        .iter()
        .flat_map(|column| column.as_primitive::<Int64Type>().iter())
        .collect();
    (0..batch.num_rows())
        .map(|row| Record {
            resource: resource[row].clone().unwrap_or_default(),
            unit: unit[row].clone().unwrap_or_default(),
            key: key[row].clone().unwrap_or_default(),
            position: position[row],
            record: record[row].clone().unwrap_or_default(),
            parent: parent[row].clone(),
            root: root[row].clone(),
            actor: actor[row].clone(),
        })
        .collect()
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
                read.records.extend(unit.records.iter().flat_map(records));
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
