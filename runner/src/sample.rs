//! The bundled sample, which a run reads when nothing says what else.
//!
//! Owns when a run reads it and what it fills in. What it is says the kind of source that has one.

use std::collections::BTreeMap;
use std::sync::Arc;

use connectors::Registry;
use connectors::sample::{Sample, Served};

use super::error::RunError;
use crate::settings::Environment;
use language::{Definition, Provided, ValueOrigin};

/// The sample that a run of `definition` reads, if it reads one.
pub fn wanted(
    definition: &Definition,
    registry: &Registry,
    environment: &Environment,
) -> Option<Arc<dyn Sample>> {
    definition.sources().find_map(|source| {
        let options: Vec<&str> = source
            .options
            .iter()
            .map(|option| option.key.value.as_str())
            .collect();
        let factory = registry.find(&source.kind.value).ok()?;
        factory.sample(&options, &|name| environment.get(name).map(String::from))
    })
}

/// Fills in the parameters that the sample has an answer for and nobody gave.
pub fn fill(sample: &dyn Sample, definition: &Definition, values: &mut BTreeMap<String, Provided>) {
    for (name, value) in sample.parameters() {
        if definition
            .parameters
            .iter()
            .any(|parameter| parameter.name == *name && parameter.required)
        {
            values
                .entry(String::from(*name))
                .or_insert_with(|| Provided {
                    text: String::from(*value),
                    origin: ValueOrigin::Sample,
                });
        }
    }
}

/// Begins to serve the sample, if there is one to read.
///
/// # Errors
/// [`RunError::Sample`] when this machine cannot serve it.
pub async fn start(sample: Option<&dyn Sample>) -> Result<Option<Served>, RunError> {
    match sample {
        Some(sample) => sample.start().await.map(Some).map_err(RunError::Sample),
        None => Ok(None),
    }
}
