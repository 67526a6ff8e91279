//! What a run does that passes its memory ceiling: it stops, and where that does not free the memory in time, the process
//! ends with the exit code of an exhausted budget, after saying and recording why.
//!
//! Owns the reaction; measuring and the moment are [`engine::memory`]'s.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use engine::memory::{Exceeded, Reaction, Watchdog};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::error::RunError;
use crate::cli::exit::ExitStatus;
use crate::cli::printer::Printer;

/// How long a run may take to end by itself.
const PATIENCE: Duration = Duration::from_millis(50);

/// Notes that the run ended so, where it is recorded.
pub type Record = Box<dyn Fn(&RunError) -> futures::future::BoxFuture<'static, ()> + Send + Sync>;

/// The ceiling of a command, watched until this is dropped.
#[derive(Debug)]
pub struct Ceiling {
    exceeded: Arc<OnceLock<Exceeded>>,
    _watchdog: Option<Watchdog>,
}

impl Ceiling {
    /// Watches that this process stays below `bytes`; cancels `cancel` when it does not, and ends the process when that does
    /// not help, after `record`.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn watch(
        bytes: u64,
        cancel: CancellationToken,
        printer: Printer,
        record: Record,
    ) -> std::io::Result<Self> {
        let exceeded = Arc::new(OnceLock::new());
        let reaction = Arc::new(Stop {
            exceeded: Arc::clone(&exceeded),
            cancel,
            printer,
            record,
            runtime: Handle::current(),
        });
        Ok(Self {
            exceeded,
            _watchdog: Watchdog::start(bytes, reaction)?,
        })
    }

    /// How the ceiling was passed, if it was.
    pub fn exceeded(&self) -> Option<&Exceeded> {
        self.exceeded.get()
    }
}

struct Stop {
    exceeded: Arc<OnceLock<Exceeded>>,
    cancel: CancellationToken,
    printer: Printer,
    record: Record,
    runtime: Handle,
}

fn error_of(exceeded: &Exceeded) -> RunError {
    RunError::Memory {
        source: exceeded.clone(),
    }
}

impl Reaction for Stop {
    fn stop(&self, exceeded: &Exceeded) {
        self.exceeded.get_or_init(|| exceeded.clone());
        self.cancel.cancel();
    }

    fn say(&self, exceeded: &Exceeded) {
        let error = error_of(exceeded);
        self.printer.error(super::error::chain(&error));
        self.printer.hint(
            "what was committed before stays, and the next run clears up: give more memory with `--memory`, or less work at \
             once with `--preset low-memory`",
        );
    }

    fn record(&self, exceeded: &Exceeded) {
        self.runtime.block_on((self.record)(&error_of(exceeded)));
    }

    fn exit_code(&self) -> i32 {
        i32::from(ExitStatus::Budget.code())
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }
}
