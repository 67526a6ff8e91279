//! What a commit does to a table: one kind of change a file. Owns the kinds and what each makes of the published files;
//! how one is decided is `staging::publish`.
//!
//! To add a publish mode: a variant of [`crate::PublishMode`] with its name, a variant of [`CommitMode`], a file here with
//! its action, and a line in `action`, where the mode becomes that.

mod action;
mod append;
mod base;
mod change;
mod compact;
mod expire;
mod merge;
mod mode;
mod overwrite;
mod replace;

pub(crate) use action::{CommitAction, MaintenanceAction, Requirements};
pub(crate) use base::Base;
pub use change::{Change, MergeCounts};
pub use compact::{CompactOptions, CompactedPartition, Compaction};
pub use expire::{ExpireOptions, ExpiredPartition, Expiry};
pub use mode::CommitMode;
