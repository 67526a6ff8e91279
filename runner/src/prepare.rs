//! From a name on the command line to a pipeline with values: find, read, bind, settle. Nothing is run or written.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::Utc;
use connectors::Registry;
use connectors::sample::Sample;

use super::error::RunError;
use super::memory::available_bytes;
use super::sample;
use crate::settings::{Environment, Overrides, RunSettings};
use language::search::SearchPath;
use language::{
    self, Bound, Definition, Diagnostic, Diagnostics, Mode, Origin, Provided, Span, ValueOrigin,
};

/// Where the text of a pipeline comes from.
#[derive(Debug, Clone)]
pub enum Pipeline {
    /// It is found.
    Named {
        /// Its name, or the path of its file.
        name: String,
        /// Where a name is looked for.
        search: SearchPath,
    },
    /// It is given.
    Text {
        /// Its name, under which its runs are recorded.
        name: String,
        /// The definition.
        text: String,
    },
}

/// Which pipeline, with which values.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// Parameters from `--set`.
    pub set: Vec<(String, String)>,
    /// `--from`.
    pub from: Option<String>,
    /// `--to`.
    pub to: Option<String>,
    /// What is said of its settings.
    pub overrides: Overrides,
}

/// A pipeline that could be run.
#[derive(Debug)]
pub struct Prepared {
    /// As written.
    pub definition: Definition,
    /// With values in place of parameters.
    pub bound: Bound,
    /// Settings of the run.
    pub settings: RunSettings,
    /// The bundled sample, if it is read.
    pub sample: Option<Arc<dyn Sample>>,
}

/// Finds and reads a definition.
///
/// # Errors
/// [`RunError::NotFound`] with what is near, [`RunError::Definition`] with all mistakes of the file.
pub fn read(pipeline: &Pipeline, registry: &Registry) -> Result<Definition, RunError> {
    let (origin, name, text) = match pipeline {
        Pipeline::Named { name, search } => {
            let found =
                language::search::find(name, search).map_err(|error| RunError::NotFound {
                    message: crate::error::chain(&error),
                })?;
            (found.origin, found.name, found.text)
        }
        Pipeline::Text { name, text } => (Origin::Given, name.clone(), text.clone()),
    };
    language::parse(origin, &name, &text, &registry.kinds()).map_err(RunError::Definition)
}

/// Prepares a run: definition, values, settings.
///
/// # Errors
/// As [`read`], and for a parameter or a setting that is wrong.
pub fn prepare(
    selection: &Selection,
    environment: &Environment,
    registry: &Registry,
) -> Result<Prepared, RunError> {
    let definition = read(&selection.pipeline, registry)?;
    let sample = sample::wanted(&definition, registry, environment);
    let mut values = provided(&definition, selection, environment);
    if let Some(sample) = &sample {
        sample::fill(sample.as_ref(), &definition, &mut values);
    }
    let bound = language::bind(&definition, &values, Utc::now()).map_err(RunError::Definition)?;
    super::sources::check(&definition, &bound, registry)?;
    let settings = RunSettings::resolve(
        &selection.overrides,
        environment,
        &bound.options,
        available_bytes(),
    )?;
    check_engine_settings(&definition, &bound, &settings)?;
    Ok(Prepared {
        definition,
        bound,
        settings,
        sample,
    })
}

/// A pipeline can lower what its memory ceiling decided, not lift it.
fn check_engine_settings(
    definition: &Definition,
    bound: &Bound,
    settings: &RunSettings,
) -> Result<(), RunError> {
    let budget = settings.budget();
    let on_cluster = settings.mode.value == Mode::Cluster;
    let mut mistakes = Vec::new();
    for (key, value) in &bound.settings {
        let Some(most) = engine::lifted(&budget, on_cluster, key, value) else {
            continue;
        };
        let written = definition.settings().find(|entry| entry.key.value == *key);
        let span = written.map_or_else(Span::empty, |entry| entry.value_span);
        let message = format!("option `{key}` cannot be {value}: this run allows {most} at most");
        mistakes.push(Diagnostic::error(bound.source_text(), span, message).with_help(
            "a pipeline can lower what its memory ceiling and its preset decided, not lift it; the options `memory` and \
             `transform_batch_size` decide",
        ));
    }
    match mistakes.is_empty() {
        true => Ok(()),
        false => Err(RunError::Definition(Diagnostics::new(mistakes))),
    }
}

/// A pipeline as far as it is known without a run: parameters that nobody gave are NULL.
#[derive(Debug)]
pub struct Draft {
    /// As written.
    pub definition: Definition,
    /// With the values that are known.
    pub bound: Bound,
}

/// Prepares a look at a pipeline: what it reads and writes, without the values of a run.
///
/// # Errors
/// As [`read`].
pub fn draft(pipeline: &Pipeline, registry: &Registry) -> Result<Draft, RunError> {
    let definition = read(pipeline, registry)?;
    let bound = language::bind_draft(&definition, Utc::now()).map_err(RunError::Definition)?;
    super::sources::check(&definition, &bound, registry)?;
    Ok(Draft { definition, bound })
}

/// Values from the command line, then from the environment. The environment's are for whatever pipeline runs, so one
/// that this pipeline does not declare is no mistake.
fn provided(
    definition: &Definition,
    selection: &Selection,
    environment: &Environment,
) -> BTreeMap<String, Provided> {
    let mut values = BTreeMap::new();
    for (name, text) in environment.parameters() {
        if definition
            .parameters
            .iter()
            .any(|parameter| parameter.name == name)
        {
            let origin =
                ValueOrigin::Environment(format!("PIPELINES_SET__{}", name.to_ascii_uppercase()));
            values.insert(name, Provided { text, origin });
        }
    }
    for (name, text) in &selection.set {
        values.insert(
            name.clone(),
            Provided {
                text: text.clone(),
                origin: ValueOrigin::Flag(String::from("--set")),
            },
        );
    }
    for (name, flag, text) in [
        ("data_date_start", "--from", &selection.from),
        ("data_date_end", "--to", &selection.to),
    ] {
        if let Some(text) = text {
            values.insert(
                String::from(name),
                Provided {
                    text: text.clone(),
                    origin: ValueOrigin::Flag(String::from(flag)),
                },
            );
        }
    }
    values
}
