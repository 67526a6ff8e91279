//! What every kind of commit is asked before it begins.

use std::fmt;

use super::CommitMode;

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
