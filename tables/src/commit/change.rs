//! What a commit would change, as an action worked it out: the files that come and go, and what is counted. Decides
//! nothing.

use std::collections::BTreeSet;

use crate::log::{AddedFile, DataFile, Totals};
use crate::schema_policy::SchemaChange;
use crate::write::StagedFile;

/// What publishing would change. Made by [`crate::Staging::prepare`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// Files that readers will see after it.
    pub added: Vec<DataFile>,
    /// Published files that go.
    pub removed: Vec<DataFile>,
    /// Published files, in partitions that this run produced, that hold the very bytes it would write; they stay.
    pub unchanged: Vec<DataFile>,
    /// Rows that this run staged, before any merge.
    pub rows_staged: u64,
    /// Rows in `added`. In `merge` these include the kept rows of the replaced files.
    pub rows_written: u64,
    /// Bytes in `added`.
    pub bytes_written: u64,
    /// Rows that the run read and did not stage, because contract `discard_row` left them out.
    pub rows_discarded: u64,
    /// What a merge did to rows; `None` in other modes.
    pub merge: Option<MergeCounts>,
    /// Published files that are rewritten only because a column gets a wider type; they are in `removed` too.
    pub rewritten: u64,
    /// What changes in the schema of the table.
    pub schema_changes: Vec<SchemaChange>,
    /// Keys and uploads of the staged files of `added`, in the same order.
    staged: Vec<(String, String)>,
    /// Paths in `added` under which a file is published now, which will be replaced in one step.
    replaced: BTreeSet<String>,
}

/// What a merge does to rows, over the partitions whose files change. Every arriving row whose partition changes is
/// inserted, an update, moved, or a dropped duplicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MergeCounts {
    /// Rows whose key was not published: the table has so many rows more.
    pub inserted: u64,
    /// Published rows replaced by an arriving row with their key in their partition.
    pub updated: u64,
    /// Published rows that went because their key arrived in another partition; only where a key is unique in the whole
    /// table.
    pub moved: u64,
    /// Arriving rows dropped because another arriving row with their key won, over all partitions.
    pub duplicates_dropped: u64,
}

impl Change {
    /// Whether the table would hold the same files as before.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.schema_changes.is_empty()
    }

    /// How many files of `added` take the place, and the name, of a published one in one step.
    pub fn replaced(&self) -> usize {
        self.replaced.len()
    }

    /// Sums over the files that would be added.
    pub fn totals(&self) -> Totals {
        Totals::of(&self.added)
    }

    /// These staged files come, these published ones go.
    pub(super) fn of(added: Vec<StagedFile>, removed: Vec<DataFile>) -> Self {
        let mut change = Self {
            rows_staged: added.iter().map(|file| file.rows).sum(),
            removed,
            ..Self::default()
        };
        added.into_iter().for_each(|file| change.add(file));
        change
    }

    /// The files that come, each with the staged one that it is made of.
    pub(crate) fn added_files(&self) -> impl Iterator<Item = AddedFile> {
        let staged = self.added.iter().zip(&self.staged);
        staged.map(|(file, (staged, upload))| AddedFile {
            replaces: self.replaced.contains(&file.path),
            file: file.clone(),
            staged: staged.clone(),
            upload: upload.clone(),
        })
    }

    pub(super) fn add(&mut self, file: StagedFile) {
        self.rows_written += file.rows;
        self.bytes_written += file.bytes;
        self.staged.push((file.staged.clone(), file.upload.clone()));
        self.added.push(file.into_data_file());
    }

    /// Takes the produced files of one partition, except where a published one has the same bytes.
    pub(super) fn replace(&mut self, published: Vec<DataFile>, produced: Vec<StagedFile>) {
        let mut published = published;
        let mut others = Vec::new();
        for file in produced {
            // Written for the name of the published file, to take its place in one step.
            match published.iter().position(|old| old.path == file.path()) {
                Some(position) => {
                    let old = published.remove(position);
                    if old.sha256 == file.sha256 && old.bytes == file.bytes {
                        self.unchanged.push(old);
                    } else {
                        self.replaced.insert(old.path);
                        self.add(file);
                    }
                }
                None => others.push(file),
            }
        }
        for file in others {
            let same = published
                .iter()
                .position(|old| old.sha256 == file.sha256 && old.bytes == file.bytes);
            match same {
                Some(position) => self.unchanged.push(published.remove(position)),
                None => self.add(file),
            }
        }
        self.removed.extend(published);
    }
}
