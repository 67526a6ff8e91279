//! Publishing: prepares every output, then decides them one after the other. Owns their order, and what is recorded and told
//! of each. What one commit does is its sink's.

use connectors::sink::Publication;
use datafusion::prelude::SessionContext;
use serde_json::{Value, json};
use tables::{CommitInfo, FilesRead, Format};

use super::context::{RunContext, StageReport};
use super::error::RunError;
use super::output::{commit_info, name, table_failed};
use super::quantity::count;
use super::write::{OpenOutput, StagedOutput, Written, give_back, show_memory};
use crate::store::{self, Counts, StageName};
use language::{Bound, Output};

/// A published output.
#[derive(Debug, Clone)]
pub struct Published {
    /// The output's name.
    pub name: String,
    /// Where it is.
    pub location: String,
    /// How it was published.
    pub mode: String,
    /// Whether it has partition columns, for the reader's command.
    pub partitioned: bool,
    /// The format of its files, for the same.
    pub format: Format,
    /// What writing its rows came to; `None` if an earlier process wrote them.
    pub written: Option<Written>,
    /// What publishing came to.
    pub publication: Publication,
}

impl Published {
    /// What publishing an output at `location` came to.
    pub fn new(output: &Output, location: String, publication: Publication) -> Self {
        Self {
            name: name(output),
            mode: output.options.publish.to_string(),
            partitioned: !output.partition_by.is_empty(),
            format: output.format,
            written: None,
            location,
            publication,
        }
    }

    /// As an error names it.
    pub fn commit_of(&self) -> String {
        format!("commit {} of {}", self.publication.commit, self.location)
    }
}

/// Prepares every output, then decides them one after the other, so that little can go wrong between two decisions.
/// `before` are those that were decided by an earlier process, `files_read` what is noted of sources that are read file by file.
///
/// # Errors
/// [`RunError::Table`] when nothing of the failing output is published, [`RunError::Unfinished`] when its commit stands or
/// may; in [`RunError::Committed`] if others were published before. The outputs that are left are given back.
pub async fn publish_all(
    run: &RunContext,
    bound: &Bound,
    ctx: &SessionContext,
    staged: Vec<StagedOutput>,
    before: Vec<Published>,
    files_read: Option<&FilesRead>,
    counts: &mut Counts,
) -> Result<Vec<Published>, RunError> {
    let ready = prepare_all(run, ctx, staged).await?;
    let committed_before: Vec<String> = before.iter().map(|output| output.name.clone()).collect();
    let mut published = before;
    let mut done = Vec::new();
    let mut waiting = ready.into_iter();
    let mut outcome = record_before(run, &published, counts).await;
    while outcome.is_ok()
        && let Some(open) = waiting.next()
    {
        let info = commit_info(bound, counts.read, files_read);
        outcome = match publish(open, info).await {
            Ok(output) => {
                if output.publication.run_id == run.attempt.run.to_string() {
                    done.push(output.commit_of());
                }
                let told = record_output(run, &output, counts).await;
                published.push(output);
                told
            }
            Err(error) => Err(error),
        };
    }
    if outcome.is_ok() {
        let detail = match committed_before.is_empty() {
            true => Value::Null,
            false => json!({ "committed_before": committed_before }),
        };
        outcome = end_of_commit(run, &published, counts, detail).await;
    }
    match outcome {
        Ok(()) => Ok(published),
        Err(error) => Err(give_back(waiting, error).await.after(&done)),
    }
}

async fn prepare_all(
    run: &RunContext,
    ctx: &SessionContext,
    staged: Vec<StagedOutput>,
) -> Result<Vec<OpenOutput>, RunError> {
    let mut ready: Vec<OpenOutput> = Vec::new();
    let mut waiting = staged.into_iter().map(|output| output.open);
    let mut outcome = begin_commit(run).await;
    while outcome.is_ok()
        && let Some(open) = waiting.next()
    {
        match prepare(run, ctx, open).await {
            Ok((open, prepared)) => {
                ready.push(open);
                outcome = prepared;
            }
            Err(error) => outcome = Err(error),
        }
    }
    match outcome.and_then(|()| run.check_cancelled()) {
        Ok(()) => Ok(ready),
        Err(error) => Err(give_back(ready.into_iter().chain(waiting), error).await),
    }
}

/// Prepares an output. Where the run is to stop meanwhile, the threads of the query still have the output, and the next run
/// clears up.
async fn prepare(
    run: &RunContext,
    ctx: &SessionContext,
    mut open: OpenOutput,
) -> Result<(OpenOutput, Result<(), RunError>), RunError> {
    let ctx = ctx.clone();
    run.query(async move {
        let prepared = open.transaction.prepare(&ctx).await;
        let prepared = prepared.map_err(|error| open.table_failed(error));
        (open, prepared)
    })
    .await
}

/// Decides, and makes the rows visible.
async fn publish(open: OpenOutput, info: CommitInfo) -> Result<Published, RunError> {
    let OpenOutput {
        output,
        location,
        transaction,
        written,
        ..
    } = open;
    let committed = transaction.commit(info).await;
    let publication = committed.map_err(|source| table_failed(&location, source))?;
    Ok(Published {
        written,
        ..Published::new(&output, location, publication)
    })
}

async fn begin_commit(run: &RunContext) -> Result<(), RunError> {
    run.check_cancelled()?;
    run.begin(StageName::Commit).await?;
    run.snapshot("commit start").await?;
    show_memory(run, StageName::Commit);
    Ok(())
}

async fn end_of_commit(
    run: &RunContext,
    published: &[Published],
    counts: &Counts,
    detail: Value,
) -> Result<(), RunError> {
    run.snapshot("commit end").await?;
    run.end(
        StageName::Commit,
        StageReport {
            rows: counts.written,
            bytes: bytes_written(published),
            detail,
        },
    )
    .await
}

/// Bytes of all that was published.
pub fn bytes_written(published: &[Published]) -> u64 {
    published
        .iter()
        .map(|output| output.publication.bytes)
        .sum()
}

/// Records outputs that an earlier process published.
async fn record_before(
    run: &RunContext,
    published: &[Published],
    counts: &mut Counts,
) -> Result<(), RunError> {
    for output in published {
        record_output(run, output, counts).await?;
    }
    Ok(())
}

/// Records a published output: its rows count, and what a reader must know beside the counts of files is told.
async fn record_output(
    run: &RunContext,
    output: &Published,
    counts: &mut Counts,
) -> Result<(), RunError> {
    let publication = &output.publication;
    counts.written += publication.rows;
    count_changes(publication, counts);
    if publication.committed_before.is_none() {
        tell_changes(run, output).await?;
    }
    let recorded = store::Output {
        name: output.name.clone(),
        location: output.location.clone(),
        mode: output.mode.clone(),
        commit: Some(publication.commit),
        files: publication.totals.files,
        rows: publication.totals.rows,
        bytes: publication.totals.bytes,
        files_added: publication.files_added,
        files_removed: publication.files_removed,
        files_unchanged: publication.files_unchanged,
    };
    run.store.record_output(run.attempt, &recorded).await?;
    Ok(())
}

fn count_changes(publication: &Publication, counts: &mut Counts) {
    let moved = publication.merge.map_or(0, |merge| merge.moved);
    for (word, rows) in [("discarded", publication.rows_discarded), ("moved", moved)] {
        if rows > 0 {
            *counts.other.entry(String::from(word)).or_default() += rows;
        }
    }
    if let Some(window) = publication.window {
        let millis = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        let longest = counts.other.entry(String::from("publish_window_millis"));
        let longest = longest.or_default();
        *longest = millis.max(*longest);
    }
}

async fn tell_changes(run: &RunContext, output: &Published) -> Result<(), RunError> {
    let (name, publication) = (&output.name, &output.publication);
    if let Some(error) = &publication.uncleared {
        run.warn(format!(
            "committed, but what was staged for {} could not be cleared away ({error}); the next run will",
            output.location
        ))
        .await?;
    }
    for changed in &publication.schema_changes {
        run.warn(format!("the schema of `{name}` changed: {changed}"))
            .await?;
    }
    if publication.rows_discarded > 0 {
        run.warn(format!(
            "{} of `{name}` left out, because a value does not fit the table's type",
            count(publication.rows_discarded, "row")
        ))
        .await?;
    }
    Ok(())
}
