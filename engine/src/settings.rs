//! `datafusion.*` settings of a pipeline over those of its budget. Owns which of them decide about memory and work: a
//! pipeline may lower these and not lift them.

use datafusion::common::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::prelude::SessionConfig;

use crate::budget::{Budget, MOST_PARTITIONS};
use crate::configuration::configured;

const PARTITIONS: &str = "datafusion.execution.target_partitions";

/// What takes more memory, or more work at once, the larger it is.
const BOUNDED: &[&str] = &[
    "datafusion.execution.batch_size",
    "datafusion.execution.hash_join_buffering_capacity",
    "datafusion.execution.max_buffered_batches_per_output_file",
    // With more than a batch in a file, streams that spill to one another wait for ever.
    "datafusion.execution.max_spill_file_size_bytes",
    "datafusion.execution.meta_fetch_concurrency",
    "datafusion.execution.minimum_parallel_output_files",
    "datafusion.execution.objectstore_writer_buffer_size",
    "datafusion.execution.parquet.max_in_list_size",
    "datafusion.execution.parquet.maximum_buffered_record_batches_per_stream",
    "datafusion.execution.parquet.maximum_parallel_row_group_writers",
    "datafusion.execution.parquet.metadata_size_hint",
    "datafusion.execution.perfect_hash_join_small_build_threshold",
    "datafusion.execution.planning_concurrency",
    "datafusion.execution.skip_partial_aggregation_probe_rows_threshold",
    "datafusion.execution.sort_in_place_threshold_bytes",
    "datafusion.execution.sort_pushdown_buffer_capacity",
    "datafusion.execution.sort_spill_reservation_bytes",
    "datafusion.optimizer.hash_join_inlist_pushdown_max_distinct_values",
    "datafusion.optimizer.hash_join_inlist_pushdown_max_size",
    "datafusion.optimizer.hash_join_single_partition_threshold",
    "datafusion.optimizer.hash_join_single_partition_threshold_rows",
    "datafusion.optimizer.max_passes",
    // Joins that hash where memory is too short for their build side.
    "datafusion.optimizer.prefer_hash_join",
    "datafusion.sql_parser.recursion_limit",
];

/// The most that `key` may be under this budget, if `value` is more. On a cluster, partitions are its executors' and are
/// bounded alone by what any plan may have.
pub fn lifted(budget: &Budget, on_cluster: bool, key: &str, value: &str) -> Option<String> {
    let most = match on_cluster {
        true => MOST_PARTITIONS,
        false => budget.most_partitions(),
    };
    above(configured(budget).options(), most, key, value)
}

/// Puts `settings` over `config`, without those that lift what it says.
///
/// # Errors
/// When a setting is unknown or has a wrong value.
pub(crate) fn set_within(
    config: &mut SessionConfig,
    most_partitions: usize,
    settings: &[(String, String)],
) -> Result<()> {
    let base = config.options().as_ref().clone();
    for (key, value) in settings {
        match above(&base, most_partitions, key, value) {
            Some(most) => tracing::debug!(key, value, most, "a setting is not lifted"),
            None => config.options_mut().set(key, value)?,
        }
    }
    Ok(())
}

fn above(base: &ConfigOptions, most_partitions: usize, key: &str, value: &str) -> Option<String> {
    if key == PARTITIONS {
        return number(value)
            .filter(|number| *number > most_partitions as u128)
            .map(|_| most_partitions.to_string());
    }
    if !BOUNDED.contains(&key) {
        return None;
    }
    let entries = base.entries();
    let most = entries
        .iter()
        .find(|entry| entry.key == key)?
        .value
        .clone()?;
    (number(value)? > number(&most)?).then_some(most)
}

/// A number, or a word that switches something off or on.
fn number(text: &str) -> Option<u128> {
    match text.trim().to_ascii_lowercase().as_str() {
        "false" => Some(0),
        "true" => Some(1),
        digits => digits.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: usize = 256 << 20;

    #[test]
    fn every_bounded_setting_exists_and_has_a_value_under_a_budget() {
        let entries = ConfigOptions::new().entries();
        for key in BOUNDED.iter().chain([&PARTITIONS]) {
            let known = entries.iter().find(|entry| entry.key == **key);
            let value = known.and_then(|entry| entry.value.as_deref());
            assert!(value.and_then(number).is_some(), "{key}: {value:?}");
        }
    }

    #[test]
    fn a_pipeline_may_lower_and_not_lift() {
        let budget = Budget::new(SMALL, 8, 4096);
        let lifted = |key: &str, value: &str| lifted(&budget, false, key, value);
        assert_eq!(lifted(PARTITIONS, "20000"), Some(String::from("2")));
        assert_eq!(lifted(PARTITIONS, "1"), None);
        assert_eq!(lifted(BOUNDED[0], "8192"), Some(String::from("4096")));
        assert_eq!(lifted(BOUNDED[0], "1024"), None);
        let hash = "datafusion.optimizer.prefer_hash_join";
        assert_eq!(lifted(hash, "true"), Some(String::from("false")));
        assert_eq!(lifted("datafusion.execution.time_zone", "UTC"), None);
    }

    #[test]
    fn a_tightened_budget_keeps_what_it_tightened() {
        let wide = Budget::new(8 << 30, 2, 8192);
        let tight = wide.tightened().unwrap();
        let asked = [(String::from(PARTITIONS), String::from("16"))];
        for (budget, partitions) in [(wide, 16), (tight, 2)] {
            let mut config = configured(&budget);
            set_within(&mut config, budget.most_partitions(), &asked).unwrap();
            assert_eq!(config.target_partitions(), partitions);
        }
    }
}
