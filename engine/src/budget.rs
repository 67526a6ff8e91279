//! How a ceiling on resident memory is divided.
//!
//! Owns the arithmetic from `--memory` to the engine's pool, its kind, the join strategy and the parallelism.
//! Does not measure memory (`runner::memory` does) and does not enforce the ceiling outside the engine.

use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::execution::memory_pool::{
    FairSpillPool, GreedyMemoryPool, MemoryPool, TrackConsumersPool,
};

use crate::pool::HeadroomPool;

const MIB: usize = 1024 * 1024;

/// Memory that a process holds before it reads a row: code, thread stacks, HTTP and TLS buffers, the run store.
const RESIDENT_BASE: usize = 128 * MIB;

/// Of so much of what the base leaves, operators may reserve two fifths; of what is beyond, three. Decoders, buffers of the
/// writer and batches under way do not grow with the ceiling; what does and is not reserved is the copy of a build side that a
/// hash join makes of its batches, which is less than the half of what it reserves.
const SCARCE: usize = 1024 * MIB;

/// The pool never gets less than this: below it not even one sort makes progress.
const SMALLEST_POOL: usize = 24 * MIB;

/// From this pool size on, joins hash. The build side must then fit the pool; a plan whose build side does not fit ends
/// with `ResourcesExhausted` as soon as the build side is read, before anything is written, and is tried again with
/// [`Budget::tightened`]. Below this size joins sort and merge from the start, which can spill.
const HASH_JOIN_POOL: usize = 96 * MIB;

/// Partitions that a plan may have anywhere, cluster or not.
pub(crate) const MOST_PARTITIONS: usize = 1024;

/// What a row takes, about, where its width is not known.
pub(crate) const ROW_BYTES: usize = 64;

/// From this pool size on, whoever asks first gets memory. Below it every spilling operator has its share.
const GREEDY_POOL: usize = 1024 * MIB;

/// One sort holds this much aside for its merge phase (DataFusion's own default, in a budget that can afford it).
const MERGE_RESERVATION: usize = 10 * MIB;

/// How equi-joins are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinStrategy {
    /// Hash join: fastest, but its build side must fit the pool.
    Hash,
    /// Sort-merge join: both sides may spill.
    SortMerge,
}

/// The division of a ceiling on resident memory among its users.
///
/// The pool of the engine sees only what operators reserve; allocators, decoders and network buffers come on top.
/// So the pool is a fraction of what the ceiling leaves after the base of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    pool: usize,
    join: JoinStrategy,
    partitions: usize,
    most_partitions: usize,
    batch_size: usize,
}

impl Budget {
    /// Divides `ceiling` bytes of resident memory for a machine with `cores` processors and batches of up to
    /// `batch_size` rows.
    ///
    /// ```
    /// let small = engine::Budget::new(256 << 20, 8, 8192);
    /// assert!(small.pool_bytes() < 128 << 20);
    /// assert_eq!(small.join_strategy(), engine::JoinStrategy::SortMerge);
    /// let large = engine::Budget::new(16 << 30, 8, 8192);
    /// assert_eq!(large.join_strategy(), engine::JoinStrategy::Hash);
    /// ```
    pub fn new(ceiling: usize, cores: usize, batch_size: usize) -> Self {
        let left = ceiling.saturating_sub(RESIDENT_BASE);
        let scarce = left.min(SCARCE);
        let pool = (scarce / 5 * 2 + (left - scarce) / 5 * 3).max(SMALLEST_POOL);
        let join = Self::strategy(pool);
        // Every partition of a sort keeps a merge reservation: more of them than the pool can feed only spill more.
        let affordable = (pool / (4 * MERGE_RESERVATION)).max(1);
        let partitions = cores.clamp(1, affordable).max(least_partitions(join));
        Self {
            pool,
            join,
            partitions,
            most_partitions: affordable.min(MOST_PARTITIONS).max(partitions),
            batch_size: batch_size.max(1),
        }
    }

    /// How joins are executed by operators that may reserve so many bytes.
    pub(crate) fn strategy(pool: usize) -> JoinStrategy {
        if pool >= HASH_JOIN_POOL {
            JoinStrategy::Hash
        } else {
            JoinStrategy::SortMerge
        }
    }

    /// The same ceiling with the settings that need the least: few partitions, small batches, spilling joins.
    /// A plan that exhausted its budget is tried again with these before it is given up. `None` when nothing is left to
    /// tighten.
    pub fn tightened(&self) -> Option<Self> {
        let tight = Self {
            join: JoinStrategy::SortMerge,
            partitions: least_partitions(JoinStrategy::SortMerge),
            most_partitions: least_partitions(JoinStrategy::SortMerge),
            batch_size: self.batch_size.min(1024),
            ..self.clone()
        };
        (tight != *self).then_some(tight)
    }

    /// What the engine's operators may reserve together, bytes.
    pub fn pool_bytes(&self) -> usize {
        self.pool
    }

    /// How joins are executed under this budget.
    pub fn join_strategy(&self) -> JoinStrategy {
        self.join
    }

    /// Partitions that are worked on at once.
    pub fn partitions(&self) -> usize {
        self.partitions
    }

    /// Partitions that a pipeline may ask for: those that the pool can feed, whatever the number of processors.
    pub(crate) fn most_partitions(&self) -> usize {
        self.most_partitions
    }

    /// Rows of a batch, at most.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// What a sort keeps aside for its merge phase, bytes: a twelfth of what each partition may expect.
    pub(crate) fn merge_reservation(&self) -> usize {
        merge_reservation(self.pool / self.partitions)
    }

    /// Estimated bytes up to which the build side of a hash join is read once and shared by all partitions. Above, both
    /// sides are dealt to partitions by hash first, which copies every row of the probe side.
    pub(crate) fn shared_build_bytes(&self) -> usize {
        self.pool / 2
    }

    /// A fresh pool: fair (every spilling operator gets its share) where memory is short, greedy where it is ample.
    pub(crate) fn pool(&self) -> Arc<dyn MemoryPool> {
        if self.join == JoinStrategy::SortMerge || self.pool < GREEDY_POOL {
            fair_pool(self.pool, self.partitions)
        } else {
            let greedy = GreedyMemoryPool::new(self.pool);
            Arc::new(TrackConsumersPool::new(
                HeadroomPool::new(greedy, self.pool, self.partitions),
                NAMED,
            ))
        }
    }
}

/// What a sort keeps aside of what its partition may reserve, bytes.
pub(crate) fn merge_reservation(partition_bytes: usize) -> usize {
    (partition_bytes / 12).min(MERGE_RESERVATION)
}

/// So many of those who hold memory are named when there is none left.
const NAMED: NonZeroUsize = NonZeroUsize::new(5).expect("BUG: five is not zero");

/// A pool of `bytes` of which every operator that can spill has its share: that of a task with so many partitions, and of
/// every plan where memory is short.
pub fn fair_pool(bytes: usize, partitions: usize) -> Arc<dyn MemoryPool> {
    let fair = FairSpillPool::new(bytes);
    Arc::new(TrackConsumersPool::new(
        HeadroomPool::new(fair, bytes, partitions),
        NAMED,
    ))
}

/// Those who reserved memory of a pool that was made here, and how many bytes.
pub(crate) fn consumers(pool: &dyn MemoryPool) -> Vec<(String, usize)> {
    let fair = pool.downcast_ref::<TrackConsumersPool<HeadroomPool<FairSpillPool>>>();
    let greedy = pool.downcast_ref::<TrackConsumersPool<HeadroomPool<GreedyMemoryPool>>>();
    fair.map(TrackConsumersPool::metrics)
        .or(greedy.map(TrackConsumersPool::metrics))
        .unwrap_or_default()
        .into_iter()
        .map(|consumer| (consumer.name, consumer.reserved))
        .collect()
}

/// With a single partition the engine plans hash joins whatever it is told to prefer, so joins that spill need two.
pub(crate) fn least_partitions(join: JoinStrategy) -> usize {
    match join {
        JoinStrategy::Hash => 1,
        JoinStrategy::SortMerge => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pool_stays_below_the_ceiling() {
        for ceiling in [256, 512, 1024, 4096, 65536] {
            let budget = Budget::new(ceiling * MIB, 16, 8192);
            assert!(
                budget.pool_bytes() + RESIDENT_BASE <= ceiling * MIB,
                "{budget:?}"
            );
        }
    }

    #[test]
    fn few_partitions_share_a_small_pool() {
        assert_eq!(Budget::new(256 * MIB, 16, 8192).partitions(), 2);
        assert_eq!(Budget::new(400 * MIB, 16, 8192).partitions(), 2);
        assert_eq!(Budget::new(16 * 1024 * MIB, 16, 8192).partitions(), 16);
    }

    #[test]
    fn the_tightest_budget_has_nothing_left_to_tighten() {
        let budget = Budget::new(1024 * MIB, 4, 8192);
        let tight = budget.tightened().unwrap();
        assert_eq!((tight.partitions(), tight.batch_size()), (2, 1024));
        assert_eq!(tight.tightened(), None);
    }
}
