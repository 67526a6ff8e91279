//! Mode `overwrite`: the partitions that the run produced are replaced, the others stay.

use async_trait::async_trait;

use super::action::PublishAction;
use super::base::{Base, by_partition};
use super::kind::{CommitAction, Requirements};
use super::{Change, CommitMode};
use crate::error::Result;
use crate::write::StagedFile;

#[derive(Debug)]
pub(super) struct Overwrite;

impl CommitAction for Overwrite {
    fn mode(&self) -> CommitMode {
        CommitMode::Overwrite
    }

    fn requirements(&self) -> Requirements {
        Requirements {
            replaces_files: true,
            ..Requirements::default()
        }
    }
}

#[async_trait]
impl PublishAction for Overwrite {
    fn effect(&self) -> &'static str {
        "replaces the partitions that the run produces; others stay"
    }

    async fn prepare(&self, base: &mut Base<'_>, produced: Vec<StagedFile>) -> Result<Change> {
        let mut change = Change::default();
        for (partition, files) in by_partition(produced) {
            change.replace(base.take(&partition), files);
        }
        Ok(change)
    }
}
