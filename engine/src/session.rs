//! The session: one constructor for every `SessionContext` of the product.

use std::path::PathBuf;
use std::sync::Arc;

use ballista_core::optimizer::ballista_default_optimizer_rules;
use datafusion::error::Result;
use datafusion::execution::disk_manager::DiskManagerBuilder;
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use tables::StorageOptions;

use crate::bounded::bound_functions;
use crate::budget::{Budget, least_partitions};
use crate::configuration::configured;
use crate::functions::register_functions;
use crate::memory::watch_pool;
use crate::scans::{CutScans, GuardScans};
use crate::settings::set_within;
use crate::spill::SpillFolder;
use crate::storage::{NothingStored, Registry};

/// What a session is built from.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Memory, joins and parallelism.
    pub budget: Budget,
    /// Folder for spill files. It is made when missing; the files in it go when the session does.
    pub spill_dir: PathBuf,
    /// `datafusion.*` settings of the pipeline, applied last. Those that lift what the budget decided are left out.
    pub settings: Vec<(String, String)>,
    /// How object stores are reached.
    pub storage: StorageOptions,
}

impl SessionOptions {
    /// Of this budget, spilling into a folder; without settings, and with the local filesystem alone.
    pub fn new(budget: Budget, spill_dir: impl Into<PathBuf>) -> Self {
        Self {
            budget,
            spill_dir: spill_dir.into(),
            settings: Vec::new(),
            storage: StorageOptions::default(),
        }
    }
}

/// A session's state with the product's functions, under the budget.
///
/// # Errors
/// When a setting is unknown or has a wrong value, or the spill folder cannot be made.
pub fn session_state(options: &SessionOptions) -> Result<SessionState> {
    let budget = &options.budget;
    let mut config = configured(budget);
    set_within(&mut config, budget.most_partitions(), &options.settings)?;
    // Whatever a pipeline asks for: joins that spill need so many.
    let least = least_partitions(budget.join_strategy());
    if config.target_partitions() < least {
        config = config.with_target_partitions(least);
    }
    // Sources that keep a log beside their files read it as a table does, not file by file.
    let config = config.with_extension(Arc::new(options.storage.clone()));
    let builder = builder(config, runtime(options)?)
        .with_physical_optimizer_rule(Arc::new(CutScans))
        .with_physical_optimizer_rule(Arc::new(GuardScans));
    built(builder)
}

/// A session's state over a configuration of the cluster, whose plans are executed by several processes: streams of one
/// cannot take pieces of scans from those of another.
///
/// # Errors
/// When the spill folder cannot be made.
pub(crate) fn session_state_over(
    config: SessionConfig,
    options: &SessionOptions,
) -> Result<SessionState> {
    of_the_cluster(config, runtime(options)?)
}

/// The session's state in the scheduler, which takes plans apart and reads no storage, so that it needs no credentials.
///
/// # Errors
/// When the spill folder cannot be made.
pub fn scheduler_state(config: SessionConfig, options: &SessionOptions) -> Result<SessionState> {
    let runtime = runtime_with(options, Arc::new(NothingStored::default()))?;
    of_the_cluster(config, runtime)
}

fn of_the_cluster(config: SessionConfig, runtime: Arc<RuntimeEnv>) -> Result<SessionState> {
    let builder = builder(config, runtime);
    // Ballista's own rules, of which one turns `NOT IN` into joins that several tasks can execute: what DataFusion makes of
    // it is right only where one process sees all of the subquery.
    built(builder.with_optimizer_rules(ballista_default_optimizer_rules()))
}

fn builder(config: SessionConfig, runtime: Arc<RuntimeEnv>) -> SessionStateBuilder {
    SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
}

fn built(builder: SessionStateBuilder) -> Result<SessionState> {
    let mut state = builder.build();
    register_functions(&mut state)?;
    bound_functions(&mut state)?;
    Ok(state)
}

/// The memory pool and the spill folder of the budget, and object stores as the environment of this process says.
///
/// # Errors
/// When the spill folder cannot be made.
pub fn runtime(options: &SessionOptions) -> Result<Arc<RuntimeEnv>> {
    let stores = Registry::new(options.storage.clone());
    runtime_with(options, Arc::new(stores))
}

fn runtime_with(
    options: &SessionOptions,
    stores: Arc<dyn ObjectStoreRegistry>,
) -> Result<Arc<RuntimeEnv>> {
    let files = SpillFolder::below(&options.spill_dir)?;
    let disk = DiskManagerBuilder::default().with_temp_file_factory(Arc::new(files));
    let pool = options.budget.pool();
    watch_pool(&pool);
    RuntimeEnvBuilder::new()
        .with_memory_pool(pool)
        .with_disk_manager_builder(disk)
        .with_object_store_registry(stores)
        .build_arc()
}

/// A session context over [`session_state`].
///
/// # Errors
/// As [`session_state`].
pub fn session(options: &SessionOptions) -> Result<SessionContext> {
    Ok(SessionContext::new_with_state(session_state(options)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(settings: &[(&str, &str)]) -> SessionOptions {
        SessionOptions {
            storage: StorageOptions::default(),
            budget: Budget::new(256 << 20, 2, 4096),
            spill_dir: std::env::temp_dir().join("spillway-session-test"),
            settings: settings
                .iter()
                .map(|(k, v)| (String::from(*k), String::from(*v)))
                .collect(),
        }
    }

    #[tokio::test]
    async fn small_and_tightened_budgets_sort_and_merge_joins_on_any_number_of_cores() {
        for cores in [1, 2, 8] {
            let large = Budget::new(4 << 30, cores, 8192);
            for (budget, join) in [
                (Budget::new(256 << 20, cores, 4096), "SortMergeJoin"),
                (large.tightened().unwrap(), "SortMergeJoin"),
                (large, "HashJoin"),
            ] {
                let ctx = session(&SessionOptions {
                    budget,
                    ..options(&[])
                })
                .unwrap();
                let query =
                    "EXPLAIN SELECT * FROM (VALUES (1)) a(x) JOIN (VALUES (1)) b(y) ON x = y";
                let plan = ctx.sql(query).await.unwrap().to_string().await.unwrap();
                assert!(plan.contains(join), "{cores} cores, {join}: {plan}");
            }
        }
    }

    #[tokio::test]
    async fn own_and_json_functions_are_known() {
        let names = function_names_of(&options(&[]));
        for name in ["week_of", "local_time", "link_name", "json_get_str"] {
            assert!(names.scalar.contains(name), "{name} is missing");
        }
    }

    fn function_names_of(options: &SessionOptions) -> crate::FunctionNames {
        crate::function_names(&session_state(options).unwrap())
    }

    #[tokio::test]
    async fn joins_spill_under_a_small_budget_in_a_pipeline_that_asks_for_one_partition() {
        let one = [("datafusion.execution.target_partitions", "1")];
        let ctx = session(&options(&one)).unwrap();
        let query = "EXPLAIN SELECT * FROM (VALUES (1)) a(x) JOIN (VALUES (1)) b(y) ON x = y";
        let plan = ctx.sql(query).await.unwrap().to_string().await.unwrap();
        assert!(plan.contains("SortMergeJoin"), "{plan}");
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        assert!(session_state(&options(&[("datafusion.execution.batch_sise", "1")])).is_err());
    }
}
