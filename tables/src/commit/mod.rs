//! What a commit does to a table: one kind of change a file. Owns the kinds and what each makes of the published files;
//! how one is decided is `staging::publish`.
//!
//! To add a publish mode: a variant of [`PublishMode`] with its name, a variant of [`CommitMode`], a file here with its
//! action, and a line in [`PublishMode::action`].

mod action;
mod append;
mod base;
mod change;
mod compact;
mod expire;
mod kind;
mod merge;
mod mode;
mod overwrite;
mod replace;

use crate::options::PublishMode;

pub(crate) use action::{MaintenanceAction, PublishAction};
pub(crate) use base::Base;
pub use change::{Change, MergeCounts};
pub use compact::{CompactOptions, CompactedPartition, Compaction};
pub use expire::{ExpireOptions, ExpiredPartition, Expiry};
pub(crate) use kind::{CommitAction, Requirements};
pub use mode::CommitMode;

impl PublishMode {
    /// What is done in this mode.
    pub(crate) fn action(self) -> &'static dyn PublishAction {
        match self {
            Self::Append => &append::Append,
            Self::Overwrite => &overwrite::Overwrite,
            Self::Replace => &replace::Replace,
            Self::Merge => &merge::Merge,
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
