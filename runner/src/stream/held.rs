//! A chunk under way. Owns that the memory of each is counted as long as it is there, and no longer.

use std::sync::Arc;

use datafusion::arrow::array::{Array, RecordBatch};

use super::chunk::Chunk;
use super::monitor::Monitor;

/// See the module.
#[derive(Debug)]
pub(super) struct Held {
    chunk: Chunk,
    bytes: u64,
    monitor: Arc<Monitor>,
}

impl Held {
    pub(super) fn new(chunk: Chunk, monitor: &Arc<Monitor>) -> Self {
        let bytes = chunk.batch.get_array_memory_size() as u64;
        monitor.hold(bytes);
        Self {
            chunk,
            bytes,
            monitor: Arc::clone(monitor),
        }
    }

    pub(super) fn chunk(&self) -> &Chunk {
        &self.chunk
    }

    /// Nothing comes behind it.
    pub(super) fn mark_last(&mut self) {
        self.chunk.is_last = true;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.monitor.free(self.bytes);
    }
}

/// The bytes of these rows alone, whatever they are a slice of.
pub(super) fn bytes_of(rows: &RecordBatch) -> u64 {
    let columns = rows.columns().iter().map(|column| {
        let bytes = column.to_data().get_slice_memory_size();
        bytes.unwrap_or_else(|_| column.get_array_memory_size())
    });
    columns.sum::<usize>() as u64
}
