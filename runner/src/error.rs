//! Why a run did not succeed, classified for the exit code and for the person who reads it.

mod landing;

use std::error::Error;
use std::io;
use std::path::PathBuf;

use connectors::extract::{ErrorClass as SourceClass, ExtractError};
use datafusion::error::DataFusionError;
pub use engine::chain;
use engine::cluster::ClusterError;
use engine::memory::Exceeded;
use files::ReadError;
use tables::ProcessError;
use tables::causes;

use super::memory::ShareRefused;
use super::stop::StopReason;
use crate::settings::SettingError;
use crate::store::{ErrorClass, StoreError};
use language::Diagnostics;

pub use landing::LandingError;

/// What kind of error it is: what whoever asked for the run can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A permanent error; nothing was published.
    Failed,
    /// A pipeline definition, a parameter or a setting is wrong.
    Definition,
    /// An `ASSERT` does not hold; nothing was published.
    Check,
    /// A transient error outlasted its retries; the same request may be made again as it is.
    Transient,
    /// Another run of the pipeline, or another writer of the table, is at work.
    Busy,
    /// The memory or disk budget is exhausted; nothing was published.
    Budget,
    /// A commit stands, or may stand, and something failed at or after its decision; the message says what.
    Unfinished,
    /// A mistake of the program itself.
    Internal,
    /// Stopped cleanly by a person at the terminal; the run can be resumed.
    Interrupted,
    /// Stopped cleanly by someone else; the run can be resumed.
    Terminated,
}

impl ErrorKind {
    /// The number under which the run store keeps it, with which the command line ends too (docs/exit-codes.md).
    pub fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Definition => 3,
            Self::Check => 4,
            Self::Transient => 6,
            Self::Busy => 7,
            Self::Budget => 8,
            Self::Unfinished => 9,
            Self::Internal => 70,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

/// Why a run did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The definition, or a parameter, is wrong.
    #[error("{0}")]
    Definition(Diagnostics),
    /// There is no such definition.
    #[error("{message}")]
    NotFound {
        /// What was looked for, where, and what is near.
        message: String,
    },
    /// A setting is wrong.
    #[error("a setting is wrong")]
    Setting(#[from] SettingError),
    /// A secret that is referred to cannot be read.
    #[error("option `{option}` of `{table}`: {problem}")]
    Secret {
        /// The source table.
        table: String,
        /// Its option.
        option: String,
        /// What is wrong with the reference; never the secret.
        problem: String,
    },
    /// The bundled sample cannot be served.
    #[error("cannot start the bundled sample")]
    Sample(#[source] Box<dyn Error + Send + Sync>),
    /// A source of files has none.
    #[error("the source `{table}` has no file at {location}; nothing was published")]
    NoFiles {
        /// The source table.
        table: String,
        /// Where it was looked for.
        location: String,
        /// What the file system said.
        #[source]
        source: Option<Box<DataFusionError>>,
    },
    /// A source cannot be opened.
    #[error("cannot open the source `{table}`: {problem}")]
    Open {
        /// The source table.
        table: String,
        /// What is wrong.
        problem: String,
    },
    /// A source failed.
    #[error("extraction of `{table}` failed")]
    Extract {
        /// The source table.
        table: String,
        /// How.
        #[source]
        source: ExtractError,
    },
    /// Records could not be landed.
    #[error("extracted records could not be landed")]
    Landing(#[from] LandingError),
    /// The query failed.
    #[error("{doing} failed")]
    Engine {
        /// What was being done.
        doing: String,
        /// How it failed.
        #[source]
        source: Box<DataFusionError>,
    },
    /// A file is not what it was declared, or found, to be.
    #[error("{doing} failed")]
    Read {
        /// What was being done.
        doing: String,
        /// What is wrong, and where.
        #[source]
        source: Box<ReadError>,
    },
    /// The output table cannot be written or published.
    #[error("the output `{location}` cannot be written")]
    Table {
        /// Where the table is.
        location: String,
        /// Why not.
        #[source]
        source: Box<tables::Error>,
    },
    /// The cluster did not do what it was asked.
    #[error("the query was not executed on the cluster")]
    Cluster(#[from] ClusterError),
    /// The cluster wrote another number of rows than the query has.
    #[error(
        "the cluster wrote {given} rows of `{output}`, and the query has {expected}; nothing was published"
    )]
    Miscounted {
        /// The output.
        output: String,
        /// Rows in the staged files.
        given: u64,
        /// Rows counted another way.
        expected: u64,
    },
    /// The query gave other rows than it read.
    #[error(
        "the query of the output `{output}` gave {given} rows of the {read} that it read, and is none that leaves out or adds any; nothing was published"
    )]
    Unaccounted {
        /// The output.
        output: String,
        /// Rows that came out of its sources.
        read: u64,
        /// Rows that it gave.
        given: u64,
    },
    /// The query stood still: its operators waited for one another.
    #[error("the query of the output `{output}` stood still, and was ended: {report}")]
    Standstill {
        /// The output.
        output: String,
        /// Who waited, and who held what.
        report: Box<engine::Standstill>,
    },
    /// A source is read file by file, and files that would have to be read must not.
    #[error("the new files of `{table}` cannot be read: {problem}; nothing was published")]
    Increment {
        /// The source table.
        table: String,
        /// Which files, why, and what to do.
        problem: String,
    },
    /// Somebody published to an output while the run was planned, so that other files would be new.
    #[error(
        "another run published to {location} while this one was planned; nothing was published"
    )]
    Overtaken {
        /// The output.
        location: String,
    },
    /// Checks do not hold.
    #[error("{}", failed.join("\n"))]
    Checks {
        /// One line for each.
        failed: Vec<String>,
    },
    /// The run store refused.
    #[error("the run store refused")]
    Store(#[from] StoreError),
    /// This process cannot be told from others.
    #[error("cannot say which process this is")]
    Owner(#[from] ProcessError),
    /// A folder of the product cannot be used.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The run that was named belongs to another request.
    #[error(
        "run {run} is of `{pipeline}` with other parameters or another definition, so it cannot go on as this one"
    )]
    OtherRequest {
        /// The run.
        run: String,
        /// Its pipeline.
        pipeline: String,
    },
    /// The result cannot be written as JSON.
    #[error("cannot write the result as JSON")]
    Document {
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// The run was asked to stop and did.
    #[error("stopped {reason}")]
    Interrupted {
        /// Why.
        reason: StopReason,
    },
    /// A table that is looked at, or looked after, by its location is the cause.
    #[error(transparent)]
    Care(Box<tables::Error>),
    /// Care of a table was asked to stop and did.
    #[error("stopped {reason}")]
    Stopped {
        /// Why.
        reason: StopReason,
    },
    /// The process passed its ceiling on resident memory.
    #[error("memory is exhausted")]
    Memory {
        /// How, and who held it.
        #[source]
        source: Exceeded,
    },
    /// The memory of the process has no share for the run.
    #[error("the run cannot have its memory")]
    Share(#[from] ShareRefused),
    /// Another process took the run over.
    #[error("another process took this run over")]
    Superseded,
    /// The commit of an output stands, or may stand, and something failed at or after its decision. The table's own error
    /// says which commit, and what will become of it.
    #[error(transparent)]
    Unfinished(Box<tables::Error>),
    /// Something failed after this process had published.
    #[error(
        "committed, but the run did not come to its end: {} {}",
        commits.join(", "),
        if commits.len() == 1 { "stands" } else { "stand" }
    )]
    Committed {
        /// The commits that this process made, with their tables.
        commits: Vec<String>,
        /// What failed.
        #[source]
        source: Box<Self>,
    },
}

impl RunError {
    /// As an error of a process that had made these commits before.
    #[must_use]
    pub fn after(self, commits: &[String]) -> Self {
        if commits.is_empty() {
            return self;
        }
        Self::Committed {
            commits: commits.to_vec(),
            source: Box::new(self),
        }
    }

    /// The engine failed, or what it read.
    pub(crate) fn engine(doing: String, error: DataFusionError) -> Self {
        let read = causes(&error).find_map(|cause| cause.downcast_ref::<ReadError>());
        match read {
            Some(read) => Self::Read {
                doing,
                source: Box::new(read.clone()),
            },
            None => Self::Engine {
                doing,
                source: Box::new(error),
            },
        }
    }

    /// The system has no thread left for queries.
    pub(crate) fn no_threads(source: io::Error) -> Self {
        Self::Io {
            action: "start threads in",
            path: PathBuf::from("this process"),
            source,
        }
    }

    /// Whether a commit stands, or may, in spite of the error.
    fn leaves_commit(&self) -> bool {
        match self {
            Self::Unfinished(_) | Self::Committed { .. } => true,
            Self::Care(source) => source.leaves_commit(),
            _ => false,
        }
    }

    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            // Whatever the cause: that nothing was published would be wrong.
            _ if self.leaves_commit() => ErrorKind::Unfinished,
            _ if self.is_budget() => ErrorKind::Budget,
            Self::Definition(_)
            | Self::NotFound { .. }
            | Self::Setting(_)
            | Self::Secret { .. }
            | Self::Open { .. }
            | Self::OtherRequest { .. } => ErrorKind::Definition,
            Self::Extract { source, .. } => match source.class() {
                SourceClass::Transient => ErrorKind::Transient,
                _ => ErrorKind::Failed,
            },
            Self::Cluster(ClusterError::Address { .. } | ClusterError::Tls(_)) => {
                ErrorKind::Definition
            }
            Self::Cluster(error) if error.is_transient() => ErrorKind::Transient,
            Self::Checks { .. } => ErrorKind::Check,
            Self::Standstill { .. } | Self::Unaccounted { .. } => ErrorKind::Internal,
            Self::Table { source, .. } if source.is_busy() => ErrorKind::Busy,
            Self::Store(StoreError::AlreadyRunning { .. })
            | Self::Superseded
            | Self::Overtaken { .. } => ErrorKind::Busy,
            Self::Store(StoreError::Busy { .. }) => ErrorKind::Transient,
            Self::Interrupted { reason } | Self::Stopped { reason } => match reason {
                StopReason::Interrupted => ErrorKind::Interrupted,
                _ => ErrorKind::Terminated,
            },
            Self::Care(source) => care_kind(source),
            _ if tables::Error::is_transient(self) => ErrorKind::Transient,
            _ => ErrorKind::Failed,
        }
    }

    /// Who can do something about it, for the run's record.
    pub fn class(&self) -> ErrorClass {
        match self.kind() {
            ErrorKind::Transient
            | ErrorKind::Busy
            | ErrorKind::Unfinished
            | ErrorKind::Interrupted
            | ErrorKind::Terminated => ErrorClass::Transient,
            ErrorKind::Definition | ErrorKind::Check => ErrorClass::User,
            ErrorKind::Internal => ErrorClass::Internal,
            _ => ErrorClass::Permanent,
        }
    }

    /// What to do next, where that can be said.
    pub fn hint(&self) -> Option<String> {
        if self.is_disk_full() {
            return Some(String::from(
                "free some space, or choose another place with `--state-dir` and the output's location, then run the same command again: it goes on where it stopped",
            ));
        }
        match self {
            Self::Cluster(error) if error.is_exhausted() => Some(String::from(
                "nothing was published: give executors more memory with `--memory-bytes`, or run the query in this process with `--mode local`",
            )),
            _ if self.is_budget() => Some(String::from(
                "give more memory with `--memory`, or less work at once with `--preset low-memory`; the same command goes on where it stopped",
            )),
            Self::Extract { source, .. } if source.class() != SourceClass::Transient => None,
            Self::Extract { .. } | Self::Landing(_) | Self::Interrupted { .. } => {
                Some(String::from(
                    "what was extracted is kept: run the same command again to go on from there",
                ))
            }
            Self::Checks { .. } => Some(String::from(
                "nothing was published; the extracted records are kept",
            )),
            Self::Cluster(_) | Self::Miscounted { .. } => Some(String::from(
                "nothing was published, and what was extracted is kept; `--mode local` runs the query in this process",
            )),
            Self::Standstill { .. } => Some(String::from(
                "this is a defect: please report it with the log, which has the plan. Nothing was published, and what was extracted is kept; \
                 other numbers for `--memory` or `SET datafusion.execution.target_partitions` may lead around it",
            )),
            Self::Unfinished(_) | Self::Committed { .. } => Some(String::from(
                "run the same command again: what is committed is recognised and finished, and the rest is done",
            )),
            Self::Care(source) => care_hint(source),
            Self::Overtaken { .. } => Some(String::from("run the same command again")),
            Self::Superseded => Some(String::from("`pipelines runs` shows which run it is")),
            _ => None,
        }
    }

    fn is_budget(&self) -> bool {
        self.is_disk_full()
            || matches!(
                self,
                Self::Memory { .. } | Self::Share(ShareRefused::NotLeft { .. })
            )
            || matches!(self, Self::Cluster(error) if error.is_exhausted())
            || matches!(self, Self::Read { source, .. } if source.is_of_memory)
            || self
                .causes()
                .filter_map(engine_error)
                .any(|error| matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)))
    }

    fn is_disk_full(&self) -> bool {
        self.causes().any(|cause| {
            matches!(cause.downcast_ref::<StoreError>(), Some(StoreError::DiskFull { .. }))
                ||
                cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::StorageFull)
                    // Spill files are written by the engine, which hands the cause on as text.
                    || engine_error(cause).is_some_and(|e| e.to_string().contains("No space left on device"))
                    || cause.downcast_ref::<datafusion::parquet::errors::ParquetError>().is_some_and(|e| e.to_string().contains("No space left on device"))
            })
    }

    fn causes(&self) -> impl Iterator<Item = &(dyn Error + 'static)> {
        let first: &(dyn Error + 'static) = self;
        std::iter::successors(Some(first), |error: &&(dyn Error + 'static)| {
            Error::source(*error)
        })
    }
}

impl From<tables::Error> for RunError {
    fn from(error: tables::Error) -> Self {
        Self::Care(Box::new(error))
    }
}

/// The engine's error that `cause` is. A variant's box is a cause of its own, which hides what is in it.
fn engine_error<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a DataFusionError> {
    let boxed = cause.downcast_ref::<Box<DataFusionError>>();
    boxed.map(Box::as_ref).or(cause.downcast_ref())
}

fn care_kind(error: &tables::Error) -> ErrorKind {
    match error {
        error if error.is_busy() => ErrorKind::Busy,
        tables::Error::NoTable { .. }
        | tables::Error::NoDate { .. }
        | tables::Error::WouldBeEmpty { .. }
        | tables::Error::NotReadBack { .. }
        | tables::Error::Options { .. }
        | tables::Error::UnsupportedLocation { .. } => ErrorKind::Definition,
        error if tables::Error::is_transient(error) => ErrorKind::Transient,
        _ => ErrorKind::Failed,
    }
}

fn care_hint(error: &tables::Error) -> Option<String> {
    match error {
        tables::Error::NoDate { .. } => Some(String::from(
            "name the column with `--column`; a text of the form 2026-09-21, 2026-09, 2026-W38 or 2026 is read too",
        )),
        tables::Error::WouldBeEmpty { .. } => Some(String::from(
            "look at the days with `--dry-run`; to drop them all the same, add `--allow-empty`",
        )),
        tables::Error::RollForward { table, .. }
        | tables::Error::NotDurable { table, .. }
        | tables::Error::Undecided { table, .. } => Some(format!("pipelines clean {table}")),
        _ => None,
    }
}
