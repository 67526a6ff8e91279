//! The `pipelines` binary.

use std::process::ExitCode;

use pipelines::cli::exit::ExitStatus;

/// Stack of a worker thread: plans are built, optimised and executed by recursion.
const STACK_BYTES: usize = 16 << 20;

/// How glibc's allocator is told to give memory back: see [`steady_memory`].
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ALLOCATOR: [(&str, &str); 3] = [
    ("MALLOC_MMAP_THRESHOLD_", "262144"),
    ("MALLOC_TRIM_THRESHOLD_", "262144"),
    ("MALLOC_ARENA_MAX", "2"),
];

/// Starts this process again with an allocator that gives large blocks back to the system when they are freed.
///
/// By default glibc raises the size from which it does so with every large block that is freed (mallopt(3)), up to 32 MiB,
/// and keeps a heap for each thread: after a sort the process then holds several times what it uses, and a ceiling on
/// resident memory cannot hold. The settings are read when a process starts, hence the second start, which costs about
/// two milliseconds. A setting that is already in the environment is left as it is.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn steady_memory() {
    use std::os::unix::process::CommandExt;
    if std::env::var_os(ALLOCATOR[0].0).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let mut arguments = std::env::args_os();
    let mut again = std::process::Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // Comes back only when it failed; then the run goes on with the allocator as it is.
    drop(again.args(arguments).envs(ALLOCATOR).exec());
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn steady_memory() {}

fn main() -> ExitCode {
    steady_memory();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build();
    let Ok(runtime) = runtime else {
        return ExitStatus::Internal.into();
    };
    // The command itself runs on a worker too: the main thread's stack is the shell's to choose.
    let status = runtime.block_on(async {
        tokio::spawn(pipelines::cli::main())
            .await
            .unwrap_or(ExitStatus::Internal)
    });
    // Threads that still encode or fetch must not hold the process back: what counts is durable already.
    runtime.shutdown_background();
    status.into()
}
