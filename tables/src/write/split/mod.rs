//! Splitting the large partitions of a table with an order, so that several streams write one. Owns which ranges of the
//! order a partition is split into and which stream writes each; what is written is `sorted`'s.
//!
//! ```text
//! the query's partition and sort columns ─► SampleExec: rows and a sample of each partition ─► Split
//! the query ─► RangeAssignExec: adds the column of range and stream ─► exchange ─► sort ─► PartitionedWriteExec
//! ```
//!
//! Ranges must be a function of the rows alone, or the files would not be. So the sample is one that any number of
//! streams takes alike (`sketch`), and ranges end between two values of the sort columns, never within one.

mod assign;
mod assignment;
mod keys;
mod sample;
mod sketch;

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::stats::Precision;
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

use super::discard;

pub(super) use assign::RangeAssignExec;
pub(super) use assignment::{RangeAssignment, SLOT, range_of};
pub(crate) use keys::SplitKeys;
pub(super) use sample::SampleExec;

use assignment::{AssignedRanges, Salts};
use sketch::Sketch;

/// Ranges of one partition, at most.
const MAX_RANGES: u64 = 1000;
/// Partitions that are given to streams by their size, the largest first; others are too small to matter.
const MAX_ASSIGNED_PARTITIONS: usize = 4096;

/// The plan that samples `input`, of which [`Split::read`] reads the rows. `None` if the input is known to have fewer rows
/// than two ranges.
pub(crate) fn sample_plan(
    input: Arc<dyn ExecutionPlan>,
    keys: &SplitKeys,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let statistics = StatisticsContext::new().compute(input.as_ref(), &StatisticsArgs::new());
    if let Ok(Precision::Exact(rows)) = statistics.map(|statistics| statistics.num_rows)
        && ranges_of(rows as u64, keys.range_rows) < 2
    {
        return Ok(None);
    }
    let keys = keys.alone();
    let input = discard::to_schema(input, keys.schema.columns(), &keys.checked)?;
    Ok(Some(Arc::new(SampleExec::new(input, Arc::new(keys)))))
}

/// `input`, which has the columns of `keys`, with the slot of each row.
pub(super) fn assign(
    input: Arc<dyn ExecutionPlan>,
    keys: &SplitKeys,
    assignment: RangeAssignment,
) -> Arc<dyn ExecutionPlan> {
    Arc::new(RangeAssignExec::new(
        input,
        Arc::new(keys.clone()),
        Arc::new(assignment),
    ))
}

/// The ranges that a partition of so many rows is split into.
fn ranges_of(rows: u64, range_rows: u64) -> u64 {
    let range_rows = range_rows.max(1);
    (rows.saturating_add(range_rows / 2) / range_rows).clamp(1, MAX_RANGES)
}

/// How the rows of a run are split.
#[derive(Debug, Clone, Default)]
pub(crate) struct Split {
    /// Rows that were looked at, those that do not fit among them.
    rows: u64,
    /// The partitions that have most rows.
    partitions: BTreeMap<String, Ranges>,
}

/// The ranges of a partition.
#[derive(Debug, Clone)]
struct Ranges {
    /// Rows of all.
    rows: u64,
    /// The first value of each but the first.
    firsts: Vec<Box<[u8]>>,
}

impl Split {
    /// Of what the plan of [`sample_plan`] gave.
    pub(crate) fn read(keys: &SplitKeys, batches: &[RecordBatch]) -> Result<Self> {
        Ok(Self::new(&sample::read(batches)?, keys.range_rows))
    }

    fn new(sketch: &Sketch, range_rows: u64) -> Self {
        let mut partitions: Vec<(&String, u64)> = sketch.partitions().collect();
        partitions.sort_unstable_by_key(|(path, rows)| (std::cmp::Reverse(*rows), *path));
        partitions.truncate(MAX_ASSIGNED_PARTITIONS);
        Self {
            rows: sketch.rows(),
            partitions: partitions
                .into_iter()
                .map(|(path, rows)| {
                    let firsts = sketch.cuts(path, ranges_of(rows, range_rows));
                    (path.clone(), Ranges { rows, firsts })
                })
                .collect(),
        }
    }

    /// Rows that were looked at.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Gives each range to one of so many streams: the largest first, always to the stream that has least.
    pub(super) fn assign(&self, streams: usize) -> Result<RangeAssignment> {
        let streams = streams.max(1);
        let mut ranges: Vec<(u64, &String, usize)> = Vec::new();
        for (path, Ranges { rows, firsts }) in &self.partitions {
            let count = firsts.len() + 1;
            ranges.extend((0..count).map(|range| (rows / count as u64, path, range)));
        }
        ranges
            .sort_unstable_by_key(|(rows, path, range)| (std::cmp::Reverse(*rows), *path, *range));
        let mut load = vec![0; streams];
        let mut salts = Salts::new(streams);
        let unassigned = |Ranges { firsts, .. }: &Ranges| AssignedRanges {
            firsts: firsts.iter().map(hex::encode).collect(),
            slots: vec![0; firsts.len() + 1],
        };
        let mut partitions: BTreeMap<String, AssignedRanges> = self
            .partitions
            .iter()
            .map(|(path, ranges)| (path.clone(), unassigned(ranges)))
            .collect();
        for (rows, path, range) in ranges {
            let lightest = (0..streams)
                .min_by_key(|stream| load[*stream])
                .unwrap_or_default();
            load[lightest] += rows;
            if let Some(partition) = partitions.get_mut(path) {
                partition.slots[range] = salts.slot(range, lightest)?;
            }
        }
        let rest = (0..streams).map(|stream| salts.slot(0, stream));
        Ok(RangeAssignment {
            partitions,
            rest: rest.collect::<Result<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use datafusion::arrow::array::{ArrayRef, UInt64Array};
    use datafusion::physical_expr::expressions::Column;
    use datafusion::physical_plan::metrics::Time;
    use datafusion::physical_plan::repartition::BatchPartitioner;

    use super::*;

    /// The stream that an exchange by hash gives a row with this slot to.
    fn stream_of(slot: u64, streams: usize) -> usize {
        let column: ArrayRef = Arc::new(UInt64Array::from(vec![slot]));
        let batch = RecordBatch::try_from_iter([("slot", column)]).unwrap();
        let key = Arc::new(Column::new("slot", 0));
        let mut exchange =
            BatchPartitioner::new_hash_partitioner(vec![key], streams, Time::new()).unwrap();
        let mut given = Vec::new();
        exchange
            .partition(batch, |stream, rows| {
                if rows.num_rows() > 0 {
                    given.push(stream);
                }
                Ok(())
            })
            .unwrap();
        given[0]
    }

    #[test]
    fn ranges_are_assigned_evenly_to_the_streams_that_an_exchange_gives_them_to() {
        let mut sketch = Sketch::default();
        for value in 0..8000_u64 {
            sketch.add(
                "day=1",
                value.wrapping_mul(0x9E37_79B9_7F4A_7C15),
                &value.to_be_bytes(),
                1,
            );
        }
        for value in 0..1000_u64 {
            sketch.add(
                "day=2",
                value.wrapping_mul(0x9E37_79B9_7F4A_7C15),
                &value.to_be_bytes(),
                1,
            );
        }
        let split = Split::new(&sketch, 1000);
        let assignment = split.assign(3).unwrap();
        let large = &assignment.partitions["day=1"];
        assert_eq!(large.slots.len(), 8);
        assert!(assignment.partitions["day=2"].firsts.is_empty());
        let all: Vec<u64> = large
            .slots
            .iter()
            .chain(&assignment.partitions["day=2"].slots)
            .copied()
            .collect();
        for stream in 0..3 {
            let given = all.iter().filter(|slot| stream_of(**slot, 3) == stream);
            assert_eq!(given.count(), 3, "of nine ranges of about a thousand rows");
        }
        let rest: BTreeSet<usize> = assignment
            .rest
            .iter()
            .map(|slot| stream_of(*slot, 3))
            .collect();
        assert_eq!(rest.len(), 3);
        let ranges: Vec<u32> = large.slots.iter().map(|slot| range_of(*slot)).collect();
        assert_eq!(ranges, (0..8).collect::<Vec<_>>());
    }
}
