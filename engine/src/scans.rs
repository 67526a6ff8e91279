//! What is done to scans last, when all else of a plan is settled: large Parquet files are cut into pieces that idle streams
//! can take from busy ones, and readers are put under guard. Owns the physical optimizer's rules; handing the pieces out is
//! the engine's, the guard the readers'.
//!
//! The engine cuts a file into one range for each partition. A stream that is done with its range then has nothing left to
//! do, although another may be far behind: it had the rows that join, or encoded for both.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::listing::{FileRange, PartitionedFile};
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfig, FileScanConfigBuilder, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

/// Whether an operator reads what is outside of the plan: a leaf, or one over the list of what it reads.
pub fn is_scan(operator: &dyn ExecutionPlan) -> bool {
    operator.children().is_empty() || operator.downcast_ref::<files::FileScanExec>().is_some()
}

/// No piece is smaller, bytes: opening one costs about a millisecond.
const LEAST_BYTES: i64 = 8 << 20;
/// Pieces of one range, at most.
const MOST_PIECES: i64 = 16;

/// See the module.
#[derive(Debug)]
pub(crate) struct CutScans;

impl PhysicalOptimizerRule for CutScans {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        options: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !options.execution.enable_file_stream_work_stealing {
            return Ok(plan);
        }
        plan.transform_up(|node| {
            Ok(match node.downcast_ref::<DataSourceExec>().and_then(cut) {
                Some(scan) => Transformed::yes(scan as Arc<dyn ExecutionPlan>),
                None => Transformed::no(node),
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        "cut_scans"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Puts scans under guard, so that a reader that panics ends a run as an error of its file.
#[derive(Debug)]
pub(crate) struct GuardScans;

impl PhysicalOptimizerRule for GuardScans {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        files::guard_scans(plan)
    }

    fn name(&self) -> &str {
        "guard_scans"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The scan in pieces, or `None` if its streams may not take files from one another or all its files are small.
fn cut(scan: &DataSourceExec) -> Option<Arc<DataSourceExec>> {
    let (config, _) = scan.downcast_to_file_source::<ParquetSource>()?;
    if config.file_groups.len() < 2 || !may_share(config) {
        return None;
    }
    let groups: Vec<FileGroup> = config
        .file_groups
        .iter()
        .map(|group| FileGroup::new(group.iter().flat_map(pieces).collect()))
        .collect();
    let files = |groups: &[FileGroup]| groups.iter().map(FileGroup::len).sum::<usize>();
    if files(&groups) == files(&config.file_groups) {
        return None;
    }
    let config = FileScanConfigBuilder::from(config.clone())
        .with_file_groups(groups)
        .build();
    Some(DataSourceExec::from_data_source(config))
}

fn may_share(config: &FileScanConfig) -> bool {
    !config.preserve_order
        && config.output_ordering.is_empty()
        && config.output_partitioning.is_none()
}

fn pieces(file: &PartitionedFile) -> Vec<PartitionedFile> {
    let size = i64::try_from(file.object_meta.size).unwrap_or(i64::MAX);
    let (start, end) = file
        .range
        .as_ref()
        .map_or((0, size), |range| (range.start, range.end));
    let count = ((end - start) / LEAST_BYTES).clamp(1, MOST_PIECES);
    let cut = |piece: i64| start + (end - start) / count * piece;
    (0..count)
        .map(|piece| {
            let mut part = file.clone();
            if count > 1 {
                part.range = Some(FileRange {
                    start: cut(piece),
                    end: if piece + 1 == count {
                        end
                    } else {
                        cut(piece + 1)
                    },
                });
            }
            part
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(size: u64, range: Option<(i64, i64)>) -> Vec<Option<(i64, i64)>> {
        let mut file = PartitionedFile::new("a.parquet", size);
        file.range = range.map(|(start, end)| FileRange { start, end });
        pieces(&file)
            .into_iter()
            .map(|piece| piece.range.map(|range| (range.start, range.end)))
            .collect()
    }

    #[test]
    fn pieces_cover_the_range_once() {
        const MIB: i64 = 1 << 20;
        assert_eq!(ranges(5, None), [None]);
        assert_eq!(ranges(5 << 20, Some((0, 3 * MIB))), [Some((0, 3 * MIB))]);
        for (size, range) in [(100 << 20, None), (9 << 30, Some((7, 5 << 30)))] {
            let cut = ranges(size, range);
            assert!(cut.len() > 1 && cut.len() <= 16, "{cut:?}");
            let (from, to) = range.unwrap_or((0, i64::try_from(size).unwrap()));
            let mut at = from;
            for piece in cut {
                let (start, end) = piece.unwrap();
                assert_eq!(start, at);
                assert!(end - start >= LEAST_BYTES);
                at = end;
            }
            assert_eq!(at, to);
        }
    }
}
