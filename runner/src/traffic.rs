//! What a run asked of object stores. Owns how it is told in the run's record; counting is `tables`'.

use std::collections::BTreeMap;

use tables::storage::BucketTraffic;
use tables::{StorageOptions, StorageTraffic};

/// The requests of a run, of buckets that had any.
pub fn of(storage: &StorageOptions) -> Vec<BucketTraffic> {
    let mut buckets = storage.traffic();
    buckets.retain(|bucket| bucket.traffic.requests() > 0);
    buckets
}

/// Adds the requests to the counts of a run's record, by class, all buckets together; nothing if there were none.
pub fn record(counts: &mut BTreeMap<String, u64>, buckets: &[BucketTraffic]) {
    if buckets.is_empty() {
        return;
    }
    let sum = buckets
        .iter()
        .fold(StorageTraffic::default(), |sum, bucket| {
            sum.plus(&bucket.traffic)
        });
    for (name, value) in [
        ("storage_reads", sum.reads),
        ("storage_writes", sum.writes),
        ("storage_lists", sum.lists),
        ("storage_deletes", sum.deletes),
        ("storage_bytes_sent", sum.bytes_sent),
        ("storage_bytes_received", sum.bytes_received),
        ("storage_retried", sum.retried),
        ("storage_throttled", sum.throttled),
    ] {
        counts.insert(String::from(name), value);
    }
}
