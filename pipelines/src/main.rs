//! The `pipelines` binary.

use std::process::ExitCode;
use std::time::Duration;

use pipelines::cli::exit::ExitStatus;
use pipelines::cli::printer::Printer;
use runner::error::ErrorKind;
use runner::settings::Environment;
// `malloc` of the whole process, by being linked (docs/decisions.md).
use tikv_jemallocator as _;

/// How long threads may take to end at the end of the process.
const END_TIMEOUT: Duration = Duration::from_millis(200);

/// Stack of a worker thread: plans are built, optimised and executed by recursion.
const STACK_BYTES: usize = 16 << 20;

fn main() -> ExitCode {
    if let Err(error) = engine::require_threads(STACK_BYTES) {
        return refuse(&error);
    }
    files::hide_panics_of_readers();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&error),
    };
    // The command itself runs on a worker too: the main thread's stack is the shell's to choose.
    let status = runtime.block_on(async {
        tokio::spawn(pipelines::cli::main())
            .await
            .unwrap_or(ExitStatus::Error(ErrorKind::Internal))
    });
    // Threads that still encode or fetch must not hold the process back: what counts is durable already. Those that are idle
    // are joined; glibc may end the process over a thread that ends while it is detached (its bug 19951).
    runtime.shutdown_timeout(END_TIMEOUT);
    status.into()
}

/// Says why nothing can be done under this system's limits.
fn refuse(error: &dyn std::error::Error) -> ExitCode {
    Printer::new(&Environment::from_iter(std::env::vars_os())).error(error);
    ExitStatus::Error(ErrorKind::Failed).into()
}
