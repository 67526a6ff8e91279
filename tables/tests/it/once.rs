//! Runs that say who they are, as those of a pipeline do: asked for again, they recognise what they committed.

use datafusion::arrow::record_batch::RecordBatch;
use datafusion::physical_plan::collect;
use tables::{Begun, Claim, Commit, CommitInfo, Committed, Table, TableOptions, Transaction};

use crate::support::{TestResult, input, session};

/// What a run came to.
pub(crate) enum Once {
    /// It published.
    Now(Box<Commit>),
    /// It found that it had.
    Before(Box<Committed>),
}

impl Once {
    /// The number of the commit that has its rows.
    pub(crate) fn commit(&self) -> u64 {
        match self {
            Self::Now(commit) => commit.number,
            Self::Before(committed) => committed.number,
        }
    }

    /// The commit that was there before.
    pub(crate) fn before(self) -> TestResult<Committed> {
        match self {
            Self::Now(commit) => Err(format!("it published commit {}", commit.number).into()),
            Self::Before(committed) => Ok(*committed),
        }
    }
}

/// The claim of a run that may have been at work before.
pub(crate) fn claim(request: &str, info: &CommitInfo) -> Claim {
    Claim {
        transaction: Transaction {
            application: "tests".to_owned(),
            request: request.to_owned(),
            output: "t".to_owned(),
        },
        interval: info.interval.clone(),
        plan_fingerprint: info.plan_fingerprint.clone(),
        since: Some(0),
    }
}

/// A whole run, unless its commit is there.
pub(crate) async fn run_once(
    table: &Table,
    run_id: &str,
    options: TableOptions,
    rows: RecordBatch,
    readable: bool,
    info: CommitInfo,
) -> TestResult<Once> {
    let claim = claim("the same", &info);
    run_claiming(table, run_id, options, rows, readable, info, claim).await
}

/// A whole run, unless a commit is there that `claim` takes for its own.
pub(crate) async fn run_claiming(
    table: &Table,
    run_id: &str,
    options: TableOptions,
    rows: RecordBatch,
    readable: bool,
    info: CommitInfo,
    claim: Claim,
) -> TestResult<Once> {
    let ctx = session(None)?;
    let input = input(&[vec![rows]])?;
    let schema = input.schema();
    let mut staging = match table.begin_once(run_id, options, &schema, claim).await? {
        Begun::Committed(committed) => return Ok(Once::Before(committed)),
        Begun::Staging(staging) => *staging,
    };
    if !readable {
        staging.rows_are_not_read();
    }
    let staged = async {
        let rows = collect(staging.write_plan(input)?, ctx.task_ctx()).await?;
        let files = staging.staged(&rows)?;
        TestResult::Ok(staging.prepare(&ctx, files).await?)
    };
    match staged.await {
        Ok(change) => Ok(Once::Now(Box::new(staging.publish(change, info).await?))),
        Err(error) => {
            // As a driver does; where the store is dead this fails as well.
            let _ = staging.abandon().await;
            Err(error)
        }
    }
}
