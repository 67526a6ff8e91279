//! Signals: the first one asks for a clean stop, the second one stops at once.

use std::fmt;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio_util::sync::CancellationToken;

use crate::cli::exit::ExitStatus;
use crate::cli::printer::Printer;

/// A request to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM: what a container's runtime sends.
    Terminate,
    /// `pipelines cancel`, from another process.
    Cancel,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt | Self::Terminate => "by a signal",
            Self::Cancel => "by `pipelines cancel`",
        })
    }
}

impl Signal {
    /// How the process ends when it stopped cleanly because of this signal.
    pub fn exit_status(self) -> ExitStatus {
        match self {
            Self::Interrupt => ExitStatus::Interrupted,
            Self::Terminate | Self::Cancel => ExitStatus::Terminated,
        }
    }
}

/// The signals that came.
#[derive(Debug, Clone, Default)]
pub struct Signals {
    first: Arc<AtomicU8>,
}

impl Signals {
    /// The first signal, once it came.
    pub fn received(&self) -> Option<Signal> {
        match self.first.load(Ordering::SeqCst) {
            1 => Some(Signal::Interrupt),
            2 => Some(Signal::Terminate),
            3 => Some(Signal::Cancel),
            _ => None,
        }
    }

    /// Notes that another process asked for a stop, unless a signal came before.
    pub fn cancel_requested(&self) {
        let cancel = number(Signal::Cancel);
        // Whichever was first is what the run's record says.
        let _ = self
            .first
            .compare_exchange(0, cancel, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Listens from now on; the first signal cancels `cancel`, the second ends the process.
    ///
    /// # Errors
    /// When the operating system does not let us listen.
    pub fn listen(cancel: CancellationToken, printer: Printer) -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let signals = Self::default();
        let first = Arc::clone(&signals.first);
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::spawn(async move {
            let mut stopping = false;
            loop {
                let signal = tokio::select! {
                    _ = interrupt.recv() => Signal::Interrupt,
                    _ = terminate.recv() => Signal::Terminate,
                };
                if stopping {
                    printer.error("stopped at once; nothing that was landed is lost");
                    process::exit(i32::from(signal.exit_status().code()));
                }
                stopping = true;
                first.store(number(signal), Ordering::SeqCst);
                printer.warning("stopping cleanly; once more to stop at once");
                cancel.cancel();
            }
        });
        Ok(signals)
    }
}

/// A signal as a number that is not 0.
fn number(signal: Signal) -> u8 {
    match signal {
        Signal::Interrupt => 1,
        Signal::Terminate => 2,
        Signal::Cancel => 3,
    }
}
