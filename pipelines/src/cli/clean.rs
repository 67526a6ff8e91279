//! `pipelines clean`: removes what dead runs left behind.
//!
//! Of a table: staged files and announcements of runs that ended before they decided, and a commit that was decided and
//! not finished, which is carried out. Of the state folder: work folders that no run can go on with, and folders for
//! spilling whose command is gone. Owns what counts as a leftover of the state folder; a table's are `tables`'.

use std::path::{Path, PathBuf};

use chrono::Utc;
use serde_json::{Value, json};
use tables::{Leftovers, Recovery, Table};

use super::Session;
use super::exit::ExitStatus;
use super::printer::Output;
use super::report;
use super::tables::leftovers;
use runner::error::RunError;
use runner::quantity::{bytes, count};
use runner::store::{Owner, Processes, RunId, RunState, RunStore, SqliteRunStore, StoreError};

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
                super::complain(session.printer, &error);
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
    let table = Table::at(url)?;
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

/// A folder of the state folder that nobody needs, or one that somebody does.
struct Folder {
    path: PathBuf,
    bytes: u64,
    /// Why it may go, or must stay.
    reason: &'static str,
}

async fn state_folder(session: &Session, dry_run: bool) -> Result<ExitStatus, RunError> {
    let state_dir = session.state_dir();
    let (mut go, stay) = work_folders(&state_dir).await?;
    // Held until the end: their locks keep other commands away.
    let spilled = leftovers(&state_dir)?;
    go.extend(spilled.iter().map(|leftover| Folder {
        bytes: size_of(&leftover.folder),
        path: leftover.folder.clone(),
        reason: "spill files of a command that is gone",
    }));
    if !dry_run {
        for folder in &go {
            std::fs::remove_dir_all(&folder.path).map_err(|source| RunError::Io {
                action: "remove",
                path: folder.path.clone(),
                source,
            })?;
        }
    }
    if session.global.output == Output::Json {
        let listed = |folders: &[Folder]| -> Vec<Value> {
            let one = |folder: &Folder| json!({ "path": folder.path, "bytes": folder.bytes, "reason": folder.reason });
            folders.iter().map(one).collect()
        };
        let document = json!({
            "state_dir": state_dir,
            "dry_run": dry_run,
            (if dry_run { "would_remove" } else { "removed" }): listed(&go),
            "kept": listed(&stay),
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

/// Work folders of runs: those that no run can go on with, and the others.
async fn work_folders(state_dir: &Path) -> Result<(Vec<Folder>, Vec<Folder>), RunError> {
    let folder = state_dir.join("runs");
    let failed = |source| RunError::Io {
        action: "list",
        path: folder.clone(),
        source,
    };
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok((Vec::new(), Vec::new()));
        }
        entries => entries.map_err(failed)?,
    };
    let store = SqliteRunStore::open_existing(&state_dir.join("state.db")).await?;
    let processes = Processes::of_this_machine()?;
    let (mut go, mut stay) = (Vec::new(), Vec::new());
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort_unstable();
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(id) = name.and_then(|name| name.parse::<RunId>().ok()) else {
            continue;
        };
        let (needed, reason) = match &store {
            Some(store) => needed(store, id, &processes).await?,
            None => (false, UNKNOWN),
        };
        let folder = Folder {
            bytes: size_of(&path),
            path,
            reason,
        };
        if needed { &mut stay } else { &mut go }.push(folder);
    }
    if let Some(store) = store {
        // Else the process may end before the database's own files are gone, and looking would leave a trace.
        store.close().await;
    }
    Ok((go, stay))
}

const UNKNOWN: &str = "the run store does not know its run";

/// Whether a run goes on from its work folder, or can.
async fn needed(
    store: &SqliteRunStore,
    id: RunId,
    processes: &Processes,
) -> Result<(bool, &'static str), RunError> {
    let run = match store.run(&id.to_string()).await {
        Err(StoreError::NotFound { .. }) => return Ok((false, UNKNOWN)),
        run => run?,
    };
    let now = Utc::now();
    let state = run.observed_state(&|owner: &Owner| processes.is_alive(owner, now));
    if state == RunState::Running {
        return Ok((true, "its run is at work"));
    }
    if !state.is_resumable() {
        return Ok((false, "its run has published"));
    }
    let resumable = store.find_resumable(&run.identity).await?;
    Ok(match resumable {
        Some(newest) if newest.id == id => (true, "the same request goes on from it"),
        _ => (false, "a newer run of the same request took its place"),
    })
}

/// Bytes of all files below; what cannot be looked at counts nothing.
fn size_of(folder: &Path) -> u64 {
    let mut bytes = 0;
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                Ok(metadata) => bytes += metadata.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}
