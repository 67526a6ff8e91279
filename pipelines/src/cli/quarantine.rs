//! `pipelines quarantine list` and `pipelines quarantine show`: what runs put aside.

use clap::Subcommand;

use super::exit::ExitStatus;
use super::printer::Output;
use super::report;
use super::session::Session;
use runner::error::RunError;
use runner::quantity::{bytes, count};
use runner::store::{
    QuarantineSummary, Quarantined, RunFilter, RunId, RunReader, SqliteRunStore, StoreError,
};

#[derive(Debug, Subcommand)]
pub(super) enum QuarantineCommand {
    /// List what a run put aside, each with its place and reason
    List {
        /// The run's id, or the beginning of it; the newest run if it is not given
        run: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// Without the first so many
        #[arg(long, default_value_t = 0)]
        skip: u64,
    },
    /// Show one of them in full, as it was received
    Show {
        /// The run's id, or the beginning of it
        run: String,
        /// Its number in the list, from 1
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        number: u64,
    },
}

pub(super) async fn quarantine(
    session: &Session,
    command: &QuarantineCommand,
) -> Result<ExitStatus, RunError> {
    let path = session.state_dir().join("state.db");
    let store = SqliteRunStore::open_existing(&path).await?;
    match command {
        QuarantineCommand::List { run, limit, skip } => {
            let run = match &store {
                Some(store) => chosen(store, run.as_deref()).await?,
                None => nothing(run.as_deref())?,
            };
            let found = match (&store, run) {
                (Some(store), Some(run)) => store.quarantined(run, *skip, *limit).await?,
                _ => QuarantineSummary {
                    total: 0,
                    items: Vec::new(),
                },
            };
            list(session, run, &found, *skip)
        }
        QuarantineCommand::Show { run, number } => {
            let Some(store) = store else {
                return Err(not_found(run));
            };
            let id = store.run(run).await?.id;
            let mut found = store.quarantined(id, number - 1, 1).await?;
            match found.items.pop() {
                Some(item) => show(session, &item),
                None => Err(RunError::NotFound {
                    message: format!(
                        "run {id} has {} in quarantine, so there is no number {number}",
                        count(found.total, "item")
                    ),
                }),
            }
        }
    }
}

/// The run that was asked for, or the newest.
async fn chosen(store: &SqliteRunStore, run: Option<&str>) -> Result<Option<RunId>, RunError> {
    if let Some(run) = run {
        return Ok(Some(store.run(run).await?.id));
    }
    let newest = RunFilter {
        limit: 1,
        ..RunFilter::default()
    };
    Ok(store.runs(&newest).await?.first().map(|run| run.id))
}

/// Where nothing was run, a run that is named is not there.
fn nothing(run: Option<&str>) -> Result<Option<RunId>, RunError> {
    run.map_or(Ok(None), |run| Err(not_found(run)))
}

fn not_found(run: &str) -> RunError {
    RunError::Store(StoreError::NotFound {
        wanted: run.to_owned(),
        near: Vec::new(),
    })
}

fn list(
    session: &Session,
    run: Option<RunId>,
    found: &QuarantineSummary,
    skip: u64,
) -> Result<ExitStatus, RunError> {
    let printer = session.printer;
    if session.global.output == Output::Json {
        report::json(printer, found)?;
        return Ok(ExitStatus::Success);
    }
    let Some(run) = run else {
        printer.say("no runs yet, so nothing is in quarantine");
        return Ok(ExitStatus::Success);
    };
    printer.say(format_args!(
        "{} of run {run} in quarantine",
        count(found.total, "item")
    ));
    if !found.items.is_empty() {
        let rows = found.items.iter().zip(skip + 1..).map(|(item, number)| {
            [
                number.to_string(),
                item.source.clone(),
                item.url.clone(),
                column(item).unwrap_or_default(),
                item.reason.clone(),
            ]
        });
        printer.table(&["NUMBER", "SOURCE", "PLACE", "COLUMN", "REASON"], rows);
    }
    let shown = skip + found.items.len() as u64;
    if shown < found.total {
        printer.say(format_args!(
            "{} more: --skip {shown}",
            count(found.total - shown, "item")
        ));
    }
    Ok(ExitStatus::Success)
}

fn show(session: &Session, item: &Quarantined) -> Result<ExitStatus, RunError> {
    let printer = session.printer;
    if session.global.output == Output::Json {
        report::json(printer, item)?;
        return Ok(ExitStatus::Success);
    }
    let mut facts: Vec<[String; 2]> = Vec::new();
    let mut fact = |name: &str, value: Option<String>| {
        facts.extend(value.map(|value| [name.to_owned(), value]));
    };
    fact("source", Some(item.source.clone()));
    fact("place", Some(item.url.clone()));
    fact("unit", item.unit.clone());
    fact("resource", item.resource.clone());
    if let Some(row) = &item.row {
        fact("line", Some(row.line.to_string()));
        fact("offset", Some(format!("byte {} of the text", row.offset)));
        fact("length", Some(bytes(row.length)));
    }
    fact("column", column(item));
    fact("class", Some(item.class.clone()));
    fact("reason", Some(item.reason.clone()));
    printer.table(&["", ""], facts);
    let Some(body) = &item.body else {
        return Ok(ExitStatus::Success);
    };
    printer.data("");
    let hexadecimal = item.row.as_ref().and_then(|row| row.body_hex.as_ref());
    printer.data(body);
    if let Some(hexadecimal) = hexadecimal {
        printer.data(format_args!("in hexadecimal: {hexadecimal}"));
    }
    let kept = match hexadecimal {
        Some(hexadecimal) => hexadecimal.len() / 2,
        None => body.len(),
    };
    if let Some(row) = &item.row
        && (kept as u64) < row.length
    {
        printer.say(format_args!("of {} the first {kept} are kept", row.length));
    }
    Ok(ExitStatus::Success)
}

fn column(item: &Quarantined) -> Option<String> {
    item.row.as_ref().and_then(|row| row.column.clone())
}
