//! Exit codes of the `pipelines` command: the one list, as documented in `docs/exit-codes.md`.

use std::process::ExitCode;

/// How a command ended, as its process tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// Everything asked for was done, "nothing new" included.
    Success,
    /// A permanent error; nothing was published.
    Failed,
    /// The command line is wrong.
    Usage,
    /// A pipeline definition, a parameter or a setting is wrong.
    Definition,
    /// An `ASSERT` does not hold; nothing was published.
    Check,
    /// Published, but some items are in quarantine.
    Partial,
    /// A transient error outlasted its retries; the same command may be run again as it is.
    Transient,
    /// Another run of the pipeline, or another writer of the table, is at work.
    Busy,
    /// The memory or disk budget is exhausted; nothing was published.
    Budget,
    /// A commit stands, or may stand, and something failed at or after its decision; the message says what.
    Unfinished,
    /// A mistake of the program itself.
    Internal,
    /// Stopped by SIGINT after a clean stop; the run can be resumed.
    Interrupted,
    /// Stopped by SIGTERM after a clean stop; the run can be resumed.
    Terminated,
}

impl ExitStatus {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Definition => 3,
            Self::Check => 4,
            Self::Partial => 5,
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

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}
