//! A memory pool in which every operator that can spill makes progress. Owns what operators may reserve when others have
//! all of it, and what merges of spilled runs leave to others; the sharing of the rest is the engine's.
//!
//! A sort that merges its spilled runs opens as many at once as the pool gives it memory for, and holds that until it
//! ends. Another sort that is still reading then finds nothing left for the little that it keeps aside, and the plan
//! fails although every sort in it could spill. A refused merge only opens fewer runs and merges in several passes.
//!
//! An operator that has spilled all it had and is refused its next batch has nothing left to do but to fail. So the first
//! bytes of each such operator are granted whatever the others hold: a plan of several sorts takes a few batches more than
//! the pool then, and comes to its end.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use datafusion::common::resources_datafusion_err;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};

/// What the engine calls the memory of such a merge. Merging what a sort holds in memory has the same name, and cannot do
/// with less: it takes the rows over from the sort, and holds their keys as well.
const MERGE: &str = "ExternalSorterMerge";
/// What it calls the rows that a sort holds. Its merge has the same partition in brackets behind its name.
const SORT: &str = "ExternalSorter[";
/// What merges leave to each partition at least: what another sort keeps aside for its own merge, and some batches.
const LEFT: usize = 48 << 20;
/// What an operator that can spill is given regardless, at most: a batch or two.
const FIRST: usize = 16 << 20;

/// See the module.
#[derive(Debug)]
pub(crate) struct HeadroomPool<P> {
    inner: P,
    bytes: usize,
    partitions: usize,
    /// Merges that are alive.
    merges: AtomicUsize,
    /// Bytes of rows that sorts hold, by partition.
    sorts: Mutex<HashMap<String, usize>>,
}

impl<P: MemoryPool> HeadroomPool<P> {
    /// Over a pool of `bytes`, whose plans have so many partitions.
    pub(crate) fn new(inner: P, bytes: usize, partitions: usize) -> Self {
        Self {
            inner,
            bytes,
            partitions: partitions.max(1),
            merges: AtomicUsize::new(0),
            sorts: Mutex::default(),
        }
    }

    /// Bytes that may be reserved, by all, while a merge grows.
    fn for_merges(&self) -> usize {
        let left = self.partitions.saturating_mul(LEFT);
        (self.bytes - self.bytes / 8).max(self.bytes.saturating_sub(left))
    }

    /// Bytes of rows that all sorts hold together: merging them takes their keys as well, which may be as wide.
    fn for_sorts(&self) -> usize {
        self.bytes / 5 * 2
    }

    /// Bytes up to which a merge grows regardless, even beyond the pool: two runs that are merged are progress, and nobody
    /// else may ever give memory back. All merges of a plan share a third: a join of sorted inputs has two a partition.
    fn least_of_a_merge(&self) -> usize {
        let merges = self.merges.load(Ordering::Relaxed);
        self.bytes / 3 / merges.max(self.partitions)
    }

    /// Whether a merge takes rows over from a sort: batch by batch it holds what the sort gives back right after, so all of it
    /// is there twice for no more than a batch. Refused in the middle it could only fail.
    fn takes_over(&self, merge: &MemoryConsumer) -> bool {
        let partition = merge.name().strip_prefix(MERGE);
        let partition = partition.and_then(|rest| rest.strip_prefix('['));
        partition.is_some_and(|partition| self.sorts().get(partition).is_some_and(|held| *held > 0))
    }

    fn sorts(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.sorts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sorted(&self) -> usize {
        self.sorts().values().sum()
    }

    fn note_growth(&self, consumer: &MemoryConsumer, bytes: usize) {
        if let Some(partition) = sort_of(consumer) {
            *self.sorts().entry(partition.to_owned()).or_default() += bytes;
        }
    }

    fn grow_merge(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let wanted = reservation.size() + additional;
        if wanted <= self.least_of_a_merge() {
            self.inner.grow(reservation, additional);
            return Ok(());
        }
        let reserved = self.inner.reserved() + additional;
        if self.takes_over(reservation.consumer()) && reserved <= self.bytes + self.bytes / 8 {
            self.inner.grow(reservation, additional);
            return Ok(());
        }
        if reserved > self.for_merges() {
            return Err(resources_datafusion_err!(
                "a merge of spilled runs leaves memory for other operators: {wanted} bytes would be too many for it"
            ));
        }
        self.inner.try_grow(reservation, additional)
    }
}

/// The partition of a consumer that holds rows of a sort.
fn sort_of(consumer: &MemoryConsumer) -> Option<&str> {
    consumer.name().strip_prefix(SORT)
}

fn is_merge(consumer: &MemoryConsumer) -> bool {
    consumer.name().starts_with(MERGE)
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
        if is_merge(consumer) {
            self.merges.fetch_add(1, Ordering::Relaxed);
        }
        self.inner.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        if is_merge(consumer) {
            self.merges.fetch_sub(1, Ordering::Relaxed);
        }
        self.inner.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.note_growth(reservation.consumer(), additional);
        self.inner.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        if let Some(partition) = sort_of(reservation.consumer())
            && let Some(held) = self.sorts().get_mut(partition)
        {
            *held = held.saturating_sub(shrink);
        }
        self.inner.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        if is_merge(reservation.consumer()) {
            return self.grow_merge(reservation, additional);
        }
        let grown = if sort_of(reservation.consumer()).is_some()
            && self.sorted() + additional > self.for_sorts()
        {
            Err(resources_datafusion_err!(
                "sorts leave memory for the keys of their rows: {additional} bytes more would be too many"
            ))
        } else {
            self.inner.try_grow(reservation, additional)
        };
        let refused = match grown {
            Ok(()) => {
                self.note_growth(reservation.consumer(), additional);
                return Ok(());
            }
            Err(refused) => refused,
        };
        let first = FIRST.min(self.bytes / 8);
        if reservation.consumer().can_spill() && reservation.size() + additional <= first {
            self.grow(reservation, additional);
            return Ok(());
        }
        Err(refused)
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
        assert_eq!(greedy(&first), POOL - POOL / 8);
        // What the second sort keeps aside, and rows of its input.
        let second = merge(&pool, 1);
        second.try_grow(POOL / 24).unwrap();
        sorter.try_grow(POOL / 8).unwrap();
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
    fn all_merges_of_a_plan_share_what_they_are_given_regardless() {
        let pool: Arc<dyn MemoryPool> =
            Arc::new(HeadroomPool::new(FairSpillPool::new(POOL), POOL, 2));
        let writer = MemoryConsumer::new("PartitionedWriteExec").register(&pool);
        writer.grow(POOL);
        let merges: Vec<MemoryReservation> = (0..8).map(|number| merge(&pool, number)).collect();
        let all: usize = merges.iter().map(greedy).sum();
        assert!(all <= POOL / 3, "{all}");
        assert!(merges.iter().all(|merge| merge.size() > 0));
    }

    #[test]
    fn a_merge_takes_over_all_rows_of_its_sort() {
        const BATCH: usize = 1 << 20;
        let pool: Arc<dyn MemoryPool> =
            Arc::new(HeadroomPool::new(FairSpillPool::new(POOL), POOL, 2));
        let sorter = MemoryConsumer::new("ExternalSorter[0]")
            .with_can_spill(true)
            .register(&pool);
        sorter.try_grow(POOL / 4).unwrap();
        let others = MemoryConsumer::new("HashJoinInput").register(&pool);
        others.try_grow(POOL / 4 * 3).unwrap();
        let merge = merge(&pool, 0);
        while sorter.size() > 0 {
            merge.try_grow(BATCH).unwrap();
            sorter.shrink(BATCH);
        }
        assert_eq!(merge.size(), POOL / 4);
        assert!(
            merge.try_grow(BATCH).is_err(),
            "then it has to do with that"
        );
    }

    #[test]
    fn sorts_leave_room_for_the_keys_of_their_rows() {
        let pool: Arc<dyn MemoryPool> =
            Arc::new(HeadroomPool::new(FairSpillPool::new(POOL), POOL, 2));
        let sorter = MemoryConsumer::new("ExternalSorter[0]")
            .with_can_spill(true)
            .register(&pool);
        let rows = greedy(&sorter);
        sorter.free();
        // The merge has the rows now, and makes keys of the same size.
        let merge = merge(&pool, 0);
        merge.try_grow(rows).unwrap();
        merge.try_grow(rows).unwrap();
    }

    #[test]
    fn who_can_spill_always_gets_its_next_batch() {
        let pool: Arc<dyn MemoryPool> =
            Arc::new(HeadroomPool::new(FairSpillPool::new(POOL), POOL, 2));
        let writer = MemoryConsumer::new("PartitionedWriteExec").register(&pool);
        writer.grow(POOL);
        let sorter = MemoryConsumer::new("ExternalSorter[0]")
            .with_can_spill(true)
            .register(&pool);
        sorter.try_grow(POOL / 8).unwrap();
        assert!(sorter.try_grow(1).is_err(), "then it has to spill");
        sorter.free();
        sorter.try_grow(POOL / 8).unwrap();
        assert!(writer.try_grow(1).is_err(), "nobody else gets anything");
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
