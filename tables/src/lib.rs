//! A Hive-partitioned table of files, Parquet most often: layout, partitioned writer, staging, commit log, publish modes, recovery, maintenance.
//! Knows nothing of pipelines or of the cluster.
//!
//! ```text
//! Table::at ─► begin ─► Staging ─► write_plan ─► (execute) ─► staged ─► prepare ─► Change ─► publish ─► Commit
//!              lease,              rows into staged files     merge, compare       one put decides, then
//!              recovery, intent    that no reader sees        with what is there   files are put in place
//! ```
//!
//! Maintenance of a table that is there: [`Table::history`], [`Table::verify`] and [`Table::leftovers`] inspect it,
//! [`Table::compact`] and [`Table::expire`] change it through the same staging and the same decision.
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

mod causes;
mod commit;
mod error;
mod history;
pub mod layout;
mod lease;
mod leftovers;
mod listeners;
mod location;
mod log;
mod log_options;
mod maintenance;
mod merge;
mod options;
mod parse;
mod partition_dates;
mod process;
mod read;
mod recover;
mod retention;
mod scan;
mod schema;
mod schema_policy;
mod staging;
pub mod storage;
pub mod store;
mod table;
mod transaction;
mod verify;
mod write;

pub use causes::causes;
pub use commit::{
    Change, CommitMode, CompactOptions, CompactedPartition, Compaction, ExpireOptions,
    ExpiredPartition, Expiry, MergeCounts,
};
pub use error::{Error, Result};
pub use history::CommitSummary;
pub use lease::LeaseHolder;
pub use leftovers::{LeftRun, Leftovers};
pub use listeners::{CommitListener, ListenerError};
pub use log::{Commit, DataFile, FileList, FileRead, FilesRead, Interval, Totals, Transaction};
pub use log_options::{LogOptions, LogSortKey};
pub use maintenance::PartitionFilter;
pub use options::{
    Compression, Dictionary, Format, KeyScope, OptionProblem, PublishMode, SortKey, Statistics,
    TableOptions,
};
pub use process::{ProcessError, ProcessTable};
pub use recover::Recovery;
pub use retention::{DateUnit, Retention};
pub use schema::{SchemaDifference, TableSchema, widens};
pub use schema_policy::{SchemaChange, SchemaPolicy};
pub use staging::{CommitInfo, RemoteAttempt, Staged, StagedInputs, Staging};
pub use storage::{EnvironmentVariables, Provider, StorageOptions, StorageTraffic};
pub use store::StoreError;
pub use table::{Begun, Table};
pub use transaction::{Claim, Committed};
pub use verify::{DifferentFile, Verification};
pub use write::{
    FileError, FileWriter, PartitionedWriteExec, StagedFile, WrittenFile, decode_operator,
    encode_operator,
};
