//! `pipelines plan`: what a run would read, do, write and replace. Never writes.

use datafusion::logical_expr::LogicalPlan;
use serde::Serialize;
use tables::Table;

use super::Session;
use super::exit::ExitStatus;
use super::printer::Output as Form;
use super::report;
use super::run::SelectionArguments;
use language::{Output, Source};
use runner::decide::decide;
use runner::error::RunError;
use runner::estimate::{self, Estimate};
use runner::quantity::{bytes, count};
use runner::settings::RunSettings;
use runner::store::RunMode;
use runner::{Prepared, outputs, prepare, sample, sources};

/// What to plan.
#[derive(Debug, clap::Args)]
pub(super) struct PlanArguments {
    #[command(flatten)]
    selection: SelectionArguments,
}

/// What a run would do.
#[derive(Debug, Serialize)]
struct Preview {
    pipeline: String,
    mode: RunMode,
    reason: String,
    settings: RunSettings,
    sources: Vec<SourcePreview>,
    steps: Vec<StepPreview>,
    outputs: Vec<OutputPreview>,
}

#[derive(Debug, Serialize)]
struct SourcePreview {
    table: String,
    kind: String,
    reads: String,
    items: Option<u64>,
    rows: Option<u64>,
    bytes: Option<u64>,
    exact: bool,
    estimate_from: String,
}

impl SourcePreview {
    fn new(source: &Source, reads: String, items: Option<u64>, estimate: &Estimate) -> Self {
        Self {
            table: estimate.table.clone(),
            kind: source.kind.to_string(),
            reads,
            items,
            rows: estimate.rows,
            bytes: estimate.bytes,
            exact: estimate.exact,
            estimate_from: estimate.from.clone(),
        }
    }
}

#[derive(Debug, Serialize)]
struct StepPreview {
    name: String,
    plan: String,
}

#[derive(Debug, Serialize)]
struct OutputPreview {
    name: String,
    location: String,
    publish: String,
    partition_by: Vec<String>,
    key: Vec<String>,
    now: String,
    effect: String,
}

pub(super) async fn plan(
    session: &Session,
    arguments: &PlanArguments,
) -> Result<ExitStatus, RunError> {
    show(session, &arguments.selection).await
}

/// Shows what a run of the selection would do.
pub(super) async fn show(
    session: &Session,
    selection: &SelectionArguments,
) -> Result<ExitStatus, RunError> {
    let prepared = prepare(&selection.selection(session)?, &session.environment)?;
    let sample = match prepared.sample {
        true => Some(sample::start().await?),
        false => None,
    };
    let preview = preview(
        session,
        &prepared,
        sample.as_ref().map(standin::Standin::root),
    )
    .await;
    if let Some(sample) = sample {
        sample.shutdown().await;
    }
    let preview = preview?;
    match session.global.output {
        Form::Json => report::json(session.printer, &preview)?,
        Form::Text => text(session, &preview),
    }
    Ok(ExitStatus::Success)
}

async fn preview(
    session: &Session,
    prepared: &Prepared,
    sample: Option<url::Url>,
) -> Result<Preview, RunError> {
    let bound = &prepared.bound;
    let budget = runner::stations::budget(&prepared.settings);
    // Nothing is landed there: the folder gives the plan a schema and no rows.
    let nowhere = sources::Landed::in_folder(&session.state_dir().join("runs").join("plan"));
    let (ctx, planned) =
        runner::stations::plan(bound, &nowhere, &std::env::temp_dir(), &budget).await?;
    let extracted = sources::open_extracted(&bound.sources, &session.environment, sample.as_ref())?;
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
                let estimate = estimate::of_table(&ctx, source).await?;
                (source.location.clone(), None, estimate)
            }
        };
        previews.push(SourcePreview::new(source, reads, items, &estimate));
        estimates.push(estimate);
    }
    let mut outputs = Vec::new();
    for (output, _) in &planned.outputs {
        outputs.push(output_preview(output, &prepared.settings).await?);
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
) -> Result<OutputPreview, RunError> {
    let location = outputs::table_location(output);
    let failed = |source| RunError::Table {
        location: location.clone(),
        source: Box::new(source),
    };
    let options = outputs::table_options(output, settings);
    let current = Table::at(&location)
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
        name: outputs::name(output),
        publish: options.mode.to_string(),
        partition_by: options.partition_by,
        key: options.key,
        now,
        effect: String::from(effect),
        location,
    })
}

fn text(session: &Session, preview: &Preview) {
    let printer = session.printer;
    printer.data(format_args!(
        "{}: {} ({})",
        preview.pipeline, preview.mode, preview.reason
    ));
    printer.data("\nreads");
    for source in &preview.sources {
        printer.data(format_args!(
            "  {}  {}  {}",
            source.table, source.kind, source.reads
        ));
        let about = if source.exact { "" } else { "about " };
        let mut parts = Vec::new();
        parts.extend(
            source
                .items
                .map(|items| format!("{about}{}", count(items, "item"))),
        );
        parts.extend(
            source
                .rows
                .map(|rows| format!("{about}{}", count(rows, "row"))),
        );
        parts.extend(source.bytes.map(bytes));
        let size = if parts.is_empty() {
            String::from("size not known")
        } else {
            parts.join(", ")
        };
        printer.data(format_args!("    {size}  (from {})", source.estimate_from));
    }
    printer.data("\nsteps");
    for step in &preview.steps {
        printer.data(format_args!("  {}", step.name));
        for line in step.plan.lines() {
            let line: String = line.chars().take(160).collect();
            printer.data(format_args!("    {line}"));
        }
    }
    printer.data("\nwrites");
    for output in &preview.outputs {
        printer.data(format_args!("  {}  {}", output.name, output.location));
        printer.data(format_args!(
            "    publish {} by partitions ({})",
            output.publish,
            output.partition_by.join(", ")
        ));
        printer.data(format_args!("    now: {}", output.now));
        printer.data(format_args!("    a run {}", output.effect));
    }
    printer.data(format_args!(
        "\nmemory  {} ({:?})",
        bytes(preview.settings.memory.value),
        preview.settings.memory.origin
    ));
    printer.say("nothing was written; run it with: pipelines run …");
}
