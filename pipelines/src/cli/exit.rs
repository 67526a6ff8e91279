//! Exit codes of the `pipelines` command: the one list, as documented in `docs/exit-codes.md`.

use std::process::ExitCode;

use runner::PARTIAL_CODE;
use runner::error::ErrorKind;

/// How a command ended, as its process tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// Everything asked for was done, "nothing new" included.
    Success,
    /// The command line is wrong.
    Usage,
    /// Published, but some items are in quarantine.
    Partial,
    /// It was not done.
    Error(ErrorKind),
}

impl ExitStatus {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Usage => 2,
            Self::Partial => PARTIAL_CODE,
            Self::Error(kind) => kind.code(),
        }
    }
}

impl From<ErrorKind> for ExitStatus {
    fn from(kind: ErrorKind) -> Self {
        Self::Error(kind)
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}
