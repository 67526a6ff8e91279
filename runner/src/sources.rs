//! Sources: from a declared external table to one that is checked, and opened if it is extracted.
//!
//! Owns the way from a declaration to its kind in the registry, and the resolution of secret references. What a kind reads,
//! and how, is `connectors`'; the tables that queries see are [`source_tables`](super::source_tables)'.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use connectors::Registry;
use connectors::extract::{Extract, Metrics};
use connectors::option::{Given, OptionValue};
use connectors::sample::{Sample, Served};
use connectors::source::{Declared, OpenError, Read, SourceFactory};
use secrecy::SecretString;

use super::error::RunError;
use crate::settings::Environment;
use language::{
    Bound, Definition, Diagnostic, Diagnostics, OptionValue as Written, SecretReference, Source,
};

/// A source whose records are extracted and landed before the query runs.
#[derive(Debug, Clone)]
pub struct Extracted {
    /// The table's name.
    pub table: String,
    /// Where the records come from.
    pub extract: Arc<dyn Extract>,
    /// Counts while they come.
    pub metrics: Arc<Metrics>,
}

/// Opens the sources that have to be extracted. No network is used.
///
/// # Errors
/// [`RunError::Secret`] when a reference cannot be read, [`RunError::Open`] when the kind refuses.
pub fn open_extracted(
    sources: &[Source],
    registry: &Registry,
    environment: &Environment,
    sample: Option<&Served>,
) -> Result<Vec<Extracted>, RunError> {
    let mut opened = Vec::new();
    for source in sources {
        let factory = factory(registry, source)?;
        let declared = declared(source);
        if matches!(factory.read(&declared), Read::InPlace(_)) {
            continue;
        }
        let mut options = resolve_secrets(source, environment)?;
        if let Some(sample) = sample.filter(|sample| sample.kind == factory.kind()) {
            add_missing(&mut options, sample.options.clone());
        }
        let surroundings = factory.surroundings(&|name| environment.get(name).map(String::from));
        add_missing(&mut options, surroundings.options);
        let extract = factory
            .open(&Declared {
                options,
                ..declared
            })
            .map_err(|problem| cannot_open(source, &problem))?;
        opened.push(Extracted {
            table: source.name.clone(),
            extract,
            metrics: Arc::default(),
        });
    }
    Ok(opened)
}

fn add_missing(options: &mut Given, more: BTreeMap<String, OptionValue>) {
    for (name, value) in more {
        options.entry(name).or_insert(Some(value));
    }
}

/// What of the environment, or of the sample, decides which data the sources are.
///
/// # Errors
/// As [`open_extracted`] for a kind that is not there.
pub fn identity(
    sources: &[Source],
    registry: &Registry,
    environment: &Environment,
    sample: Option<&dyn Sample>,
) -> Result<BTreeMap<String, String>, RunError> {
    let mut identity = BTreeMap::new();
    for source in sources {
        let factory = factory(registry, source)?;
        let surroundings = factory.surroundings(&|name| environment.get(name).map(String::from));
        identity.extend(surroundings.identity);
    }
    identity.extend(sample.map(Sample::identity).unwrap_or_default());
    Ok(identity)
}

/// Checks the options of sources, as far as their values are known. No network is used.
///
/// # Errors
/// [`RunError::Definition`] with the place of every option that is wrong.
pub fn check(definition: &Definition, bound: &Bound, registry: &Registry) -> Result<(), RunError> {
    let text = bound.source_text();
    let mut mistakes = Vec::new();
    for source in &bound.sources {
        let mut declared = declared(source);
        // What a parameter or a run fills in later is not missing now.
        for statement in definition
            .sources()
            .filter(|statement| statement.name.value == source.name)
        {
            for option in &statement.options {
                let name = option.key.value.clone();
                declared.options.entry(name).or_insert(None);
            }
        }
        for problem in factory(registry, source)?.check(&declared) {
            let span = source
                .option_spans
                .get(&problem.option)
                .map_or(source.location_span, |spans| spans.key);
            let message = format!(
                "option `{}` of `{}`: {}",
                problem.option, source.name, problem.message
            );
            mistakes.push(
                Diagnostic::error(text, span, message)
                    .with_suggestion(problem.suggestion.as_deref()),
            );
        }
    }
    if mistakes.is_empty() {
        Ok(())
    } else {
        Err(RunError::Definition(Diagnostics::new(mistakes)))
    }
}

/// A source as its kind sees it; what a secret reference leads to is not known.
fn declared(source: &Source) -> Declared {
    let known = |value: &Written| match value {
        Written::Plain(value) => Some(OptionValue::Plain(value.clone())),
        Written::SecretReference(_) => None,
    };
    Declared {
        location: source.location.clone(),
        columns: source.columns.clone(),
        partitioned_by: source
            .partitioned_by
            .iter()
            .map(|column| column.value.clone())
            .collect(),
        options: source
            .options
            .iter()
            .map(|(name, value)| (name.clone(), known(value)))
            .collect(),
    }
}

fn factory<'a>(registry: &'a Registry, source: &Source) -> Result<&'a dyn SourceFactory, RunError> {
    registry
        .find(&source.kind)
        .map_err(|problem| cannot_open(source, &problem))
}

fn cannot_open(source: &Source, problem: &OpenError) -> RunError {
    RunError::Open {
        table: source.name.clone(),
        problem: super::error::chain(problem),
    }
}

/// How a source is read.
///
/// # Errors
/// [`RunError::Open`] when there is no such kind.
pub fn read(registry: &Registry, source: &Source) -> Result<Read, RunError> {
    Ok(factory(registry, source)?.read(&declared(source)))
}

/// `path` from the root of the file system, without looking at it.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

fn resolve_secrets(source: &Source, environment: &Environment) -> Result<Given, RunError> {
    let mut options = Given::new();
    for (name, option) in &source.options {
        let value = match option {
            Written::Plain(value) => OptionValue::Plain(value.clone()),
            Written::SecretReference(reference) => {
                let secret =
                    read_secret(reference, environment).map_err(|problem| RunError::Secret {
                        table: source.name.clone(),
                        option: name.clone(),
                        problem,
                    })?;
                OptionValue::Secret(secret)
            }
        };
        options.insert(name.clone(), Some(value));
    }
    Ok(options)
}

fn read_secret(
    reference: &SecretReference,
    environment: &Environment,
) -> Result<SecretString, String> {
    match reference {
        SecretReference::Environment(name) => environment
            .get(name)
            .map(SecretString::from)
            .ok_or_else(|| match environment.is_unreadable(name) {
                true => format!("the environment variable {name} has a value that is not Unicode"),
                false => format!("the environment variable {name} is not set"),
            }),
        SecretReference::File(path) => language::regular::read_text(path)
            .map(|text| SecretString::from(text.trim_end_matches(['\r', '\n'])))
            .map_err(|error| format!("cannot read {}: {error}", path.display())),
    }
}
