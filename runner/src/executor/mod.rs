//! Where the queries of outputs are planned and executed: in this process, or on a cluster.
//!
//! Owns what the two have in common for an attempt at an output, and what an attempt that failed means for the next one.
//! What is written with it is [`write`](super::write)'s.

mod attempt;
mod cluster;
mod local;

use std::collections::BTreeMap;

use connectors::sink::Writers;
use datafusion::arrow::array::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;

use super::context::RunContext;
use super::error::RunError;
use super::event::Status;

pub use attempt::{Again, Failed, Planned, Purpose, Target};
pub use cluster::{Account, Cluster};
pub use local::Local;

/// See the module.
#[derive(Debug)]
pub enum Executor {
    /// This process.
    Local(Local),
    /// A scheduler and its executors.
    Cluster(Box<Cluster>),
}

/// One attempt at an output: who works on it, and with what memory its queries are planned.
#[derive(Debug)]
pub enum Attempt<'a> {
    /// In this process.
    Local(local::Attempt),
    /// On the cluster.
    Cluster(Box<cluster::Attempt<'a>>),
}

impl Executor {
    /// Begins an attempt, which is `relieved` if its queries are to hold less memory than they could. Waits for executors.
    ///
    /// # Errors
    /// [`RunError::Cluster`] when none come; [`RunError::Engine`] when a session cannot be made.
    pub async fn attempt(&self, number: u32, relieved: bool) -> Result<Attempt<'_>, RunError> {
        Ok(match self {
            Self::Local(local) => Attempt::Local(local.attempt(relieved)?),
            Self::Cluster(cluster) => {
                Attempt::Cluster(Box::new(cluster.attempt(number, relieved).await?))
            }
        })
    }

    /// Whether there is another attempt at `output` after `number` of them, the last of which failed so.
    pub fn again(
        &self,
        output: &str,
        number: u32,
        relieved: bool,
        error: &RunError,
    ) -> Option<Again> {
        match self {
            Self::Local(local) => local.again(output, relieved, error),
            Self::Cluster(_) => cluster::again(output, number, relieved, error),
        }
    }

    /// How far the query is that is executed now; `None` where this process can only tell its memory.
    pub fn status(&self) -> Option<impl Fn() -> Status + Send + Sync + 'static> {
        match self {
            Self::Local(_) => None,
            Self::Cluster(cluster) => Some(cluster.status()),
        }
    }

    /// What the outputs took, for the run's record; nothing where there is nothing to tell.
    pub fn accounts(&self) -> Option<BTreeMap<String, Account>> {
        match self {
            Self::Local(_) => None,
            Self::Cluster(cluster) => Some(cluster.accounts()),
        }
    }
}

impl Attempt<'_> {
    /// Who writes.
    pub fn writers(&self) -> Writers {
        match self {
            Self::Local(_) => Writers::Here,
            Self::Cluster(attempt) => attempt.writers(),
        }
    }

    /// Plans a query.
    ///
    /// # Errors
    /// [`RunError::Interrupted`]; inside, what is wrong with the query.
    pub async fn plan(
        &self,
        run: &RunContext,
        query: &LogicalPlan,
    ) -> Result<Result<Planned, DataFusionError>, RunError> {
        match self {
            Self::Local(attempt) => attempt.plan(run, query).await,
            Self::Cluster(attempt) => attempt.plan(run, query).await,
        }
    }

    /// Executes a plan for `output` and gives its rows, which are few. `purpose` tells its jobs apart.
    ///
    /// # Errors
    /// [`Failed::Query`] with the engine's error, which the caller puts into words; otherwise the run's own.
    pub async fn execute(
        &self,
        run: &RunContext,
        planned: Planned,
        output: &Target<'_>,
        purpose: Purpose,
    ) -> Result<Vec<RecordBatch>, Failed> {
        match self {
            Self::Local(attempt) => attempt.execute(run, planned, output).await,
            Self::Cluster(attempt) => attempt.execute(run, planned, output, purpose).await,
        }
    }

    /// Rows that the executed query took from its sources.
    pub fn scanned(&self, executed: &dyn ExecutionPlan) -> u64 {
        match self {
            Self::Local(_) => local::scanned_rows(executed),
            Self::Cluster(attempt) => attempt.rows_read(executed),
        }
    }

    /// Whether the written rows have to be counted a second way: parts of a plan can get lost or run twice between
    /// processes.
    pub fn is_counted(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// Notes that this attempt did it.
    pub fn succeeded(&self, output: &str) {
        if let Self::Cluster(attempt) = self {
            attempt.succeeded(output);
        }
    }
}
