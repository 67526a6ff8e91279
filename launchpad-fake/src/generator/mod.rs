//! The generator: invented bugs that depend on the seed and the bug's index alone.
//!
//! At the start every story is told once to fill the [`index::Index`]; for an answer the stories that
//! it needs are told again. Neither what was asked before nor in which order changes a byte.

pub(crate) mod bug;
mod changes;
pub(crate) mod index;
pub mod landmarks;
pub(crate) mod people;
pub(crate) mod random;
pub(crate) mod story;
pub(crate) mod targets;
pub(crate) mod text;
pub(crate) mod vocabulary;

use std::sync::atomic::{AtomicU32, Ordering};

use self::bug::Bug;
use self::index::Index;
use self::landmarks::FIRST_BUG;
use self::story::Source;
use crate::options::{Drift, Options};

/// The generated bugs of one server.
#[derive(Debug)]
pub(crate) struct Generator {
    source: Source,
    index: Index,
    /// How many bugs there are before any drift.
    bugs: u32,
    drift: Option<Drift>,
    /// How many search pages were served.
    pages: AtomicU32,
}

/// Which bugs a search finds at a moment: rows come and go when the server drifts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Visible {
    /// The first bug by index.
    pub(crate) from: u32,
    /// One after the last bug by index.
    pub(crate) to: u32,
}

impl Generator {
    /// Tells every story once. This takes about 10 µs of processor time per bug in a release build.
    pub(crate) fn new(options: &Options) -> Self {
        let source = Source {
            seed: options.seed,
            member_share: options.member_share,
        };
        let drift = options.faults.drifting;
        let reserve = if drift.is_some() { Drift::RESERVE } else { 0 };
        Self {
            source,
            index: Index::build(source, options.bugs.saturating_add(reserve)),
            bugs: options.bugs,
            drift,
            pages: AtomicU32::new(0),
        }
    }

    /// The seed.
    pub(crate) fn seed(&self) -> u64 {
        self.source.seed
    }

    /// The rows to search in.
    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// The bugs that exist now.
    pub(crate) fn visible(&self) -> Visible {
        let Some(drift) = self.drift else {
            return Visible {
                from: 0,
                to: self.bugs,
            };
        };
        let steps = self.pages.load(Ordering::Relaxed) / drift.every.max(1);
        Visible {
            from: steps
                .saturating_mul(drift.remove)
                .min(Drift::RESERVE)
                .min(self.bugs),
            to: self.bugs + steps.saturating_mul(drift.insert).min(Drift::RESERVE),
        }
    }

    /// Counts a search page. True when rows come or go after it.
    pub(crate) fn page_served(&self) -> bool {
        let pages = self.pages.fetch_add(1, Ordering::Relaxed) + 1;
        self.drift
            .is_some_and(|drift| pages.is_multiple_of(drift.every.max(1)))
    }

    /// The bug at this index.
    pub(crate) fn bug_at(&self, index: u32) -> Bug {
        story::tell(self.source, index)
    }

    /// The bug with this id.
    pub(crate) fn bug(&self, id: u32) -> Option<Bug> {
        let index = id.checked_sub(FIRST_BUG)?;
        (index < self.visible().to).then(|| self.bug_at(index))
    }
}

#[cfg(test)]
mod tests;
