//! Mode `replace`: the whole table is replaced, its schema, its partitioning and its intervals included.

use async_trait::async_trait;

use super::action::PublishAction;
use super::base::Base;
use super::kind::{CommitAction, Requirements};
use super::overwrite::Overwrite;
use super::{Change, CommitMode};
use crate::error::Result;
use crate::write::StagedFile;

#[derive(Debug)]
pub(super) struct Replace;

impl CommitAction for Replace {
    fn mode(&self) -> CommitMode {
        CommitMode::Replace
    }

    fn requirements(&self) -> Requirements {
        Requirements {
            replaces_files: true,
            replaces_table: true,
            ..Requirements::default()
        }
    }
}

#[async_trait]
impl PublishAction for Replace {
    fn effect(&self) -> &'static str {
        "replaces the whole table"
    }

    async fn prepare(&self, base: &mut Base<'_>, produced: Vec<StagedFile>) -> Result<Change> {
        let mut change = Overwrite.prepare(base, produced).await?;
        change.removed.extend(base.take_all());
        Ok(change)
    }
}
