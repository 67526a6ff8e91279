//! `pipelines clean`: removes what dead runs left behind.
//!
//! Of a table: staged files and announcements of runs that ended before they decided, and a commit that was decided and
//! not finished, which is carried out; what these are is `tables`' to say. Of the state folder: what `runner` finds. Owns
//! how it is told.

use serde_json::{Value, json};
use tables::{Leftovers, Recovery, Table};

use super::exit::ExitStatus;
use super::printer::Output;
use super::report;
use super::session::{Session, complain};
use runner::cleanup::{Cleanup, Folder};
use runner::error::RunError;
use runner::quantity::{bytes, count};

/// What to clean.
#[derive(Debug, clap::Args)]
pub(super) struct CleanArguments {
    /// Tables, by path or URL; without any, the state folder
    #[arg(value_name = "URL")]
    urls: Vec<String>,
    /// Show what is there; removes and writes nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn clean(
    session: &Session,
    arguments: &CleanArguments,
) -> Result<ExitStatus, RunError> {
    if arguments.urls.is_empty() {
        return state_folder(session, arguments.dry_run).await;
    }
    let mut documents = Vec::new();
    let mut status = ExitStatus::Success;
    for url in &arguments.urls {
        match table(session, url, arguments.dry_run).await {
            Ok(document) => documents.push(document),
            // The others are cleaned all the same; the first failure is the exit code.
            Err(error) => {
                complain(session.printer, &error);
                if status == ExitStatus::Success {
                    status = error.kind().into();
                }
            }
        }
    }
    if session.global.output == Output::Json {
        report::json(session.printer, &documents)?;
    }
    Ok(status)
}

async fn table(session: &Session, url: &str, dry_run: bool) -> Result<Value, RunError> {
    let table = Table::open(url, &session.environment.storage())?;
    let found = table.leftovers().await?;
    if table.current().await?.is_none() && found.is_clean() {
        return Err(RunError::from(tables::Error::NoTable {
            table: table.location().to_owned(),
        }));
    }
    let done = if dry_run {
        None
    } else {
        Some(table.recover().await?)
    };
    if session.global.output == Output::Text {
        tell_table(session, &table, &found, done.as_ref());
    }
    let runs: Vec<Value> = found
        .runs
        .iter()
        .map(|run| json!({ "staged_as": run.token, "run": run.run_id, "begun_at": run.begun_at }))
        .collect();
    Ok(json!({
        "location": table.location(),
        "dry_run": dry_run,
        "found": { "unfinished_commit": found.unfinished, "runs": runs },
        "finished_commit": done.as_ref().and_then(|done| done.rolled_forward),
        "dropped_runs": done.as_ref().map(|done| &done.dropped),
    }))
}

fn tell_table(session: &Session, table: &Table, found: &Leftovers, done: Option<&Recovery>) {
    let (printer, location) = (session.printer, table.location());
    match done {
        Some(done) if done.is_clean() => {
            printer.success(format_args!("{location}: nothing was left behind"));
        }
        Some(done) => {
            if let Some(number) = done.rolled_forward {
                printer.success(format_args!(
                    "{location}: commit {number} was decided but not finished; it is now"
                ));
            }
            for run in &done.dropped {
                printer.success(format_args!(
                    "{location}: dropped what run {run} had staged"
                ));
            }
        }
        None if found.is_clean() => printer.say(format_args!("{location}: nothing is left behind")),
        None => {
            if let Some(number) = found.unfinished {
                printer.say(format_args!(
                    "{location}: commit {number} is decided but not finished: would be finished"
                ));
            }
            for run in &found.runs {
                let since = run.begun_at.map_or_else(String::new, |at| {
                    format!(", begun at {}", at.format("%Y-%m-%d %H:%M:%S UTC"))
                });
                printer.say(format_args!(
                    "{location}: files staged by run {}{since}: would be dropped, unless it is at work",
                    run.run_id.as_ref().unwrap_or(&run.token)
                ));
            }
        }
    }
}

async fn state_folder(session: &Session, dry_run: bool) -> Result<ExitStatus, RunError> {
    let state_dir = session.state_dir();
    // Its locks keep other commands away until the end.
    let cleanup = Cleanup::find(&state_dir).await?;
    if !dry_run {
        cleanup.remove()?;
    }
    let Cleanup { go, stay, .. } = &cleanup;
    if session.global.output == Output::Json {
        let listed = |folders: &[Folder]| -> Vec<Value> {
            let one = |folder: &Folder| json!({ "path": folder.path, "bytes": folder.bytes, "reason": folder.reason });
            folders.iter().map(one).collect()
        };
        let document = json!({
            "state_dir": state_dir,
            "dry_run": dry_run,
            (if dry_run { "would_remove" } else { "removed" }): listed(go),
            "kept": listed(stay),
        });
        report::json(session.printer, &document)?;
        return Ok(ExitStatus::Success);
    }
    let printer = session.printer;
    let row = |verb: &str, folder: &Folder| {
        [
            String::from(verb),
            folder.path.display().to_string(),
            bytes(folder.bytes),
            String::from(folder.reason),
        ]
    };
    let verb = if dry_run { "would remove" } else { "removed" };
    let rows: Vec<[String; 4]> = go
        .iter()
        .map(|folder| row(verb, folder))
        .chain(stay.iter().map(|folder| row("kept", folder)))
        .collect();
    if !rows.is_empty() {
        printer.table(&["", "FOLDER", "BYTES", "WHY"], rows);
    }
    let size: u64 = go.iter().map(|folder| folder.bytes).sum();
    printer.success(format_args!(
        "{}: {verb} {}, {}",
        state_dir.display(),
        count(go.len() as u64, "folder"),
        bytes(size)
    ));
    Ok(ExitStatus::Success)
}
