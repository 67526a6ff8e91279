//! Planning: a session with the pipeline's sources, and the plans of its views and outputs in it. Executes nothing.

use std::path::Path;

use datafusion::prelude::SessionContext;
use engine::{Budget, SessionOptions};
use tables::StorageOptions;

use super::context::RunContext;
use super::error::RunError;
use super::source_tables::{self, ExtractedTables};
use language::{self, Bound, Planned};

/// A session with the pipeline's sources, as far as they landed, and the plans of its views and outputs in it.
///
/// # Errors
/// [`RunError::Definition`] with every mistake found while planning.
pub async fn plan(
    bound: &Bound,
    landed: &ExtractedTables,
    spill_dir: &Path,
    budget: &Budget,
    storage: &StorageOptions,
) -> Result<(SessionContext, Planned), RunError> {
    let options = SessionOptions {
        storage: storage.clone(),
        budget: budget.clone(),
        spill_dir: spill_dir.to_path_buf(),
        settings: bound.settings.clone(),
    };
    let ctx = engine::session(&options).map_err(|error| RunError::Engine {
        doing: String::from("building the session"),
        source: Box::new(error),
    })?;
    source_tables::register(&ctx, &bound.sources, landed).await?;
    let planned = language::plan(bound, &ctx)
        .await
        .map_err(RunError::Definition)?;
    Ok((ctx, planned))
}

/// As [`plan`], for a run that may be asked to stop meanwhile.
///
/// # Errors
/// As [`plan`], and [`RunError::Interrupted`].
pub async fn plan_in(
    run: &RunContext,
    bound: &Bound,
    landed: ExtractedTables,
    budget: &Budget,
) -> Result<(SessionContext, Planned), RunError> {
    let (bound, spill_dir, budget) = (bound.clone(), run.spill_dir(), budget.clone());
    let storage = run.storage.clone();
    run.query(async move { plan(&bound, &landed, &spill_dir, &budget, &storage).await })
        .await?
}
