//! Mode `append`: the rows are added, and every published file stays.

use async_trait::async_trait;

use super::action::PublishAction;
use super::base::{Base, by_partition};
use super::kind::{CommitAction, Requirements};
use super::{Change, CommitMode};
use crate::error::Result;
use crate::write::StagedFile;

#[derive(Debug)]
pub(super) struct Append;

impl CommitAction for Append {
    fn mode(&self) -> CommitMode {
        CommitMode::Append
    }

    fn requirements(&self) -> Requirements {
        Requirements {
            new_interval: true,
            ..Requirements::default()
        }
    }
}

#[async_trait]
impl PublishAction for Append {
    fn effect(&self) -> &'static str {
        "adds files; replaces none"
    }

    async fn prepare(&self, base: &mut Base<'_>, produced: Vec<StagedFile>) -> Result<Change> {
        let mut change = Change::default();
        for (partition, files) in by_partition(produced) {
            // Of files that are rewritten and of new ones the rows come into the same files, so that no two files of a
            // partition have one name.
            let rewritten = if base.run.widens() {
                base.take(&partition)
            } else {
                Vec::new()
            };
            if rewritten.is_empty() {
                files.into_iter().for_each(|file| change.add(file));
            } else {
                base.rewrite(&mut change, &partition, rewritten, &files)
                    .await?;
            }
        }
        Ok(change)
    }
}
