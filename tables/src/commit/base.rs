//! The table that an action builds on: its published files by partition, and the means to write others. Owns that each of
//! them is taken once.

use std::collections::BTreeMap;

use datafusion::prelude::SessionContext;

use super::Change;
use crate::error::Result;
use crate::log::DataFile;
use crate::merge;
use crate::staging::Staging;
use crate::write::StagedFile;

/// Published files that nothing was decided about yet.
pub(crate) struct Base<'a> {
    pub(super) run: &'a Staging,
    /// Gives the memory pool and the folder for spilling.
    pub(super) ctx: &'a SessionContext,
    published: BTreeMap<String, Vec<DataFile>>,
}

impl<'a> Base<'a> {
    pub(crate) fn new(run: &'a Staging, ctx: &'a SessionContext) -> Self {
        let mut published: BTreeMap<String, Vec<DataFile>> = BTreeMap::new();
        for file in run.base().iter().flat_map(|base| &base.files) {
            published
                .entry(file.partition().to_owned())
                .or_default()
                .push(file.clone());
        }
        Self {
            run,
            ctx,
            published,
        }
    }

    /// Takes the files of a partition.
    pub(super) fn take(&mut self, partition: &str) -> Vec<DataFile> {
        self.published.remove(partition).unwrap_or_default()
    }

    /// Takes all files.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = DataFile> {
        std::mem::take(&mut self.published).into_values().flatten()
    }

    /// All files that were not taken.
    pub(super) fn files(&self) -> Vec<&DataFile> {
        self.published.values().flatten().collect()
    }

    /// Writes the rows of published files again, in the table's present schema and with `arrived` rows among them.
    pub(super) async fn rewrite(
        &self,
        change: &mut Change,
        partition: &str,
        published: Vec<DataFile>,
        arrived: &[StagedFile],
    ) -> Result<()> {
        let files = merge::rewrite(self.run, self.ctx, partition, &published, arrived).await?;
        change.rewritten += published.len() as u64;
        change.replace(published, files);
        Ok(())
    }

    /// Rewrites what no action took, if a column gets a wider type: readers of several files take a column's type from any
    /// of them, so no file may keep the narrower one.
    pub(crate) async fn widen(mut self, change: &mut Change) -> Result<()> {
        if !self.run.widens() {
            return Ok(());
        }
        for (partition, published) in std::mem::take(&mut self.published) {
            self.rewrite(change, &partition, published, &[]).await?;
        }
        Ok(())
    }
}

/// The files of each partition.
pub(super) fn by_partition(files: Vec<StagedFile>) -> BTreeMap<String, Vec<StagedFile>> {
    let mut partitions: BTreeMap<String, Vec<StagedFile>> = BTreeMap::new();
    for file in files {
        partitions
            .entry(file.partition.clone())
            .or_default()
            .push(file);
    }
    partitions
}
