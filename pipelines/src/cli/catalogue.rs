//! `pipelines list`, `show` and `validate`: what there is, what it is, and whether it is right.

use std::path::PathBuf;

use serde::Serialize;

use super::exit::ExitStatus;
use super::printer::Output as Form;
use super::report;
use super::session::{Session, complain};
use language::{Origin, search};
use runner::error::RunError;
use runner::memory::available_bytes;
use runner::output;
use runner::prepare::{self, Draft};
use runner::quantity::count;
use runner::settings::{Overrides, RunSettings};
use runner::source_tables::ExtractedTables;

/// Which pipeline to show.
#[derive(Debug, clap::Args)]
pub(super) struct ShowArguments {
    /// A pipeline's name, or the path of its file
    #[arg(value_name = "PIPELINE")]
    name: String,
}

/// Which definitions to check.
#[derive(Debug, clap::Args)]
pub(super) struct ValidateArguments {
    /// Names of pipelines, or paths of their files
    #[arg(value_name = "PIPELINE", required = true)]
    names: Vec<String>,
}

/// A pipeline, as `show` tells it.
#[derive(Debug, Serialize)]
struct Description {
    name: String,
    origin: Origin,
    description: Option<String>,
    fingerprint: String,
    parameters: Vec<ParameterDescription>,
    sources: Vec<SourceDescription>,
    steps: Vec<StepDescription>,
    checks: Vec<String>,
    outputs: Vec<OutputDescription>,
    settings: RunSettings,
}

#[derive(Debug, Serialize)]
struct ParameterDescription {
    name: String,
    r#type: String,
    required: bool,
    default: Option<String>,
    description: Option<String>,
}

#[derive(Debug, Serialize)]
struct SourceDescription {
    name: String,
    kind: String,
    location: String,
}

#[derive(Debug, Serialize)]
struct StepDescription {
    name: String,
    columns: Vec<ColumnDescription>,
}

#[derive(Debug, Serialize)]
struct ColumnDescription {
    name: String,
    r#type: String,
}

#[derive(Debug, Serialize)]
struct OutputDescription {
    name: String,
    location: String,
    publish: String,
    partition_by: Vec<String>,
    key: Vec<String>,
    sort: Vec<String>,
}

pub(super) fn list(session: &Session) -> Result<ExitStatus, RunError> {
    let listed = search::list(&session.search_path());
    if session.global.output == Form::Json {
        report::json(session.printer, &listed)?;
        return Ok(ExitStatus::Success);
    }
    let rows = listed.iter().map(|pipeline| {
        let what = match (&pipeline.errors, &pipeline.unreadable) {
            (Some(errors), _) => format!(
                "cannot be used: {}; see `pipelines validate`",
                count(errors.len() as u64, "error")
            ),
            (None, Some(reason)) => format!("cannot be read: {reason}"),
            (None, None) => pipeline.description.clone().unwrap_or_default(),
        };
        [pipeline.name.clone(), what, pipeline.origin.to_string()]
    });
    session
        .printer
        .table(&["PIPELINE", "DESCRIPTION", "WHERE"], rows);
    Ok(ExitStatus::Success)
}

pub(super) async fn show(
    session: &Session,
    arguments: &ShowArguments,
) -> Result<ExitStatus, RunError> {
    let description = describe(session, &arguments.name).await?;
    match session.global.output {
        Form::Json => report::json(session.printer, &description)?,
        Form::Text => text(session, &description),
    }
    Ok(ExitStatus::Success)
}

/// Checks each definition on its own; every mistake of every one is shown.
pub(super) async fn validate(
    session: &Session,
    arguments: &ValidateArguments,
) -> Result<ExitStatus, RunError> {
    let mut status = ExitStatus::Success;
    for name in &arguments.names {
        match describe(session, name).await {
            Ok(description) => session.printer.success(format_args!(
                "{}: {}, {}, {}, {}",
                description.name,
                count(description.parameters.len() as u64, "parameter"),
                count(description.sources.len() as u64, "source"),
                count(description.steps.len() as u64, "step"),
                count(description.outputs.len() as u64, "output"),
            )),
            Err(error) => {
                complain(session.printer, &error);
                status = error.kind().into();
            }
        }
    }
    Ok(status)
}

/// Reads a definition, plans it with NULL for parameters that nobody gave, and tells what it is.
async fn describe(session: &Session, name: &str) -> Result<Description, RunError> {
    let Draft { definition, bound } = prepare::draft(&session.pipeline(name), &session.registry)?;
    let settings = RunSettings::resolve(
        &Overrides::default(),
        &session.environment,
        &bound.options,
        available_bytes(),
    )?;
    let nowhere = ExtractedTables::in_folder(
        &session.registry,
        &PathBuf::from(".pipelines").join("runs").join("none"),
    );
    let (_, planned) = runner::plan::plan(
        &bound,
        &nowhere,
        &std::env::temp_dir(),
        &settings.budget(),
        &session.environment.storage(),
    )
    .await?;
    for warning in &definition.warnings {
        session.printer.say(warning);
    }
    Ok(Description {
        name: definition.name.clone(),
        origin: definition.origin.clone(),
        description: definition.options.description.clone(),
        fingerprint: definition.fingerprint.clone(),
        parameters: definition
            .parameters
            .iter()
            .map(|parameter| ParameterDescription {
                name: parameter.name.clone(),
                r#type: parameter.sql_type.to_string(),
                required: parameter.required,
                default: parameter.default.as_ref().map(ToString::to_string),
                description: parameter.description.clone(),
            })
            .collect(),
        sources: bound
            .sources
            .iter()
            .map(|source| SourceDescription {
                name: source.name.clone(),
                kind: source.kind.clone(),
                location: source.location.clone(),
            })
            .collect(),
        steps: planned
            .views
            .iter()
            .map(|(name, plan)| StepDescription {
                name: name.clone(),
                columns: plan
                    .schema()
                    .fields()
                    .iter()
                    .map(|field| ColumnDescription {
                        name: field.name().clone(),
                        r#type: field.data_type().to_string(),
                    })
                    .collect(),
            })
            .collect(),
        checks: bound
            .asserts
            .iter()
            .map(|assert| assert.message.clone())
            .collect(),
        outputs: bound
            .outputs
            .iter()
            .map(|output| {
                let options = output::table_options(output, &settings);
                OutputDescription {
                    name: output::name(output),
                    location: output.location.clone(),
                    publish: options.mode.to_string(),
                    partition_by: options.partition_by,
                    key: options.key,
                    sort: options.sort.into_iter().map(|key| key.column).collect(),
                }
            })
            .collect(),
        settings,
    })
}

fn text(session: &Session, pipeline: &Description) {
    let printer = session.printer;
    printer.data(format_args!("{}  ({})", pipeline.name, pipeline.origin));
    if let Some(description) = &pipeline.description {
        printer.data(description);
    }
    printer.data("");
    let parameters = pipeline.parameters.iter().map(|parameter| {
        [
            parameter.name.clone(),
            parameter.r#type.clone(),
            parameter
                .default
                .clone()
                .unwrap_or_else(|| String::from("required")),
            parameter.description.clone().unwrap_or_default(),
        ]
    });
    printer.table(&["PARAMETER", "TYPE", "DEFAULT", ""], parameters);
    printer.data("");
    let sources = pipeline.sources.iter().map(|source| {
        [
            source.name.clone(),
            source.kind.clone(),
            source.location.clone(),
        ]
    });
    printer.table(&["SOURCE", "KIND", "LOCATION"], sources);
    for step in &pipeline.steps {
        printer.data("");
        let columns = step
            .columns
            .iter()
            .map(|column| [column.name.clone(), column.r#type.clone()]);
        printer.table(&[&format!("STEP {}", step.name), "TYPE"], columns);
    }
    printer.data("");
    for check in &pipeline.checks {
        printer.data(format_args!("checks   {check}"));
    }
    for output in &pipeline.outputs {
        printer.data(format_args!(
            "writes   {} to {}: publish {}, partitioned by ({}), key ({}), sorted by ({})",
            output.name,
            output.location,
            output.publish,
            output.partition_by.join(", "),
            output.key.join(", "),
            output.sort.join(", ")
        ));
    }
}
