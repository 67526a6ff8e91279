//! What a command says whose process ends because it passed its memory ceiling.

use super::exit::ExitStatus;
use super::printer::Printer;
use runner::error::{ErrorKind, RunError, chain};
use runner::memory::LastWords;

/// The end of a process that its command did not reach.
#[derive(Debug)]
pub(super) struct EndOfProcess(pub(super) Printer);

impl LastWords for EndOfProcess {
    fn say(&self, error: &RunError) {
        self.0.error(chain(error));
        self.0.hint(
            "what was committed before stays, and the next run clears up: give more memory with `--memory`, or less work at \
             once with `--preset low-memory`",
        );
    }

    fn exit_code(&self) -> i32 {
        i32::from(ExitStatus::Error(ErrorKind::Budget).code())
    }
}
