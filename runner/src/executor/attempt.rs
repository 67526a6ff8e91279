//! What an attempt at an output works with and comes to, wherever it is executed.

use std::sync::Arc;
use std::time::Duration;

use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::physical_plan::ExecutionPlan;
use engine::JoinStrategy;

use crate::error::RunError;

/// A query with its plan, and the session that made it, whose settings hold for its execution.
#[derive(Debug)]
pub struct Planned {
    /// The session.
    pub state: SessionState,
    /// The plan.
    pub physical: Arc<dyn ExecutionPlan>,
    /// How its joins are executed.
    pub joins: JoinStrategy,
}

/// What becomes of an output after an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    /// What is said of it.
    pub warning: String,
    /// Whether the next attempt is to hold less memory.
    pub relieved: bool,
    /// How long to wait.
    pub pause: Duration,
}

/// The output for which a plan is executed.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether writing it waits for another machine.
    pub is_far: bool,
}

/// What a plan is executed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To write rows.
    Write,
    /// To see how they are to be distributed.
    Sample,
    /// To know how many there are.
    Count,
    /// To know what is bad in the files that were read.
    BadRows,
}

/// Why a plan did not give its rows.
#[derive(Debug)]
pub enum Failed {
    /// The engine says why.
    Query(DataFusionError),
    /// Something else.
    Run(RunError),
}

impl From<RunError> for Failed {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}
