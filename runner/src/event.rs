//! What a run tells while it runs.
//!
//! Owns the one stream of events that terminals, pages and traces are made from. What a run *did* is in the run store, which
//! is written by the run itself, because a run that cannot record may not go on; an observer can neither stop a run nor
//! make it fail.

use std::fmt;
use std::sync::Arc;

use connectors::sample::Served;
use language::Diagnostic;

use super::prepare::Prepared;
use crate::store::{Decision, Run, RunMode, StageName};

/// Something happened.
#[derive(Debug)]
pub enum RunEvent<'a> {
    /// The definition deserves a word, and nothing is wrong with it.
    Remark(&'a Diagnostic),
    /// The run is ours: a new one, or an unfinished one that goes on.
    Claimed {
        /// The run.
        run: &'a Run,
        /// What is run, with its values.
        prepared: &'a Prepared,
        /// Where the bundled sample is served, if it is read.
        sample: Option<&'a Served>,
    },
    /// A stage works, and tells at any moment how far it is. It ends with the next stage, or with the run.
    Progress {
        /// The stage.
        stage: StageName,
        /// How far it is.
        progress: StageProgress,
    },
    /// It is decided where the queries run.
    Decided {
        /// Where.
        mode: RunMode,
        /// Why.
        decision: &'a Decision,
    },
    /// Extracted records were copied to where executors read them.
    InputsStaged {
        /// Files.
        files: u64,
        /// Bytes.
        bytes: u64,
        /// The output beside which they are.
        location: &'a str,
    },
    /// Something that does not stop the run and must not be missed.
    Warning(&'a str),
    /// Nothing more will be told.
    Ended,
}

/// Is told what happens in a run. Called by the run itself: must return at once, and must not call back.
pub trait RunObserver: fmt::Debug + Send + Sync {
    /// Something happened.
    fn observe(&self, event: &RunEvent<'_>);
}

/// Observes nothing.
impl RunObserver for () {
    fn observe(&self, _: &RunEvent<'_>) {}
}

/// How far a stage is, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Done so far, in the stage's own unit.
    pub done: u64,
    /// How much there is, when that is known.
    pub total: Option<u64>,
    /// The rest, in words.
    pub detail: String,
}

/// Tells how far a stage is whenever it is asked, and never waits for data.
#[derive(Clone)]
pub struct StageProgress(Arc<dyn Fn() -> Status + Send + Sync>);

impl StageProgress {
    /// As `status` says.
    pub fn new(status: impl Fn() -> Status + Send + Sync + 'static) -> Self {
        Self(Arc::new(status))
    }

    /// How far it is now.
    pub fn now(&self) -> Status {
        (self.0)()
    }
}

impl fmt::Debug for StageProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StageProgress").field(&self.now()).finish()
    }
}
