//! The bad rows of plans that other processes execute. Owns that they are told by scans of their own: what an operator met
//! beside its rows does not come back from an executor.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;

use super::bad_rows::BadRows;
use super::listing::File;
use super::scan::FileScanExec;
use super::slice::deal;

/// A plan that tells what is bad in files of one source.
#[derive(Debug)]
pub struct BadRowScan {
    /// The plan. What it gives is to be [taken](Self::take).
    pub plan: Arc<dyn ExecutionPlan>,
    files: Vec<String>,
    rows: Arc<BadRows>,
}

impl BadRowScan {
    /// Takes what the plan gave.
    ///
    /// # Errors
    /// When there are more bad rows than the source may have.
    pub fn take(&self, told: &[RecordBatch]) -> Result<()> {
        self.rows.take(told)?;
        // Of a file without rows nothing is told.
        self.rows.read_all(&self.files);
        Ok(())
    }
}

/// For each source of a plan that puts bad rows aside, what tells those of the files that are not known yet.
///
/// # Errors
/// When such a plan cannot be made.
pub fn bad_row_scans(plan: &dyn ExecutionPlan) -> Result<Vec<BadRowScan>> {
    let mut sources: Vec<(&FileScanExec, &Arc<BadRows>, BTreeMap<&str, &File>)> = Vec::new();
    for (scan, rows) in scans(plan) {
        let known = sources
            .iter()
            .position(|(_, known, _)| Arc::ptr_eq(known, rows));
        let index = known.unwrap_or_else(|| {
            sources.push((scan, rows, BTreeMap::new()));
            sources.len() - 1
        });
        let unknown = scan.files().iter();
        let unknown = unknown.filter(|file| !rows.has_all_of(&file.name));
        let files = &mut sources[index].2;
        files.extend(unknown.map(|file| (file.name.as_str(), file)));
    }
    sources.retain(|(_, _, files)| !files.is_empty());
    let plans = sources.into_iter().map(|(scan, rows, files)| {
        let names = files.keys().map(|&name| name.to_owned()).collect();
        let files = files.into_values().cloned().collect();
        let partitions = scan.partitions();
        Ok(BadRowScan {
            plan: Arc::new(scan.only_bad(&deal(files, partitions, None))?),
            files: names,
            rows: Arc::clone(rows),
        })
    });
    plans.collect()
}

/// The good rows in the files of a plan's sources that put bad rows aside; those of a file that it reads twice, twice.
pub fn good_rows(plan: &dyn ExecutionPlan) -> u64 {
    let scans = scans(plan).into_iter().map(|(scan, rows)| {
        let names = scan.files().iter().map(|file| file.name.as_str());
        rows.good_of(names)
    });
    scans.sum()
}

/// The scans of a plan that put bad rows aside.
fn scans(plan: &dyn ExecutionPlan) -> Vec<(&FileScanExec, &Arc<BadRows>)> {
    let scan = plan.downcast_ref::<FileScanExec>();
    if let Some((scan, rows)) = scan.and_then(|scan| Some((scan, scan.bad_rows()?))) {
        return vec![(scan, rows)];
    }
    let children = plan.children().into_iter();
    children.flat_map(|child| scans(child.as_ref())).collect()
}
