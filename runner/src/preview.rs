//! What a run would read, do, write and replace. Never writes.

use std::sync::Arc;

use connectors::sample::Served;
use datafusion::logical_expr::LogicalPlan;
use engine::SessionOptions;
use language::{Output, Source};
use serde::Serialize;
use tables::{StorageOptions, Table};

use crate::decide::decide;
use crate::error::RunError;
use crate::estimate::{self, Estimate};
use crate::increment::{self, Look};
use crate::plan::plan;
use crate::quantity::count;
use crate::settings::RunSettings;
use crate::source_tables::{self, ExtractedTables};
use crate::store::RunMode;
use crate::{Prepared, Runner, Selection, Services, output as declared, prepare, sample, sources};

/// What a run would do.
#[derive(Debug, Serialize)]
pub struct Preview {
    /// The pipeline.
    pub pipeline: String,
    /// Where its queries would run.
    pub mode: RunMode,
    /// Why there.
    pub reason: String,
    /// The settings, with their origins.
    pub settings: RunSettings,
    /// What would be read.
    pub sources: Vec<SourcePreview>,
    /// What would be done.
    pub steps: Vec<StepPreview>,
    /// What would be written.
    pub outputs: Vec<OutputPreview>,
}

/// What would be read of a source.
#[derive(Debug, Serialize)]
pub struct SourcePreview {
    /// The table.
    pub table: String,
    /// Its kind.
    pub kind: String,
    /// What is read.
    pub reads: String,
    /// Items of a web API, if it tells.
    pub items: Option<u64>,
    /// Rows, if something tells.
    pub rows: Option<u64>,
    /// Bytes of its files.
    pub bytes: Option<u64>,
    /// Whether the numbers are counts.
    pub exact: bool,
    /// Where the numbers come from.
    pub estimate_from: String,
    /// Files that are under the location and not read, with why; of files only.
    pub left_out: Vec<String>,
}

impl SourcePreview {
    fn new(source: &Source, reads: String, items: Option<u64>, estimate: &Estimate) -> Self {
        Self {
            table: estimate.table.clone(),
            kind: source.kind.clone(),
            reads,
            items,
            rows: estimate.rows,
            bytes: estimate.bytes,
            exact: estimate.exact,
            estimate_from: estimate.from.clone(),
            left_out: Vec::new(),
        }
    }
}

/// A step and its plan.
#[derive(Debug, Serialize)]
pub struct StepPreview {
    /// Its name.
    pub name: String,
    /// The plan, as the engine writes it.
    pub plan: String,
}

/// What would become of an output.
#[derive(Debug, Serialize)]
pub struct OutputPreview {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub location: String,
    /// How it is published.
    pub publish: String,
    /// Columns of its partitions.
    pub partition_by: Vec<String>,
    /// Columns that tell its rows apart.
    pub key: Vec<String>,
    /// What is there now.
    pub now: String,
    /// What a run does to it.
    pub effect: String,
}

impl Runner {
    /// What a run of the selection would do.
    ///
    /// # Errors
    /// As [`Runner::run`], as far as a run comes before it extracts.
    pub async fn preview(&self, selection: &Selection) -> Result<Preview, RunError> {
        let prepared = prepare(
            selection,
            &self.services.environment,
            &self.services.registry,
        )?;
        let sample = sample::start(prepared.sample.as_deref()).await?;
        let preview = preview(&self.services, &prepared, sample.as_ref()).await;
        if let Some(sample) = sample {
            sample.stop.await;
        }
        preview
    }
}

async fn preview(
    services: &Services,
    prepared: &Prepared,
    sample: Option<&Served>,
) -> Result<Preview, RunError> {
    let bound = &prepared.bound;
    let budget = prepared.settings.budget();
    let storage = services.environment.storage();
    let look = Look {
        bound: bound.clone(),
        registry: Arc::clone(&services.registry),
        session: SessionOptions {
            storage: storage.clone(),
            budget: budget.clone(),
            spill_dir: std::env::temp_dir(),
            settings: bound.settings.clone(),
        },
        run: None,
    };
    let increments = increment::choose(look).await?.map(Arc::new);
    // Nothing is landed there: the folder gives the plan a schema and no rows.
    let nowhere = ExtractedTables::in_folder(
        &services.registry,
        &services.state_dir.join("runs").join("plan"),
    )
    .with_increments(increments.clone());
    let (ctx, planned) = plan(bound, &nowhere, &std::env::temp_dir(), &budget, &storage).await?;
    let extracted = sources::open_extracted(
        &bound.sources,
        &services.registry,
        &services.environment,
        sample,
    )?;
    let of_run = increments.as_deref();
    let surveys = source_tables::surveys(&ctx, &bound.sources, &services.registry, of_run).await?;
    let (mut previews, mut estimates) = (Vec::new(), Vec::new());
    for source in &bound.sources {
        let found = extracted
            .iter()
            .find(|extracted| extracted.table == source.name);
        let (reads, items, estimate) = match found {
            Some(found) => {
                let estimate =
                    found
                        .extract
                        .estimate()
                        .await
                        .map_err(|error| RunError::Extract {
                            table: source.name.clone(),
                            source: error,
                        })?;
                let rows = Estimate {
                    table: source.name.clone(),
                    rows: estimate.rows,
                    bytes: None,
                    exact: estimate.exact,
                    from: estimate.source,
                };
                (found.extract.describe(), estimate.items, rows)
            }
            None => {
                let estimate =
                    estimate::of_table(&ctx, source, &services.registry, &surveys).await?;
                let survey = surveys.get(&source.name);
                let reads = match survey.and_then(|survey| survey.detected.as_ref()) {
                    Some(detected) => format!("{} with {detected}", source.location),
                    None => source.location.clone(),
                };
                (reads, None, estimate)
            }
        };
        let mut preview = SourcePreview::new(source, reads, items, &estimate);
        let left_out = surveys.get(&source.name).into_iter();
        preview.left_out = left_out
            .flat_map(|survey| &survey.left_out)
            .map(|(name, why)| format!("{name} ({})", why.words()))
            .collect();
        previews.push(preview);
        estimates.push(estimate);
    }
    let mut outputs = Vec::new();
    for (output, _) in &planned.outputs {
        outputs.push(output_preview(output, &prepared.settings, &storage).await?);
    }
    let (mode, decision) = decide(&prepared.settings, &estimates);
    Ok(Preview {
        pipeline: prepared.definition.name.clone(),
        mode,
        reason: decision.reason,
        settings: prepared.settings.clone(),
        sources: previews,
        steps: planned
            .views
            .iter()
            .map(|(name, plan)| step(name, plan))
            .collect(),
        outputs,
    })
}

fn step(name: &str, plan: &LogicalPlan) -> StepPreview {
    StepPreview {
        name: String::from(name),
        plan: plan.display_indent().to_string(),
    }
}

async fn output_preview(
    output: &Output,
    settings: &RunSettings,
    storage: &StorageOptions,
) -> Result<OutputPreview, RunError> {
    let location = declared::table_location(output);
    let failed = |source| RunError::Table {
        location: location.clone(),
        source: Box::new(source),
    };
    let options = declared::table_options(output, settings);
    let current = Table::open(&location, storage)
        .map_err(failed)?
        .current()
        .await
        .map_err(failed)?;
    let now = current.as_ref().map_or_else(
        || String::from("not there yet"),
        |commit| {
            format!(
                "{} in {} of {}, commit {}",
                count(commit.totals.rows, "row"),
                count(commit.totals.files, "file"),
                count(commit.totals.partitions, "partition"),
                commit.number
            )
        },
    );
    let effect = match (&current, options.mode) {
        (None, _) => "makes the table",
        (Some(_), mode) => mode.effect(),
    };
    Ok(OutputPreview {
        name: declared::name(output),
        publish: options.mode.to_string(),
        partition_by: options.partition_by,
        key: options.key,
        now,
        effect: String::from(effect),
        location,
    })
}
