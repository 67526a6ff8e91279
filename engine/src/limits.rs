//! What the system allows this process: open files and threads. Owns looking at both before they are needed; libraries that
//! meet such a limit in the middle of their work panic.

use std::io;
use std::sync::mpsc;
use std::thread;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Files and connections that a small run has open at once, generously counted.
const FILES: u64 = 256;

/// Threads beside one for each processor: those of the allocator, of the run store, and some for reading files.
const MORE_THREADS: usize = 8;

/// A limit that is too low to work under.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// Too few files may be open.
    #[error(
        "this process may have {allowed} files open at once and needs at least {FILES}: raise the limit, with `ulimit -n 4096` \
         in a shell, LimitNOFILE= of a systemd unit, or --ulimit nofile of a container"
    )]
    Files {
        /// As many as the limit allows.
        allowed: u64,
    },
    /// Too few threads may run.
    #[error(
        "this process could start {started} of {wanted} threads ({source}): raise the limit of processes, with `ulimit -u` \
         in a shell, TasksMax= of a systemd unit, or --pids-limit of a container"
    )]
    Threads {
        /// As many as could be started.
        started: usize,
        /// As many as are needed.
        wanted: usize,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Raises the limit of open files as far as this process may.
///
/// # Errors
/// [`LimitError::Files`] when that is too little.
pub fn raise_open_files() -> Result<(), LimitError> {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return Ok(());
    };
    // Where it cannot be raised the old one holds.
    let allowed = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    };
    match allowed < FILES {
        true => Err(LimitError::Files { allowed }),
        false => Ok(()),
    }
}

/// Starts and ends as many threads as the process is going to have at least, each with a stack of `stack_bytes`.
///
/// # Errors
/// [`LimitError::Threads`] when the system refuses one.
pub fn require_threads(stack_bytes: usize) -> Result<(), LimitError> {
    let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let wanted = processors + MORE_THREADS;
    let mut waiting = Vec::with_capacity(wanted);
    for started in 0..wanted {
        // A thread ends when its sender is dropped, so that all of them live at once.
        let (sender, receiver) = mpsc::channel::<()>();
        let spawned = thread::Builder::new()
            .stack_size(stack_bytes)
            .spawn(move || receiver.recv());
        match spawned {
            Ok(thread) => waiting.push((sender, thread)),
            Err(source) => {
                return Err(LimitError::Threads {
                    started,
                    wanted,
                    source,
                });
            }
        }
    }
    for (sender, thread) in waiting {
        drop(sender);
        // It only waited.
        drop(thread.join());
    }
    Ok(())
}
