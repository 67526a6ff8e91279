//! The one list of functions that every process registers.

use std::collections::BTreeSet;

use datafusion::error::Result;
use datafusion::execution::{FunctionRegistry, SessionState};

use crate::types;

/// Names of all functions that a session knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionNames {
    /// Functions of one row.
    pub scalar: BTreeSet<String>,
    /// Functions of a group of rows.
    pub aggregate: BTreeSet<String>,
    /// Functions over a window.
    pub window: BTreeSet<String>,
}

/// Adds the project's own functions and the JSON functions to `registry`, with the operators `->`, `->>` and `?`.
///
/// # Errors
/// When the registry refuses a function.
pub fn register_functions(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for function in udfs::all() {
        registry.register_udf(function)?;
    }
    datafusion_functions_json::register_all(registry)?;
    for function in types::casts() {
        registry.register_udf(function)?;
    }
    Ok(())
}

/// What `state` knows, to compare processes with each other.
pub fn function_names(state: &SessionState) -> FunctionNames {
    FunctionNames {
        scalar: state.scalar_functions().keys().cloned().collect(),
        aggregate: state.aggregate_functions().keys().cloned().collect(),
        window: state.window_functions().keys().cloned().collect(),
    }
}
