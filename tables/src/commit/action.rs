//! What every kind of commit is asked. Owns the questions, and the one place where a publish mode becomes an action; the
//! answers of each are in the file of its name.

use std::fmt;

use async_trait::async_trait;

use super::append::Append;
use super::base::Base;
use super::merge::Merge;
use super::overwrite::Overwrite;
use super::replace::Replace;
use super::{Change, CommitMode};
use crate::error::Result;
use crate::log::Commit;
use crate::options::PublishMode;
use crate::staging::Staging;
use crate::write::StagedFile;

/// What a kind of commit asks of the table, of the rows and of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Requirements {
    /// An interval that the table holds is refused: its rows would be there twice.
    pub(crate) new_interval: bool,
    /// New files take the places of published ones, and their names where the storage replaces a file in one step.
    pub(crate) replaces_files: bool,
    /// No published file stays, so the rows may have another schema and other partitions than the table.
    pub(crate) replaces_table: bool,
    /// Rows are told apart by their key: it has to be named, the rows are ordered by it, and the staged rows are read
    /// again before they are published.
    pub(crate) key: bool,
    /// The table stays laid out as it is: what the log says of its options is carried over.
    pub(crate) carries_options: bool,
}

/// A kind of commit.
pub(crate) trait CommitAction: fmt::Debug + Send + Sync {
    /// Its name in the log.
    fn mode(&self) -> CommitMode;

    fn requirements(&self) -> Requirements;
}

/// A kind of commit that brings rows: what a publish mode does with those that are published.
#[async_trait]
pub(crate) trait PublishAction: CommitAction {
    /// What it does to a table that is there, for people who are asked whether they want it.
    fn effect(&self) -> &'static str;

    /// Works out what publishing these files changes, and makes those that replace others. What it leaves in `base` stays
    /// as it is.
    async fn prepare(&self, base: &mut Base<'_>, produced: Vec<StagedFile>) -> Result<Change>;
}

/// A kind of commit of maintenance. It brings no rows, and is carried out by `maintenance`.
pub(crate) trait MaintenanceAction: CommitAction {
    /// What is told of it.
    type Report;

    /// Chooses what is to be done on `base`, and makes the files that replace others.
    fn prepare(
        self,
        run: &Staging,
        base: &Commit,
    ) -> impl Future<Output = Result<(Self::Report, Change)>> + Send;
}

impl PublishMode {
    /// What is done in this mode.
    pub(crate) fn action(self) -> &'static dyn PublishAction {
        match self {
            Self::Append => &Append,
            Self::Overwrite => &Overwrite,
            Self::Replace => &Replace,
            Self::Merge => &Merge,
        }
    }

    pub(crate) fn requirements(self) -> Requirements {
        self.action().requirements()
    }

    /// What publishing in this mode does to a table that is there, in a few words.
    pub fn effect(self) -> &'static str {
        self.action().effect()
    }
}
