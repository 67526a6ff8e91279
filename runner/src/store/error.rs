//! What can go wrong with the run store, by what the caller can do about it.
//!
//! Owns the messages. Which SQLite code means which error is decided in `sqlite/fault.rs`.

use std::error::Error;
use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, Utc};

use super::identity::RunId;
use super::records::StageName;
use super::run::{ErrorClass, RunState};

type Source = Box<dyn Error + Send + Sync>;

/// An error of the run store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store's file cannot be opened.
    #[error(
        "cannot open the run store {path}; check that it is a file that this user can read and write"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Source,
    },
    /// The store's file or folder cannot be written.
    #[error(
        "cannot write the run store {path}; give this user write permission on the file and its folder, or choose another place"
    )]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Source,
    },
    /// The file is not a database, or is damaged.
    #[error(
        "the run store {path} is damaged; published tables are not affected, because each table's commit log says what it holds; \
         lost are the history of runs and the progress of unfinished ones; to start a new store, move the damaged one away: {}",
        move_away(path)
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Source,
    },
    /// The file is a sound database of some other program.
    #[error("{path} is a database, but not a run store; choose another place for the run store")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer version of the program changed the store.
    #[error(
        "the run store {path} has schema version {found}, this program knows versions up to {known}; use the newer program, or another run store"
    )]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Version found.
        found: i64,
        /// Newest version known.
        known: i64,
    },
    /// The store's schema cannot be brought up to date.
    #[error(
        "cannot bring the schema of the run store {path} up to date; it was changed by something else than this program, so choose another run store"
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Source,
    },
    /// The pipeline is being run.
    #[error(
        "{pipeline} is already running: run {run}, process {pid} on {host}, since {}; wait for it or stop it",
        since.to_rfc3339_opts(SecondsFormat::Secs, true)
    )]
    AlreadyRunning {
        /// The pipeline.
        pipeline: String,
        /// The run in progress.
        run: RunId,
        /// Its process.
        pid: u32,
        /// Its machine.
        host: String,
        /// When its current attempt began.
        since: DateTime<Utc>,
    },
    /// The run has published.
    #[error(
        "run {run} cannot be resumed: it is recorded as {state} and has published; ask for a new run"
    )]
    NotResumable {
        /// The run.
        run: RunId,
        /// How it ended.
        state: RunState,
    },
    /// Another process took the run over.
    #[error(
        "attempt {attempt} of run {run} has lost the run to attempt {current}; nothing of it was recorded since"
    )]
    Superseded {
        /// The run.
        run: RunId,
        /// The attempt that asked.
        attempt: u32,
        /// The attempt that has it.
        current: u32,
    },
    /// The run has ended.
    #[error("run {run} is not running any more: it is recorded as {state}")]
    NotRunning {
        /// The run.
        run: RunId,
        /// How it ended.
        state: RunState,
    },
    /// No run has such an id.
    #[error("no run matches `{wanted}`; {}", suggestion(near))]
    NotFound {
        /// What was asked for.
        wanted: String,
        /// Runs that may have been meant.
        near: Vec<RunId>,
    },
    /// Several runs have such an id.
    #[error(
        "`{wanted}` matches several runs; give more digits of one of {}",
        listed(matches)
    )]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// The newest of the runs that match.
        matches: Vec<RunId>,
    },
    /// A ledger entry does not follow the last one.
    #[error(
        "chunk {found} of {source_table} in run {run} cannot be entered in the ledger, the next one is {expected}"
    )]
    LedgerGap {
        /// The run.
        run: RunId,
        /// The source table.
        source_table: String,
        /// The sequence number that follows.
        expected: u64,
        /// The sequence number given.
        found: u64,
    },
    /// A ledger entry is there already and differs.
    #[error("chunk {sequence} of {source_table} in run {run} is in the ledger with other contents")]
    LedgerConflict {
        /// The run.
        run: RunId,
        /// The source table.
        source_table: String,
        /// The sequence number.
        sequence: u64,
    },
    /// A stage was ended that had not begun.
    #[error("stage {stage} of run {run} was not started in attempt {attempt}")]
    StageNotStarted {
        /// The run.
        run: RunId,
        /// The attempt.
        attempt: u32,
        /// The stage.
        stage: StageName,
    },
    /// Others held the store for too long.
    #[error(
        "cannot {operation}: the run store {path} is locked by another process; try again when it is done"
    )]
    Busy {
        /// The file.
        path: PathBuf,
        /// What was to be done.
        operation: &'static str,
        /// Why.
        #[source]
        source: Source,
    },
    /// No space is left.
    #[error(
        "cannot {operation}: no space is left for the run store {path}; make space and run again, what was recorded before is kept"
    )]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// What was to be done.
        operation: &'static str,
        /// Why.
        #[source]
        source: Source,
    },
    /// The disk did not do what it was asked.
    #[error("cannot {operation}: reading or writing the run store {path} failed; check the disk")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was to be done.
        operation: &'static str,
        /// Why.
        #[source]
        source: Source,
    },
    /// The database refused a statement or gave an answer that makes no sense.
    #[error("cannot {operation} in the run store {path}; this is a fault in the program")]
    Query {
        /// The file.
        path: PathBuf,
        /// What was to be done.
        operation: &'static str,
        /// Why.
        #[source]
        source: Source,
    },
}

impl StoreError {
    /// Who can do something about it.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Open { .. }
            | Self::Unwritable { .. }
            | Self::Foreign { .. }
            | Self::NewerSchema { .. }
            | Self::NotResumable { .. }
            | Self::NotFound { .. }
            | Self::Ambiguous { .. } => ErrorClass::User,
            Self::AlreadyRunning { .. } | Self::Busy { .. } | Self::DiskFull { .. } => {
                ErrorClass::Transient
            }
            Self::Corrupt { .. }
            | Self::Schema { .. }
            | Self::Superseded { .. }
            | Self::NotRunning { .. }
            | Self::Io { .. } => ErrorClass::Permanent,
            Self::LedgerGap { .. }
            | Self::LedgerConflict { .. }
            | Self::StageNotStarted { .. }
            | Self::Query { .. } => ErrorClass::Internal,
        }
    }
}

/// The command that moves a damaged store away: the database with its write-ahead log, without which it
/// could not be examined later.
fn move_away(path: &Path) -> String {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let damaged = shell_word(&folder.join("damaged"));
    let file = shell_word(path);
    format!("mkdir -p {damaged} && mv {file}* {damaged}/")
}

/// The path as one word for a POSIX shell.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain =
        |character: char| character.is_ascii_alphanumeric() || "/._-+:@%".contains(character);
    if text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn listed(runs: &[RunId]) -> String {
    let ids: Vec<String> = runs.iter().map(RunId::to_string).collect();
    ids.join(", ")
}

fn suggestion(near: &[RunId]) -> String {
    if near.is_empty() {
        "`pipelines runs` lists them".to_owned()
    } else {
        format!("did you mean {}? `pipelines runs` lists them", listed(near))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause() -> Source {
        "the cause".into()
    }

    #[test]
    fn a_damaged_store_is_moved_away_with_its_log_by_a_command_that_can_be_pasted() {
        let error = StoreError::Corrupt {
            path: PathBuf::from("./.pipelines/state.db"),
            source: cause(),
        };
        let message = error.to_string();
        assert!(
            message.ends_with(
                "mkdir -p ./.pipelines/damaged && mv ./.pipelines/state.db* ./.pipelines/damaged/"
            ),
            "{message}"
        );
        assert!(
            message.contains("published tables are not affected"),
            "{message}"
        );
        assert!(!message.contains("the cause"), "{message}");
        assert_eq!(
            move_away(Path::new("state.db")),
            "mkdir -p ./damaged && mv state.db* ./damaged/"
        );
        assert_eq!(
            move_away(Path::new("it's here/state.db")),
            r"mkdir -p 'it'\''s here/damaged' && mv 'it'\''s here/state.db'* 'it'\''s here/damaged'/"
        );
    }

    #[test]
    fn an_unknown_run_is_answered_with_those_that_may_have_been_meant() {
        let id = RunId::mint(DateTime::UNIX_EPOCH);
        let known = StoreError::NotFound {
            wanted: "0190".to_owned(),
            near: vec![id],
        };
        assert_eq!(
            known.to_string(),
            format!("no run matches `0190`; did you mean {id}? `pipelines runs` lists them")
        );
        let unknown = StoreError::NotFound {
            wanted: "0190".to_owned(),
            near: Vec::new(),
        };
        assert_eq!(
            unknown.to_string(),
            "no run matches `0190`; `pipelines runs` lists them"
        );
    }
}
