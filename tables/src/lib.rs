//! A Hive-partitioned Parquet table: layout, partitioned writer, staging, commit log, publish modes, recovery. Knows
//! nothing of pipelines or of the cluster.
//!
//! ```text
//! Table::at ─► begin ─► Staging ─► write_plan ─► (execute) ─► staged ─► prepare ─► Change ─► publish ─► Commit
//!              lease,              rows into staged files     merge, compare       one put decides, then
//!              recovery, intent    that no reader sees        with what is there   files are put in place
//! ```
//!
//! The invariants, which tests and comments cite by number:
//!
//! | | |
//! |---|---|
//! | T-1 | a file visible under the table is complete and belongs to a commit record |
//! | T-2 | the rows of the table are the rows of the newest state of the log |
//! | T-3 | no commit without its source cursor |
//! | T-4 | a stale epoch never commits |
//! | T-5 | removing never touches a file that no record names |
//! | T-6 | recovery is idempotent, and any process may do it |
//!
//! What a user sees of it is in `docs/tables.md`.

mod contract;
mod error;
pub mod layout;
mod lease;
mod log;
mod merge;
mod options;
mod publish;
mod recover;
mod schema;
mod staging;
pub mod storage;
pub mod store;
mod table;
mod write;

pub use contract::{Contract, SchemaChange};
pub use error::{Error, Result};
pub use lease::LeaseHolder;
pub use log::{Commit, DataFile, Interval, Totals};
pub use options::{Compression, KeyScope, OptionProblem, PublishMode, SortKey, TableOptions};
pub use publish::{Change, CommitInfo, MergeCounts};
pub use recover::Recovery;
pub use schema::{SchemaDifference, TableSchema};
pub use staging::{Staged, Staging};
pub use storage::{Provider, StorageOptions, StorageTraffic};
pub use store::StoreError;
pub use table::Table;
pub use write::{PartitionedWriteExec, StagedFile};
