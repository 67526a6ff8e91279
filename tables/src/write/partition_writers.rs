//! The writers of an operator's partitions, by the partition's number. Owns what the streams share to name files.

use std::sync::Arc;

use super::WriteSpec;
use super::encoder::PartitionWriter;
use super::names::Ordinals;
use super::partition_index::PartitionIndex;

/// Makes the writers of one operator.
pub(super) struct PartitionWriters {
    pub(super) spec: Arc<WriteSpec>,
    pub(super) ordinals: Arc<Ordinals>,
    pub(super) numbers: PartitionIndex,
}

impl PartitionWriters {
    pub(super) fn new(spec: &Arc<WriteSpec>) -> Self {
        Self {
            spec: Arc::clone(spec),
            ordinals: Arc::new(Ordinals::new(spec)),
            numbers: PartitionIndex::default(),
        }
    }

    /// One more writer of that partition.
    pub(super) fn writer(&self, number: u32) -> PartitionWriter {
        PartitionWriter::new(&self.spec, &self.ordinals, self.numbers.path(number))
    }
}
