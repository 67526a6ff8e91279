//! The memory of this process: what it may use, what it holds, what is left of its ceiling.
//!
//! Owns the measuring ([`resident`]), where limits are found ([`available`]), the thread that watches the ceiling
//! ([`Watchdog`]), and what is known of who holds memory. How the ceiling is divided is [`Budget`](crate::Budget)'s; what
//! happens to work that is beyond it is for the process to say.

mod available;
mod holders;
mod query;
mod resident;
mod watchdog;

use std::sync::atomic::{AtomicU64, Ordering};

pub use available::{available, available_under};
pub(crate) use holders::operators as holders;
pub use holders::{InProgress, in_progress, watch_pool};
pub use query::{Executing, executing};
pub use resident::{Resident, resident};
pub use watchdog::{Exceeded, Reaction, Watchdog};

/// The ceiling of this process, bytes; 0 for none.
static CEILING: AtomicU64 = AtomicU64::new(0);

/// What functions are making at this moment and have not touched yet, bytes.
static CLAIMED: AtomicU64 = AtomicU64::new(0);

/// Values up to this size together are made without asking: it is what any batch may need.
const ALWAYS: u64 = 2 << 20;

/// A value that is made is copied at least once before it is on disk.
const COPIES: u64 = 2;

/// Memory that a function was allowed to fill; given back when dropped.
#[derive(Debug)]
pub struct Claim(u64);

impl Drop for Claim {
    fn drop(&mut self) {
        CLAIMED.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// Asks for `bytes` that are about to be filled.
///
/// # Errors
/// What may be filled at most, bytes, if that is less.
pub fn claim(bytes: u64) -> Result<Claim, u64> {
    let most = (left() / COPIES).max(ALWAYS);
    if bytes > most {
        return Err(most);
    }
    CLAIMED.fetch_add(bytes, Ordering::Relaxed);
    Ok(Claim(bytes))
}

/// What is left of the ceiling of this process, bytes. Without a [`Watchdog`] there is no ceiling.
pub fn left() -> u64 {
    let ceiling = CEILING.load(Ordering::Relaxed);
    if ceiling == 0 {
        return u64::MAX;
    }
    let held = resident() + CLAIMED.load(Ordering::Relaxed);
    ceiling.saturating_sub(held)
}
