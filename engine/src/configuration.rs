//! What a session is configured to under its budget: partitions, batches, joins, spilling. What a pipeline may set over it is
//! in `settings`.

use datafusion::common::config::{ConfigNonZeroUsize, SpillCompression};
use datafusion::prelude::SessionConfig;

use crate::budget::{Budget, JoinStrategy, ROW_BYTES};

/// What a session's configuration is under the budget.
pub(crate) fn configured(budget: &Budget) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_target_partitions(budget.partitions())
        .with_batch_size(budget.batch_size())
        .with_information_schema(true)
        .set_bool("datafusion.sql_parser.collect_spans", true)
        // Readers of the tables get plain strings; views would only be converted back before they are written.
        .set_bool(
            "datafusion.execution.parquet.schema_force_view_types",
            false,
        )
        .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false);
    let joins = budget.join_strategy();
    choose_joins(&mut config, joins, budget.shared_build_bytes());
    choose_spilling(&mut config, budget.merge_reservation());
    config
}

/// Sets how joins are executed, and up to how many estimated bytes a build side is shared by all tasks.
pub(crate) fn choose_joins(config: &mut SessionConfig, joins: JoinStrategy, shared_bytes: usize) {
    let optimizer = &mut config.options_mut().optimizer;
    optimizer.prefer_hash_join = joins == JoinStrategy::Hash;
    optimizer.hash_join_single_partition_threshold = shared_bytes;
    optimizer.hash_join_single_partition_threshold_rows = shared_bytes / ROW_BYTES;
}

/// Sets how operators spill, and what a sort keeps aside for its merge, bytes.
pub(crate) fn choose_spilling(config: &mut SessionConfig, merge_reservation: usize) {
    let execution = &mut config.options_mut().execution;
    execution.sort_spill_reservation_bytes = merge_reservation;
    // A repartitioning operator with several inputs spills to as many files at once, which its reader takes one after the
    // other. Rows in the second are then out of reach until the first is closed, and it is closed when it is this large. If
    // all its outputs wait so, the inputs wait for them in turn, and for ever. With a file for each batch none stays open.
    execution.max_spill_file_size_bytes =
        ConfigNonZeroUsize::try_new(1).expect("BUG: one is not zero");
    execution.spill_compression = SpillCompression::Lz4Frame;
}
