//! `MEMORY`: batches and streams that a program hands to its own pipelines.
//!
//! Owns their names and how they become units, one a batch. They are extracted like any other source, so a pipeline over
//! them runs on a cluster too, and goes on after it was stopped.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::DataFusionError;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use language::nearest;

use crate::extract::{Control, Estimate, Extract, ExtractError, Unit};
use crate::option::{self, OptionProblem, OptionSpec};
use crate::source::{Declared, OpenError, Read, SourceFactory};

/// A stream of batches.
pub type Batches = BoxStream<'static, Result<RecordBatch, DataFusionError>>;

/// Tables that are held by this process, by the location that a definition names.
///
/// ```
/// use std::sync::Arc;
/// use connectors::{MemorySource, Registry};
/// use datafusion::arrow::array::{Int64Array, RecordBatch};
/// use datafusion::arrow::datatypes::{DataType, Field, Schema};
///
/// let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]));
/// let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from(vec![1, 2]))])?;
/// // CREATE EXTERNAL TABLE orders STORED AS MEMORY LOCATION 'orders';
/// let registry = Registry::builtin().with(MemorySource::default().batches("orders", schema, vec![batch]));
/// # assert!(registry.find("memory").is_ok());
/// # Ok::<(), datafusion::arrow::error::ArrowError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemorySource {
    tables: BTreeMap<String, Table>,
}

#[derive(Clone)]
struct Table {
    name: String,
    schema: SchemaRef,
    rows: Option<u64>,
    open: Arc<dyn Fn() -> Batches + Send + Sync>,
}

impl fmt::Debug for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Table")
            .field("name", &self.name)
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

impl MemorySource {
    /// These and one more, of batches.
    #[must_use]
    pub fn batches(self, name: &str, schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        let open = move || stream::iter(batches.clone().into_iter().map(Ok)).boxed();
        self.with(name, schema, Some(rows), open)
    }

    /// These and one more, of a stream that `open` begins anew. It must give the same batches each time: a run that goes
    /// on leaves out as many as it has.
    #[must_use]
    pub fn stream(
        self,
        name: &str,
        schema: SchemaRef,
        open: impl Fn() -> Batches + Send + Sync + 'static,
    ) -> Self {
        self.with(name, schema, None, open)
    }

    fn with(
        mut self,
        name: &str,
        schema: SchemaRef,
        rows: Option<u64>,
        open: impl Fn() -> Batches + Send + Sync + 'static,
    ) -> Self {
        let table = Table {
            name: name.to_owned(),
            schema,
            rows,
            open: Arc::new(open),
        };
        self.tables.insert(name.to_owned(), table);
        self
    }

    fn find(&self, location: &str) -> Result<&Table, OptionProblem> {
        self.tables.get(location).ok_or_else(|| {
            let names: Vec<&str> = self.tables.keys().map(String::as_str).collect();
            let message = format!("`{location}` is none of {}", names.join(", "));
            OptionProblem::new("location", message, nearest(location, names))
        })
    }
}

impl SourceFactory for MemorySource {
    fn kind(&self) -> &str {
        "MEMORY"
    }

    fn summary(&self) -> &str {
        "batches that the program holds"
    }

    fn options(&self) -> Vec<OptionSpec> {
        Vec::new()
    }

    fn read(&self, declared: &Declared) -> Read {
        let found = self.find(&declared.location);
        Read::Extracted(found.map_or_else(
            |_| Arc::new(Schema::empty()),
            |table| Arc::clone(&table.schema),
        ))
    }

    fn check(&self, declared: &Declared) -> Vec<OptionProblem> {
        let mut problems = option::check(&self.options(), &declared.options);
        problems.extend(self.find(&declared.location).err());
        problems
    }

    fn open(&self, declared: &Declared) -> Result<Arc<dyn Extract>, OpenError> {
        let problems = self.check(declared);
        match self.find(&declared.location) {
            Ok(table) if problems.is_empty() => Ok(Arc::new(table.clone())),
            _ => Err(OpenError::Options { problems }),
        }
    }
}

#[async_trait]
impl Extract for Table {
    fn describe(&self) -> String {
        format!("{} in memory", self.name)
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    async fn estimate(&self) -> Result<Estimate, ExtractError> {
        Ok(Estimate {
            items: None,
            rows: self.rows,
            exact: self.rows.is_some(),
            source: "the batches in memory".to_owned(),
        })
    }

    fn units(self: Arc<Self>, control: Control) -> BoxStream<'static, Result<Unit, ExtractError>> {
        let numbered = (self.open)().enumerate();
        let started = (numbered, Some(control));
        stream::unfold(started, |(mut batches, control)| async move {
            // Gone once an error was given: nothing comes after one.
            let control = control?;
            loop {
                let next = tokio::select! {
                    biased;
                    () = control.cancel.cancelled() => {
                        return Some((Err(ExtractError::Cancelled), (batches, None)));
                    }
                    next = async {
                        control.gate.ready().await;
                        batches.next().await
                    } => next,
                };
                let (number, batch) = next?;
                let batch = match batch {
                    Ok(batch) => batch,
                    Err(source) => {
                        let failed = ExtractError::Stream { source };
                        return Some((Err(failed), (batches, None)));
                    }
                };
                let (key, metrics) = (format!("batch-{number:06}"), &control.metrics);
                metrics.units_found().increment();
                if (control.landed)(&key) {
                    metrics.units_skipped().increment();
                    continue;
                }
                let rows = batch.num_rows() as u64;
                metrics.entries_fetched().add(rows);
                metrics.entries_landed().add(rows);
                metrics.units_done().increment();
                let unit = Unit {
                    key,
                    bytes: batch.get_array_memory_size(),
                    records: vec![batch],
                    quarantined: Vec::new(),
                };
                return Some((Ok(unit), (batches, Some(control))));
            }
        })
        .boxed()
    }
}
