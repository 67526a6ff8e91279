//! What an executor does that passes its memory ceiling: its tasks end as exhausted, and where that does not free the memory
//! in time, the process ends.
//!
//! Owns the reaction; measuring and the moment are `engine::memory`'s, ending tasks is `tasks`'.

use std::time::Duration;

use engine::memory::{Exceeded, Reaction};
use tokio::runtime::Handle;

use crate::tasks::Tasks;

/// Below this the program itself does not fit.
pub(crate) const MIN_MEMORY_BYTES: u64 = 192 << 20;

/// Memory that tasks let go of is the system's again by then.
const RELEASE_GRACE: Duration = Duration::from_secs(2);

/// The tasks of an executor, all of which end when it passes its ceiling.
pub(crate) struct Ceiling {
    tasks: Tasks,
    /// Threads that no task keeps: the scheduler is told of the end while tasks go on.
    threads: Handle,
}

impl Ceiling {
    /// Of `tasks`, of which the scheduler is told on `threads`, which must not be those that execute them.
    pub(crate) fn new(tasks: Tasks, threads: Handle) -> Self {
        Self { tasks, threads }
    }
}

impl Reaction for Ceiling {
    fn stop(&self, exceeded: &Exceeded) {
        let (tasks, why) = (self.tasks.clone(), exceeded.to_string());
        self.threads.spawn(async move { tasks.exhaust(&why).await });
    }

    fn say(&self, exceeded: &Exceeded) {
        tracing::error!(%exceeded, "memory is exhausted, and ending the tasks did not free it: this executor ends");
    }

    fn record(&self, _: &Exceeded) {}

    fn exit_code(&self) -> Option<i32> {
        Some(engine::cluster::EXHAUSTED)
    }

    fn patience(&self) -> Duration {
        RELEASE_GRACE
    }
}
