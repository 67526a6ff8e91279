//! The executors that will work on a plan, as far as planning needs to know them.

use crate::budget::{Budget, JoinStrategy};

/// The executors that will work on a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workers {
    /// Processes.
    pub executors: usize,
    /// Partitions that they work on at once, together.
    pub vcores: usize,
    /// What a task may reserve for each of its vcores, where that is least, bytes.
    pub vcore_bytes: usize,
}

impl Workers {
    /// Executors with so many vcores and bytes of memory each.
    pub fn new(executors: &[(usize, usize)]) -> Self {
        let of_a_vcore = executors
            .iter()
            .map(|(vcores, memory)| Budget::new(*memory, 1, 1).pool_bytes() / (*vcores).max(1));
        Self {
            executors: executors.len(),
            vcores: executors.iter().map(|(vcores, _)| vcores).sum(),
            vcore_bytes: of_a_vcore.min().unwrap_or_default(),
        }
    }

    /// How joins are tried first.
    pub fn join_strategy(&self) -> JoinStrategy {
        Budget::strategy(self.vcore_bytes)
    }
}
