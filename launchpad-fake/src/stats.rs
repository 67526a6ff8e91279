//! What a fake has counted since it started.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a fake has counted since it started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// All requests, answered or not.
    pub requests: u64,
    /// Requests by what they asked for: `search`, `bug`, `bug_tasks`, `task`, `activity`, `messages`,
    /// `message`, `person`, `members`, `wadl`, `root`, `other`.
    pub by_kind: BTreeMap<&'static str, u64>,
    /// The most requests that were being answered at one time.
    pub max_in_flight: u64,
    /// Faults that fired, by the name of their switch in [`crate::Faults`].
    pub faults: BTreeMap<&'static str, u64>,
}

/// The counters of a running server.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stats: Stats,
    in_flight: u64,
}

impl Counters {
    /// Counts a request; it is in flight until the guard is dropped. Also returns its number, from one.
    pub(crate) fn begin(&self, kind: &'static str) -> (u64, InFlight<'_>) {
        let mut state = self.lock();
        state.stats.requests += 1;
        *state.stats.by_kind.entry(kind).or_default() += 1;
        state.in_flight += 1;
        state.stats.max_in_flight = state.stats.max_in_flight.max(state.in_flight);
        (state.stats.requests, InFlight(self))
    }

    /// Counts a fault that fired.
    pub(crate) fn fault(&self, name: &'static str) {
        *self.lock().stats.faults.entry(name).or_default() += 1;
    }

    /// The counts so far.
    pub(crate) fn snapshot(&self) -> Stats {
        self.lock().stats.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere cannot leave a half-made count that matters.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct InFlight<'a>(&'a Counters);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.lock().in_flight -= 1;
    }
}
