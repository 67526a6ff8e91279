//! What a commit does to a table: one kind of change a file. Owns the kinds and what each makes of the published files;
//! how one is decided is `staging::publish`.

mod compact;
mod expire;
mod mode;

pub use compact::{CompactOptions, CompactedPartition, Compaction};
pub use expire::{ExpireOptions, ExpiredPartition, Expiry};
pub use mode::CommitMode;
