//! The threads on which queries are planned and executed.
//!
//! Owns them and nothing of what they do. A query may keep its thread for as long as it likes; what listens to signals, says
//! that the run is alive, and records how it ended has threads of its own, which never wait for these.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

/// Stack of a thread: plans are built, optimised and executed by recursion.
const STACK_BYTES: usize = 16 << 20;

/// How long the end of threads is waited for.
const END_TIMEOUT: Duration = Duration::from_secs(60);

fn take(runtime: &Mutex<Option<Runtime>>) -> Option<Runtime> {
    let mut runtime = runtime.lock().unwrap_or_else(PoisonError::into_inner);
    runtime.take()
}

/// See the module.
#[derive(Debug)]
pub struct Compute(Option<Runtime>);

impl Compute {
    /// As many threads as there are processors.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .thread_name("query")
            .thread_stack_size(STACK_BYTES)
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Does `work` there. When the caller does not wait any more, the work ends at its next pause, and what it holds is
    /// freed then.
    ///
    /// # Errors
    /// When the threads are gone, because the run ends.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        let runtime = self.0.as_ref().expect("BUG: only dropping takes it");
        match AbortOnDropHandle::new(runtime.spawn(work)).await {
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            done => done,
        }
    }
}

impl Drop for Compute {
    fn drop(&mut self) {
        let Some(runtime) = self.0.take() else {
            return;
        };
        // Threads that do not yield must not hold the caller back. Those that end are joined, by a thread of its own: glibc may
        // touch the memory of a thread that ends just while it is detached (its bug 19951), and that ends the process.
        let runtime = Arc::new(Mutex::new(Some(runtime)));
        let joined = Arc::clone(&runtime);
        let joining = std::thread::Builder::new().name("query-end".to_owned());
        let joining = joining.spawn(move || {
            if let Some(runtime) = take(&joined) {
                runtime.shutdown_timeout(END_TIMEOUT);
            }
        });
        if joining.is_err()
            && let Some(runtime) = take(&runtime)
        {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn work_that_never_yields_holds_nobody_back() {
        let compute = Compute::start().unwrap();
        let (release, released) = mpsc::channel::<()>();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let stuck = compute.run(async move {
            begun.send(()).unwrap();
            // Blocks the thread until the test is over.
            released.recv().is_err()
        });
        tokio::select! {
            _ = stuck => unreachable!("nothing released it"),
            begins = begins => begins.unwrap(),
        }
        drop(compute);
        drop(release);
    }
}
