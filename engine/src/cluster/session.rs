//! Settings of Ballista for pipelines, and the session in which a plan for the cluster is made: all in one place.
//!
//! | setting | value | why |
//! |---|---|---|
//! | adaptive planning | off | a job that loses an executor hangs with it; our plans are made before |
//! | message size | [`MESSAGE_BYTES`] | plans over many files exceed Ballista's 16 MiB; larger ones are refused before they are sent |
//! | round robin, views, dynamic filters | off | Ballista's own choice: they do not work across processes |
//! | joins | [`super::plan`] chooses | a hash join is fast and cannot spill |
//! | spilling | as in one process | what a sort keeps aside follows from the memory of a vcore |
//! | memory of a shuffle | that of the task's pool | a limit of its own, 256 MiB, makes it spill what would fit |
//!
//! What belongs to one process only (heartbeats, folders, addresses) is in `scheduler` and `executor`.

use ballista_core::extension::SessionConfigExt;
use datafusion::error::Result;
use datafusion::execution::context::SessionState;
use datafusion::prelude::SessionConfig;
use tables::StorageOptions;

use super::codec::physical_codec;
use super::connection::MESSAGE_BYTES;
use super::tls::Tls;
use super::workers::Workers;
use crate::budget::{
    JoinStrategy, MOST_PARTITIONS, ROW_BYTES, least_partitions, merge_reservation,
};
use crate::configuration::{choose_joins, choose_spilling};
use crate::session::{SessionOptions, session_state_over};
use crate::settings::set_within;

/// What a shuffling task may hold before it spills, beside what its pool allows.
const SHUFFLE_MEMORY: &str = "ballista.shuffle.sort_based.memory_limit_per_task_bytes";

/// Up to which size the scheduler leaves a build side to be sent to every task, or makes it so.
const BROADCAST_BYTES: &str = "ballista.optimizer.broadcast_join_threshold_bytes";
const BROADCAST_ROWS: &str = "ballista.optimizer.broadcast_join_threshold_rows";

/// The configuration with which every process of a cluster begins; a client's settings come over it. Storages
/// are reached as `storage` says; with `tls`, it connects to others so.
pub fn process_config(storage: StorageOptions, tls: Option<&Tls>) -> SessionConfig {
    let config = SessionConfig::new_with_ballista()
        .with_ballista_physical_extension_codec(physical_codec(storage))
        .with_ballista_adaptive_query_planner(false)
        .with_ballista_grpc_client_max_message_size(MESSAGE_BYTES)
        .with_ballista_use_tls(tls.is_some());
    match tls {
        Some(tls) => config.with_ballista_override_create_grpc_client_endpoint(tls.endpoints()),
        None => config,
    }
}

/// A session that plans for these workers. It executes nothing.
///
/// # Errors
/// When a setting of the pipeline is unknown or has a wrong value.
pub(super) fn cluster_state(
    options: &SessionOptions,
    workers: &Workers,
    joins: JoinStrategy,
) -> Result<SessionState> {
    let mut config = process_config(options.storage.clone(), None)
        .with_target_partitions(workers.vcores.max(least_partitions(joins)))
        .with_batch_size(options.budget.batch_size());
    let shared_bytes = workers.vcore_bytes / 2;
    choose_joins(&mut config, joins, shared_bytes);
    choose_spilling(&mut config, merge_reservation(workers.vcore_bytes));
    let options_of_ballista = [
        (SHUFFLE_MEMORY, 0),
        (BROADCAST_BYTES, shared_bytes),
        (BROADCAST_ROWS, shared_bytes / ROW_BYTES),
    ];
    for (key, value) in options_of_ballista {
        config.options_mut().set(key, &value.to_string())?;
    }
    set_within(&mut config, MOST_PARTITIONS, &options.settings)?;
    session_state_over(config, options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Budget;

    #[test]
    fn a_session_for_the_cluster_has_the_functions_of_every_other() {
        let spill_dir = tempfile::tempdir().unwrap();
        let options = SessionOptions::new(Budget::new(512 << 20, 2, 8192), spill_dir.path());
        assert_eq!(
            crate::function_names(
                &cluster_state(
                    &options,
                    &Workers::new(&[(2, 1 << 30); 2]),
                    JoinStrategy::Hash
                )
                .unwrap()
            ),
            crate::function_names(&crate::session_state(&options).unwrap())
        );
    }

    #[test]
    fn adaptive_planning_is_off_in_every_process() {
        assert!(
            !process_config(StorageOptions::default(), None)
                .ballista_config()
                .adaptive_query_planner_enabled()
        );
    }
}
