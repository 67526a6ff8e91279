//! What is to be merged in a partition, and what came of it.

use crate::log::DataFile;
use crate::write::StagedFile;

/// What is to be merged in one partition.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) partition: String,
    /// Its files in the newest commit.
    pub(crate) published: Vec<DataFile>,
    /// The rows that arrive in it.
    pub(crate) arrived: Vec<StagedFile>,
    /// Keys of published rows of it that arrive in other partitions, as `table_wide` found them.
    pub(crate) moved: Vec<StagedFile>,
}

/// The files of a partition after a merge, and what it did.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) published: Vec<DataFile>,
    pub(crate) files: Vec<StagedFile>,
    pub(crate) inserted: u64,
    pub(crate) updated: u64,
    pub(crate) moved: u64,
    pub(crate) duplicates_dropped: u64,
}
