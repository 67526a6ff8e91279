//! What kind of change a commit made: a publication in one of its modes, or the maintenance of a table. Owns the names
//! in the commit log; what each kind does is in the file of its name.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::options::PublishMode;

/// The kind of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum CommitMode {
    /// [`PublishMode::Append`].
    Append,
    /// [`PublishMode::Overwrite`].
    Overwrite,
    /// [`PublishMode::Replace`].
    Replace,
    /// [`PublishMode::Merge`].
    Merge,
    /// Small files were merged into larger ones; the rows are the same. See [`crate::Table::compact`].
    Compact,
    /// Whole partitions were dropped by their date. See [`crate::Table::expire`].
    Expire,
    /// Nothing changed: the number was taken so that a run which did not end cannot commit under it any more.
    Fence,
}

impl CommitMode {
    /// The name, as it stands in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Overwrite => "overwrite",
            Self::Replace => "replace",
            Self::Merge => "merge",
            Self::Compact => "compact",
            Self::Expire => "expire",
            Self::Fence => "fence",
        }
    }
}

impl CommitMode {
    /// Whether a commit of this kind begins the table anew: what was committed before does not count.
    pub(crate) fn begins_anew(self) -> bool {
        self == Self::Replace
    }
}

impl fmt::Display for CommitMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<PublishMode> for CommitMode {
    fn from(mode: PublishMode) -> Self {
        mode.action().mode()
    }
}
