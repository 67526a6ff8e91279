//! Which range of its partition each row is of, and which stream writes it, as numbers that travel with the rows.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, UInt64Array};
use datafusion::common::hash_utils::create_hashes;
use datafusion::error::Result;
use datafusion::physical_plan::repartition::REPARTITION_RANDOM_STATE;
use serde::{Deserialize, Serialize};

/// The column that is added behind all others.
pub(crate) const SLOT: &str = "__spillway_slot";

/// Which range of its partition a row with this slot is in, from 0.
pub(crate) fn range_of(slot: u64) -> u32 {
    u32::try_from(slot >> 32).unwrap_or(u32::MAX)
}

/// Which range each row is of, and which stream writes it, as it travels to other processes.
///
/// A slot is a number with the range in its upper half, which an exchange by hash gives to the stream that was meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RangeAssignment {
    pub(super) partitions: BTreeMap<String, AssignedRanges>,
    /// For partitions that are not named: a slot for each stream.
    pub(super) rest: Vec<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AssignedRanges {
    /// The first value of each range but the first, as [`SplitKeys::converter`] spells it, in hexadecimal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) firsts: Vec<String>,
    /// The slot of each range.
    pub(super) slots: Vec<u64>,
}

/// Finds numbers that an exchange by hash gives to a certain stream: by trying. If the engine's hash were another one,
/// rows would be spread less evenly and nothing else.
pub(super) struct Salts {
    streams: usize,
    found: HashMap<(usize, usize), u64>,
}

impl Salts {
    pub(super) fn new(streams: usize) -> Self {
        Self {
            streams,
            found: HashMap::new(),
        }
    }

    pub(super) fn slot(&mut self, range: usize, stream: usize) -> Result<u64> {
        if let Some(found) = self.found.get(&(range, stream)) {
            return Ok(*found);
        }
        let base = (range as u64) << 32;
        // That none of so many is given to a stream is as good as impossible.
        let candidates: Vec<u64> = (0..32 * self.streams as u64)
            .map(|salt| base | salt)
            .collect();
        let column: ArrayRef = Arc::new(UInt64Array::from(candidates.clone()));
        let mut hashes = vec![0; candidates.len()];
        create_hashes(
            &[column],
            REPARTITION_RANDOM_STATE.random_state(),
            &mut hashes,
        )?;
        let of_stream = |hash: &u64| hash % self.streams as u64 == stream as u64;
        let position = hashes.iter().position(of_stream).unwrap_or_default();
        let slot = candidates.get(position).copied().unwrap_or(base);
        self.found.insert((range, stream), slot);
        Ok(slot)
    }
}
