//! Mode `merge`: rows are inserted or updated by their key, in the partitions that the run touches. Owns which partitions
//! those are and what is counted; which row wins, and how it is written, is `crate::merge`'s.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::action::PublishAction;
use super::base::{Base, by_partition};
use super::kind::{CommitAction, Requirements};
use super::{Change, CommitMode, MergeCounts};
use crate::error::Result;
use crate::merge;
use crate::options::KeyScope;
use crate::write::StagedFile;

#[derive(Debug)]
pub(super) struct Merge;

impl CommitAction for Merge {
    fn mode(&self) -> CommitMode {
        CommitMode::Merge
    }

    fn requirements(&self) -> Requirements {
        Requirements {
            replaces_files: true,
            key: true,
            ..Requirements::default()
        }
    }
}

#[async_trait]
impl PublishAction for Merge {
    fn effect(&self) -> &'static str {
        "rewrites the partitions that the run touches, updating rows by key; others stay"
    }

    async fn prepare(&self, base: &mut Base<'_>, produced: Vec<StagedFile>) -> Result<Change> {
        let (run, ctx) = (base.run, base.ctx);
        let mut change = Change::default();
        let mut counts = MergeCounts::default();
        let mut moved = BTreeMap::new();
        let mut produced = by_partition(produced);
        if run.options().key_scope == KeyScope::Table && !run.schema().partition_by().is_empty() {
            let resolved = merge::resolve_table_wide(run, ctx, produced, &base.files()).await?;
            counts.duplicates_dropped = resolved.duplicates_dropped;
            produced = by_partition(resolved.winners);
            moved = by_partition(resolved.moved);
        }
        let partitions: BTreeSet<String> = produced.keys().chain(moved.keys()).cloned().collect();
        let work = partitions
            .into_iter()
            .map(|partition| merge::Work {
                published: base.take(&partition),
                arrived: produced.remove(&partition).unwrap_or_default(),
                moved: moved.remove(&partition).unwrap_or_default(),
                partition,
            })
            .collect();
        for merged in merge::merge(run, ctx, work).await? {
            let changes = change.added.len() + change.removed.len();
            change.replace(merged.published, merged.files);
            counts.duplicates_dropped += merged.duplicates_dropped;
            if change.added.len() + change.removed.len() > changes {
                counts.inserted += merged.inserted;
                counts.updated += merged.updated;
                counts.moved += merged.moved;
            }
        }
        // In its new partition a moved row was counted as new.
        counts.inserted = counts.inserted.saturating_sub(counts.moved);
        change.merge = Some(counts);
        Ok(change)
    }
}
