//! The thread that watches the ceiling of this process.
//!
//! Owns when the ceiling is looked at, and that a process beyond it stops or ends. It is a thread of the operating system:
//! no query, however long it keeps the threads of a runtime, delays it.
//!
//! ```text
//! below ──► above: stop() ──► below again: as before
//!                         └─► still above after its patience, or much above: say(), record(), and the process is over,
//!                             if it may be ended
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::holders::{functions, operators};
use super::query::parts;
use super::resident::Resident;
use super::{CEILING, CLAIMED};

/// The ceiling is looked at again before memory could reach it at this speed, bytes a millisecond.
const FASTEST: u64 = 4 << 20;
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(20);

/// Ending a process takes so long where others want its processors too.
const AHEAD: Duration = Duration::from_millis(5);

/// Above the ceiling it is looked at as often.
const NEAR: Duration = Duration::from_micros(250);

/// Saying why the process ends takes so long at most, and recording it.
const LAST_WORDS: Duration = Duration::from_millis(5);
const LAST_RECORD: Duration = Duration::from_millis(40);

/// A process that is beyond its ceiling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    /// The ceiling, bytes.
    pub ceiling: u64,
    /// What was resident, bytes.
    pub resident: u64,
    /// The operators that had reserved most, and how many bytes.
    pub operators: Vec<(String, usize)>,
    /// The functions that were making values.
    pub functions: Vec<String>,
    /// The operators and functions of the queries that were executed.
    pub queries: String,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the process holds {} MiB, and its ceiling is {} MiB",
            self.resident >> 20,
            self.ceiling >> 20
        )?;
        if !self.functions.is_empty() {
            let names = self.functions.iter().map(|name| format!("`{name}`"));
            let names: Vec<String> = names.collect();
            write!(f, "; functions at work: {}", names.join(", "))?;
        }
        match self.operators.as_slice() {
            [] => f.write_str("; no operator had reserved any of it")?,
            operators => {
                let held = operators
                    .iter()
                    .map(|(name, bytes)| format!("{name} {} MiB", bytes >> 20));
                let held: Vec<String> = held.collect();
                write!(f, "; reserved by operators: {}", held.join(", "))?;
            }
        }
        match self.queries.as_str() {
            "" => Ok(()),
            queries => write!(f, "; executed were {queries}"),
        }
    }
}

impl std::error::Error for Exceeded {}

/// What a process does that is beyond its ceiling. Called by the watching thread.
pub trait Reaction: Send + Sync + 'static {
    /// Asks the work that may be the cause to stop. Must return at once.
    fn stop(&self, exceeded: &Exceeded);

    /// The process ends, because asking did not help in time: says why. It has a few milliseconds.
    fn say(&self, exceeded: &Exceeded);

    /// Then records why. It has some tens of milliseconds, less if memory goes on growing.
    fn record(&self, exceeded: &Exceeded);

    /// The exit code then; `None` if the process must not be ended, because it is not this work's alone.
    fn exit_code(&self) -> Option<i32>;

    /// How long the process may stay a little above its ceiling after it was asked to stop.
    fn patience(&self) -> Duration;
}

/// Watches from its start until it is dropped.
#[derive(Debug)]
pub struct Watchdog {
    /// Dropped with it, which ends the thread.
    _stop: Sender<()>,
}

impl Watchdog {
    /// Watches that the resident memory of this process stays below `ceiling` bytes. There is one at a time; a later one
    /// replaces the ceiling. `None` where the system does not tell what is resident.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(ceiling: u64, reaction: Arc<dyn Reaction>) -> std::io::Result<Option<Self>> {
        let Some(measured) = Resident::open() else {
            return Ok(None);
        };
        let (stop, stopped) = mpsc::channel();
        thread::Builder::new()
            .name(String::from("memory-watchdog"))
            .spawn(move || watch(&measured, &reaction, &stopped))?;
        CLAIMED.store(0, Ordering::Relaxed);
        let watchdog = Self { _stop: stop };
        watchdog.set(ceiling);
        Ok(Some(watchdog))
    }

    /// From now on the ceiling is `ceiling` bytes.
    pub fn set(&self, ceiling: u64) {
        CEILING.store(ceiling, Ordering::Relaxed);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        CEILING.store(0, Ordering::Relaxed);
    }
}

fn watch(measured: &Resident, reaction: &Arc<dyn Reaction>, stopped: &Receiver<()>) {
    let mut state = State::Below;
    let mut growth = Growth::default();
    loop {
        let ceiling = match CEILING.load(Ordering::Relaxed) {
            0 => u64::MAX,
            ceiling => ceiling,
        };
        let resident = measured.bytes().unwrap_or_default();
        let now = Instant::now();
        let soon = growth.soon(resident, now);
        state = match state.next(ceiling, resident, soon, now, reaction.patience()) {
            (State::Above { since, .. }, true) => {
                let exceeded = Exceeded {
                    ceiling,
                    resident,
                    operators: operators(),
                    functions: functions(),
                    queries: queries(),
                };
                reaction.stop(&exceeded);
                State::Above {
                    since,
                    exceeded: Some(exceeded),
                }
            }
            (State::Over(exceeded), _) => match reaction.exit_code() {
                Some(code) => return end(measured, reaction, &exceeded, code),
                None => State::Refrained,
            },
            (state, _) => state,
        };
        let pause = match state {
            State::Above { .. } if soon > much(ceiling) => Duration::ZERO,
            State::Below => pause(ceiling.saturating_sub(resident)),
            State::Refrained => LONGEST,
            _ => NEAR,
        };
        match stopped.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// `AggregateExec, ProjectionExec with array_agg, repeat`
fn queries() -> String {
    let parts = parts();
    let listed = |names: BTreeSet<String>| names.into_iter().collect::<Vec<_>>().join(", ");
    let mut text = listed(parts.operators);
    if !parts.functions.is_empty() {
        text += " with the functions ";
        text += &listed(parts.functions);
    }
    text
}

/// Where the process is.
#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Below its ceiling.
    Below,
    /// Above, and asked to stop.
    Above {
        since: Instant,
        exceeded: Option<Exceeded>,
    },
    /// To be ended.
    Over(Exceeded),
    /// Above, and not to be ended.
    Refrained,
}

impl State {
    /// The state after `resident` bytes were measured, with `soon` to come, and whether the work is to be asked to stop.
    fn next(
        self,
        ceiling: u64,
        resident: u64,
        soon: u64,
        now: Instant,
        patience: Duration,
    ) -> (Self, bool) {
        match self {
            Self::Over(exceeded) => (Self::Over(exceeded), false),
            _ if resident <= ceiling => (Self::Below, false),
            Self::Above {
                since,
                exceeded: Some(exceeded),
            } if soon > much(ceiling) || now.duration_since(since) > patience => {
                (Self::Over(exceeded), false)
            }
            Self::Below => {
                let above = Self::Above {
                    since: now,
                    exceeded: None,
                };
                (above, true)
            }
            above @ (Self::Above { .. } | Self::Refrained) => (above, false),
        }
    }
}

/// Resident bytes above which there is no time for patience. Most of the twentieth by which a process may be above its ceiling
/// is for the end, during which memory grows on.
fn much(ceiling: u64) -> u64 {
    ceiling + ceiling / 100
}

/// How fast memory grows.
#[derive(Debug, Default)]
struct Growth(Option<(u64, Instant)>);

impl Growth {
    /// What will be resident in [`AHEAD`] if it grows on as since the last call.
    fn soon(&mut self, resident: u64, now: Instant) -> u64 {
        let (before, since) = self.0.replace((resident, now)).unwrap_or((resident, now));
        let grown = u128::from(resident.saturating_sub(before));
        let passed = now.duration_since(since).as_nanos().max(1);
        let ahead = grown * AHEAD.as_nanos() / passed;
        resident.saturating_add(u64::try_from(ahead).unwrap_or(u64::MAX))
    }
}

fn pause(left: u64) -> Duration {
    Duration::from_millis(left / FASTEST).clamp(SHORTEST, LONGEST)
}

#[expect(
    clippy::exit,
    reason = "threads that do not yield hold the memory: only the end of the process frees it"
)]
fn end(measured: &Resident, reaction: &Arc<dyn Reaction>, exceeded: &Exceeded, code: i32) {
    let most = much(exceeded.ceiling);
    let begun = Instant::now();
    let (done, waits) = mpsc::channel();
    let (speaker, last) = (Arc::clone(reaction), exceeded.clone());
    // On a thread of its own, since whoever reads what is said may be slow.
    let speaking = thread::Builder::new().spawn(move || {
        speaker.say(&last);
        // Nobody waits for it any more if it took too long.
        let _ = done.send(());
        speaker.record(&last);
        let _ = done.send(());
    });
    if speaking.is_ok() && waits.recv_timeout(LAST_WORDS).is_ok() {
        while begun.elapsed() < LAST_RECORD && measured.bytes().unwrap_or_default() < most {
            if waits.recv_timeout(NEAR) != Err(RecvTimeoutError::Timeout) {
                break;
            }
        }
    }
    std::process::exit(code);
}

#[cfg(test)]
mod tests {
    use super::*;

    const CEILING: u64 = 256 << 20;
    const STOP_GRACE: Duration = Duration::from_millis(50);

    fn exceeded() -> Exceeded {
        Exceeded {
            ceiling: CEILING,
            resident: CEILING + (1 << 20),
            operators: vec![(String::from("GroupedHashAggregateStream[0]"), 70 << 20)],
            functions: vec![String::from("repeat")],
            queries: String::from("AggregateExec with the functions array_agg, repeat"),
        }
    }

    #[test]
    fn it_looks_again_before_memory_could_reach_the_ceiling() {
        assert_eq!(pause(0), SHORTEST);
        assert_eq!(pause(40 << 20), Duration::from_millis(10));
        assert_eq!(pause(1 << 40), LONGEST);
    }

    #[test]
    fn work_is_asked_to_stop_once_and_may_go_on_below_the_ceiling() {
        let start = Instant::now();
        let next =
            |state: State, resident| state.next(CEILING, resident, resident, start, STOP_GRACE);
        assert_eq!(next(State::Below, CEILING), (State::Below, false));
        let (above, stop) = next(State::Below, CEILING + 1);
        assert!(stop && matches!(above, State::Above { .. }));
        let above = State::Above {
            since: start,
            exceeded: Some(exceeded()),
        };
        let (above, stop) = next(above, CEILING + 1);
        assert!(!stop && matches!(above, State::Above { .. }));
        assert_eq!(next(above, CEILING), (State::Below, false));
    }

    #[test]
    fn a_process_that_stays_or_grows_above_its_ceiling_is_ended() {
        let start = Instant::now();
        for (resident, soon, later) in [
            (CEILING + 1, CEILING + 1, STOP_GRACE + SHORTEST),
            (CEILING + CEILING / 90, CEILING + CEILING / 90, SHORTEST),
            (CEILING + 1, CEILING + CEILING / 90, SHORTEST),
        ] {
            let above = State::Above {
                since: start,
                exceeded: Some(exceeded()),
            };
            let (state, _) = above.next(CEILING, resident, soon, start + later, STOP_GRACE);
            assert_eq!(state, State::Over(exceeded()));
        }
    }

    #[test]
    fn memory_that_grows_is_expected_to_grow_on() {
        let start = Instant::now();
        let mut growth = Growth::default();
        assert_eq!(growth.soon(1000, start), 1000);
        assert_eq!(growth.soon(3000, start + AHEAD), 5000);
        assert_eq!(growth.soon(2000, start + AHEAD * 2), 2000);
    }

    #[test]
    fn the_message_names_functions_and_operators() {
        assert_eq!(
            exceeded().to_string(),
            "the process holds 257 MiB, and its ceiling is 256 MiB; functions at work: `repeat`; reserved by operators: \
             GroupedHashAggregateStream[0] 70 MiB; executed were AggregateExec with the functions array_agg, repeat"
        );
    }
}
