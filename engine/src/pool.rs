//! A memory pool that keeps some memory from merges of spilled runs. Owns that headroom; the sharing of the rest is the
//! engine's.
//!
//! A sort that merges its spilled runs opens as many at once as the pool gives it memory for, and holds that until it
//! ends. Another sort that is still reading then finds nothing left for the little that it keeps aside, and the plan
//! fails although every sort in it could spill. A refused merge only opens fewer runs and merges in several passes.

use std::fmt;

use datafusion::common::resources_datafusion_err;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};

/// What the engine calls the memory of such a merge. Merging what a sort holds in memory has the same name, and cannot do
/// with less: it takes the rows over from the sort, and holds their keys as well.
const MERGE: &str = "ExternalSorterMerge";
/// What merges leave to each partition at least: what another sort keeps aside for its own merge, and some batches.
const LEFT: usize = 48 << 20;

/// See the module.
#[derive(Debug)]
pub(crate) struct HeadroomPool<P> {
    inner: P,
    /// Bytes that may be reserved, by all, while a merge grows.
    for_merges: usize,
    /// Bytes up to which a merge grows regardless, even beyond the pool: two runs that are merged are progress, and nobody
    /// else may ever give memory back.
    least: usize,
}

impl<P: MemoryPool> HeadroomPool<P> {
    /// Over a pool of `bytes`, whose plans have so many partitions.
    pub(crate) fn new(inner: P, bytes: usize, partitions: usize) -> Self {
        Self {
            inner,
            for_merges: (bytes / 2).max(bytes.saturating_sub(partitions.max(1) * LEFT)),
            least: bytes / partitions.max(1) / 3,
        }
    }
}

impl<P: MemoryPool> fmt::Display for HeadroomPool<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

impl<P: MemoryPool> MemoryPool for HeadroomPool<P> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.inner.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.inner.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.inner.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.inner.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        if !reservation.consumer().name().starts_with(MERGE) {
            return self.inner.try_grow(reservation, additional);
        }
        let wanted = reservation.size() + additional;
        if wanted <= self.least {
            self.inner.grow(reservation, additional);
            return Ok(());
        }
        if self.inner.reserved() + additional > self.for_merges {
            return Err(resources_datafusion_err!(
                "a merge of spilled runs leaves memory for other operators: {wanted} bytes would be too many for it"
            ));
        }
        self.inner.try_grow(reservation, additional)
    }

    fn reserved(&self) -> usize {
        self.inner.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.inner.memory_limit()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::execution::memory_pool::FairSpillPool;

    use super::*;

    const POOL: usize = 64 << 20;

    fn merge(pool: &Arc<dyn MemoryPool>, partition: usize) -> MemoryReservation {
        MemoryConsumer::new(format!("{MERGE}[{partition}]")).register(pool)
    }

    /// Grows until it is refused.
    fn greedy(reservation: &MemoryReservation) -> usize {
        while reservation.try_grow(1 << 20).is_ok() {}
        reservation.size()
    }

    #[test]
    fn a_sort_can_read_and_merge_while_another_merges_as_much_as_it_can() {
        let pool: Arc<dyn MemoryPool> =
            Arc::new(HeadroomPool::new(FairSpillPool::new(POOL), POOL, 2));
        let first = merge(&pool, 0);
        let sorter = MemoryConsumer::new("ExternalSorter[1]")
            .with_can_spill(true)
            .register(&pool);
        assert_eq!(greedy(&first), POOL / 2);
        // What the second sort keeps aside, and rows of its input.
        let second = merge(&pool, 1);
        second.try_grow(POOL / 24).unwrap();
        sorter.try_grow(POOL / 4).unwrap();
        assert!(greedy(&second) > POOL / 6 - (1 << 20));
    }

    #[test]
    fn a_merge_makes_progress_in_a_pool_that_others_exhausted() {
        let pool: Arc<dyn MemoryPool> =
            Arc::new(HeadroomPool::new(FairSpillPool::new(POOL), POOL, 2));
        let writer = MemoryConsumer::new("PartitionedWriteExec").register(&pool);
        writer.grow(POOL);
        let bounded = greedy(&merge(&pool, 0));
        assert!(
            bounded > POOL / 6 - (1 << 20) && bounded <= POOL / 6,
            "{bounded}"
        );
    }

    #[test]
    fn a_large_pool_keeps_no_more_from_merges_than_others_need() {
        let bytes = 16 * LEFT;
        let pool: Arc<dyn MemoryPool> =
            Arc::new(HeadroomPool::new(FairSpillPool::new(bytes), bytes, 2));
        assert_eq!(greedy(&merge(&pool, 0)), bytes - 2 * LEFT);
    }

    #[test]
    fn others_may_take_all() {
        let pool: Arc<dyn MemoryPool> =
            Arc::new(HeadroomPool::new(FairSpillPool::new(POOL), POOL, 2));
        let build = MemoryConsumer::new("HashJoinInput").register(&pool);
        build.try_grow(POOL).unwrap();
        assert!(build.try_grow(1).is_err());
    }
}
