//! How a run is asked to stop, and why.
//!
//! Owns the first reason, which is the one that its record and its error tell. Who asks (a signal, another process, the
//! memory ceiling) is elsewhere; a run that is asked comes to a clean end by itself.

use std::fmt;
use std::sync::{Arc, OnceLock};

use engine::memory::Exceeded;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// Why a run stops before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopReason {
    /// By a person at the terminal: SIGINT.
    Interrupted,
    /// By whoever runs the process: SIGTERM.
    Terminated,
    /// By a request in the run store: `pipelines cancel`, from another process.
    Cancelled,
    /// Another process took the run over.
    Superseded,
    /// The process passed its ceiling on resident memory.
    OutOfMemory(Exceeded),
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupted | Self::Terminated => "by a signal",
            Self::Cancelled => "by `pipelines cancel`",
            Self::Superseded => "because another process took the run over",
            Self::OutOfMemory(_) => "because memory is exhausted",
        })
    }
}

/// The request to stop one run, or one command; all clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    token: CancellationToken,
    reason: Arc<OnceLock<StopReason>>,
}

impl Stop {
    /// Asks to stop. The first reason counts.
    pub fn ask(&self, reason: StopReason) {
        self.reason.get_or_init(|| reason);
        self.token.cancel();
    }

    /// Why, once somebody asked.
    pub fn reason(&self) -> Option<&StopReason> {
        self.reason.get()
    }

    /// Whether somebody asked.
    pub fn is_asked(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until somebody asks.
    pub fn asked(&self) -> WaitForCancellationFuture<'_> {
        self.token.cancelled()
    }

    /// The same request as a token, for those whom the reason does not concern.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }
}
