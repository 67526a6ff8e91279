//! Signals: the first one asks for a clean stop, the second one ends the process at once.

use std::io;
use std::process;

use crate::cli::exit::ExitStatus;
use crate::cli::printer::Printer;
use runner::error::{ErrorKind, RunError};
use runner::stop::{Stop, StopReason};

/// Listens from now on, and asks `stop` to stop.
///
/// # Errors
/// [`RunError::Io`] when the operating system does not let us listen.
pub fn listen(stop: &Stop, printer: Printer) -> Result<(), RunError> {
    listen_for_both(stop, printer).map_err(|source| RunError::Io {
        action: "listen for signals in",
        path: "this process".into(),
        source,
    })
}

#[expect(clippy::exit, reason = "a person who asks twice does not want to wait")]
fn listen_for_both(stop: &Stop, printer: Printer) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = stop.clone();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        let mut stopping = false;
        loop {
            let (reason, kind) = tokio::select! {
                _ = interrupt.recv() => (StopReason::Interrupted, ErrorKind::Interrupted),
                _ = terminate.recv() => (StopReason::Terminated, ErrorKind::Terminated),
            };
            if stopping {
                printer.error("stopped at once; nothing that was landed is lost");
                process::exit(i32::from(ExitStatus::from(kind).code()));
            }
            stopping = true;
            printer.warning("stopping cleanly; once more to stop at once");
            stop.ask(reason);
        }
    });
    Ok(())
}
