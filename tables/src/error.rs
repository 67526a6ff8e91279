//! The error of this crate: what can go wrong with a table, told with the place and the way out. Storage faults are in
//! [`crate::store::StoreError`]; this enum carries them as sources. It does not decide on retries or exit codes.

use std::fmt;

use datafusion::error::DataFusionError;

use crate::causes::causes;
use crate::lease::holder::LeaseHolder;
use crate::log::interval::Interval;
use crate::options::OptionProblem;
use crate::schema::SchemaDifference;
use crate::schema_policy::SchemaPolicy;
use crate::storage::fault::ObjectFault;
use crate::store::StoreError;

/// The result of a table operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation on a table failed. Nothing is published by an operation that fails, with exceptions that say so; see
/// [`Error::leaves_commit`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The location is not one this crate can keep a table at.
    #[error("cannot keep a table at {location}: {reason}")]
    UnsupportedLocation {
        /// The location as it was given.
        location: String,
        /// What is wrong with it and what would do.
        reason: String,
    },
    /// The options do not fit the rows; every problem found is listed.
    #[error("the options of the table do not fit its rows: {}", List(problems))]
    Options {
        /// All problems, in the order of the options.
        problems: Vec<OptionProblem>,
    },
    /// The rows of this run have another schema than the table, and its schema policy does not allow that. Found before any
    /// row is read.
    #[error(
        "the rows of this run do not have the schema of table {table}, and contract '{contract}' does not allow: {}; \
         {}",
        List(differences),
        contract.way_out()
    )]
    SchemaChanged {
        /// The table's location.
        table: String,
        /// The schema policy of the run.
        contract: SchemaPolicy,
        /// Every difference, by column.
        differences: Vec<SchemaDifference>,
    },
    /// The table is partitioned by other columns than the run asks for.
    #[error(
        "table {table} is partitioned by ({}) and this run asks for ({}); use the table's columns, or publish with \
         mode 'replace'",
        table_columns.join(", "),
        run_columns.join(", ")
    )]
    PartitioningChanged {
        /// The table's location.
        table: String,
        /// The partition columns of the published table.
        table_columns: Vec<String>,
        /// The partition columns in the options of this run.
        run_columns: Vec<String>,
    },
    /// Another run holds the table's lease and is alive.
    #[error("table {table} is being written by {holder}; wait for it to end, or stop it")]
    LeaseHeld {
        /// The table's location.
        table: String,
        /// Who holds it, as far as the lease file says.
        holder: LeaseHolder,
    },
    /// This run's lease was taken over, so it may not commit any more (T-4).
    #[error(
        "the lease of table {table} with epoch {epoch} was taken over; this run may not publish, start it again"
    )]
    LeaseLost {
        /// The table's location.
        table: String,
        /// The epoch this run held.
        epoch: u64,
    },
    /// Another run made the commit that this run was about to make.
    #[error(
        "commit {number} of table {table} was made by run {run_id} meanwhile; start this run again"
    )]
    Superseded {
        /// The table's location.
        table: String,
        /// The contested commit number.
        number: u64,
        /// The run that made it.
        run_id: String,
    },
    /// An append of an interval that an earlier commit already holds, and not one of the same request.
    #[error(
        "interval {interval} is already committed to table {table}, by {by}; appending it again would double its rows: \
         use mode 'overwrite' or 'merge' to publish it anew"
    )]
    IntervalCommitted {
        /// The table's location.
        table: String,
        /// The interval asked for.
        interval: Interval,
        /// Which commit holds it, of which run, and how that differs from this one.
        by: String,
    },
    /// The folder holds files but no commit log, so they are not this table's.
    #[error(
        "the folder {table} holds files that no commit names (for example {example}); move them away, or choose \
         another location"
    )]
    ForeignFiles {
        /// The table's location.
        table: String,
        /// One of the files, relative to the table.
        example: String,
    },
    /// A row has a value that cannot name a partition.
    #[error("partition column {column} has the value {value:?}, {reason}")]
    PartitionValue {
        /// The partition column.
        column: String,
        /// The value, shortened if it is very long.
        value: String,
        /// Why it is refused and what to do.
        reason: &'static str,
    },
    /// A row has a value that files of the table's format cannot hold.
    #[error("column {column} has the value {value}, which the files cannot hold: {reason}")]
    NoText {
        /// The column, or the field of one.
        column: String,
        /// The value, shortened if it is very long.
        value: String,
        /// Why it is refused and what to do.
        reason: &'static str,
    },
    /// The table's files have another format than the run asks for.
    #[error(
        "table {table} is stored as {table_format} and this run asks for {run_format}; use the table's format, or publish \
         with mode 'replace'"
    )]
    FormatChanged {
        /// The table's location.
        table: String,
        /// The format of the published files.
        table_format: &'static str,
        /// The format in the options of this run.
        run_format: &'static str,
    },
    /// Published rows would have to be read, and files of that format are only written.
    #[error("table {table} is stored as {format}, whose files are not read back: {problem}")]
    NotReadBack {
        /// The table's location.
        table: String,
        /// The format of the published files.
        format: &'static str,
        /// What cannot be done, and what can.
        problem: String,
    },
    /// The operator's output rows do not describe files of this run.
    #[error("the writer reported {path}, {reason}")]
    StagedFile {
        /// The staged file as it was reported.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process wrote a part of the rows twice. Nothing of it is published.
    #[error("part {part} of the rows of {table} was written more than once")]
    RanTwice {
        /// The table.
        table: String,
        /// The partition of the plan.
        part: u32,
    },
    /// A writer of a run in another process may not write any more. Nothing that it staged is published.
    #[error("a writer of {table} stopped: {reason} (try {attempt})")]
    FencedOff {
        /// The table.
        table: String,
        /// The attempt that it belonged to.
        attempt: u32,
        /// Why.
        reason: String,
    },
    /// Rows came in that are neither in a file nor discarded by the schema policy. Always a defect of the writer.
    #[error(
        "the writer read {read} rows but its files hold {written} and it discarded {discarded}; nothing was published"
    )]
    RowsLost {
        /// Rows that came in.
        read: u64,
        /// Rows in the files.
        written: u64,
        /// Rows that the schema policy left out.
        discarded: u64,
    },
    /// A control file is not what was written there: truncated, edited, or damaged by the disk.
    #[error(
        "{path} is damaged ({reason}); restore it from a backup, the table's files themselves are untouched"
    )]
    DamagedRecord {
        /// The control file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A record of the log is gone, though something tells that it was there. Its number must not be given again.
    #[error(
        "the log of table {table} lacks {record}, though {evidence}; nothing was changed. Restore the file in the control \
         folder from a backup; without one, read the table's files into a new table at another location"
    )]
    LostRecord {
        /// The table's location.
        table: String,
        /// The missing file, in the control folder.
        record: String,
        /// What tells of it.
        evidence: String,
    },
    /// What was to be written into a control file is nothing that would be read back, such as a run's name with a line
    /// break.
    #[error("cannot write {path}: {reason}; nothing was published")]
    Unrecordable {
        /// The control file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A control file was written by a newer program.
    #[error(
        "{path} has format version {found}, this program knows up to {supported}; use the newer program"
    )]
    UnknownVersion {
        /// The control file.
        path: String,
        /// The version it names.
        found: u64,
        /// The newest version known here.
        supported: u64,
    },
    /// The commit is decided and durable, but its files could not all be put in place. The next run, or
    /// [`crate::Table::recover`], finishes it; the rows are not lost.
    #[error(
        "committed, but not finished: commit {number} of table {table} stands, its files could not all be put in place; \
         it will be finished by the next run"
    )]
    RollForward {
        /// The table's location.
        table: String,
        /// The decided commit.
        number: u64,
        /// What stopped it.
        #[source]
        source: StoreError,
    },
    /// The commit is decided, and its record could not be made durable: a loss of power may undo the decision as a whole.
    /// So nothing was put in place. The next run, or [`crate::Table::recover`], finishes the commit if its record is there.
    #[error(
        "committed, but not durably: commit {number} of table {table} is decided, and its record might not survive a loss \
         of power; its files are not in place yet: look after the disk, then run again, which finishes it"
    )]
    NotDurable {
        /// The table's location.
        table: String,
        /// The decided commit.
        number: u64,
        /// What the storage said.
        #[source]
        source: StoreError,
    },
    /// The storage failed in the very call that decides, and does not say whether it took effect. The next run, or
    /// [`crate::Table::recover`], finds out and finishes the commit or drops it; running again is right in both cases.
    #[error(
        "it is not known whether commit {number} of table {table} was made; run again, which finds out first"
    )]
    Undecided {
        /// The table's location.
        table: String,
        /// The commit in question.
        number: u64,
        /// What the storage said.
        #[source]
        source: Box<Self>,
    },
    /// Merging arriving rows into a partition's published rows failed.
    #[error("cannot merge into partition {partition:?} of table {table}")]
    Merge {
        /// The table's location.
        table: String,
        /// The partition's path below the table.
        partition: String,
        /// What the engine said.
        #[source]
        source: DataFusionError,
    },
    /// A plan could not be built or its rows not be encoded.
    #[error("cannot write table {table}")]
    Write {
        /// The table's location.
        table: String,
        /// What the engine said.
        #[source]
        source: DataFusionError,
    },
    /// There is no table here: no commit was ever made.
    #[error("there is no table at {table}")]
    NoTable {
        /// The location that was asked for.
        table: String,
    },
    /// A version of a table that is asked for was never made.
    #[error("table {table} has no version {version}; its newest commit is {newest}")]
    NoVersion {
        /// The table's location.
        table: String,
        /// The version that was asked for.
        version: u64,
        /// The newest one.
        newest: u64,
    },
    /// A version of a table that is asked for had files which are not the table's any more.
    #[error(
        "version {version} of table {table} cannot be read any more: {files} of its files, {example} among them, were \
         replaced or removed since; its newest commit is {newest}"
    )]
    VersionGone {
        /// The table's location.
        table: String,
        /// The version that was asked for.
        version: u64,
        /// The newest one.
        newest: u64,
        /// How many files are gone.
        files: u64,
        /// One of them.
        example: String,
    },
    /// The newest commit is decided, and its files are not where readers find them.
    #[error(
        "commit {number} of table {table} is decided, and its files are not all in place yet; the run that made it, or the \
         next one, puts them there: wait for it, or recover the table"
    )]
    NotInPlace {
        /// The table's location.
        table: String,
        /// The commit.
        number: u64,
    },
    /// Files of a commit are not there, or not as long as the log says.
    #[error(
        "{files} of the files of table {table}, commit {number}, are missing or have another size, {example} among them; \
         verify the table, and restore them from a backup"
    )]
    FilesLost {
        /// The table's location.
        table: String,
        /// The commit.
        number: u64,
        /// How many.
        files: u64,
        /// One of them.
        example: String,
    },
    /// The small files of a partition could not be merged.
    #[error("cannot compact partition {partition:?} of table {table}")]
    Compact {
        /// The table's location.
        table: String,
        /// The partition's path below the table.
        partition: String,
        /// What the engine said.
        #[source]
        source: DataFusionError,
    },
    /// A compacted partition has another number of rows than before. Always a defect; nothing was published.
    #[error(
        "partition {partition:?} of table {table} has {before} rows and would have {after} when compacted; nothing was \
         published"
    )]
    RowsChanged {
        /// The table's location.
        table: String,
        /// The partition's path below the table.
        partition: String,
        /// Rows that the log says.
        before: u64,
        /// Rows in the new files.
        after: u64,
    },
    /// No partition column says the date of a partition.
    #[error("cannot tell the date of a partition of table {table}: {reason}")]
    NoDate {
        /// The table's location.
        table: String,
        /// What there is instead, and what to do.
        reason: String,
    },
    /// Every partition is old enough to go, which is more often a mistake than a wish.
    #[error(
        "all {partitions} partitions of table {table} end before {first_kept}, so that nothing would remain; nothing was \
         dropped"
    )]
    WouldBeEmpty {
        /// The table's location.
        table: String,
        /// How many there are.
        partitions: u64,
        /// The first day that would be kept.
        first_kept: chrono::NaiveDate,
    },
    /// The work was stopped at the caller's wish before it was decided.
    #[error("the work on table {table} was stopped; nothing was published")]
    Stopped {
        /// The table's location.
        table: String,
    },
    /// A listener cannot be told of the commits of a table.
    #[error("listener {name:?} cannot hear of the commits of table {table}: {reason}")]
    Listener {
        /// The table's location.
        table: String,
        /// The listener's name.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Error {
    /// Finds this crate's error inside an engine error: the writer operator's errors travel through DataFusion, which
    /// wraps them. `None` when the engine error has another cause.
    pub fn find_in(error: &DataFusionError) -> Option<&Self> {
        causes(error).find_map(|cause| cause.downcast_ref::<Self>())
    }

    /// Whether a commit of the run stands in spite of this error, or may stand: then it must not be told that nothing was
    /// published. Running again is right in all cases, and recognises the commit.
    pub fn leaves_commit(&self) -> bool {
        matches!(
            self,
            Self::RollForward { .. } | Self::NotDurable { .. } | Self::Undecided { .. }
        )
    }

    /// Whether another writer is in the way, so that the same run may succeed later.
    pub fn is_busy(&self) -> bool {
        matches!(
            self,
            Self::LeaseHeld { .. } | Self::LeaseLost { .. } | Self::Superseded { .. }
        )
    }

    /// Whether a full disk is the cause, at any depth.
    pub fn is_disk_full(&self) -> bool {
        of_storage(self).is_some_and(|store| matches!(store, StoreError::DiskFull { .. }))
    }

    /// Whether `error` comes, at any depth, from an object store that did not answer, failed by itself, or asked for
    /// fewer requests, until the repetitions were used up. Then the same run may succeed later.
    pub fn is_transient(error: &(dyn std::error::Error + 'static)) -> bool {
        let fault = match of_storage(error) {
            Some(StoreError::Object { fault, .. }) => fault,
            _ => return false,
        };
        matches!(
            fault,
            ObjectFault::Unavailable { .. } | ObjectFault::Throttled { .. }
        )
    }
}

/// The storage's error in the causes of an error.
fn of_storage<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a StoreError> {
    causes(error).find_map(|cause| match cause.downcast_ref::<Error>() {
        Some(Error::Store(store)) => Some(store),
        _ => cause.downcast_ref::<StoreError>(),
    })
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        Self::External(Box::new(error))
    }
}

/// Shows the items of a list after one another.
struct List<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, item) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{item}")?;
        }
        Ok(())
    }
}
