//! `pipelines runs` and `pipelines runs show`: what happened.

use clap::Subcommand;

use super::exit::ExitStatus;
use super::printer::Output;
use super::report;
use super::session::Session;
use runner::error::RunError;
use runner::quantity::{bytes, count, thousands};
use runner::store::{
    Owner, Processes, Run, RunDocument, RunFilter, RunReader, RunState, SqliteRunStore, StoreError,
};

/// Which runs to list, or which one to show.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct RunsArguments {
    #[command(subcommand)]
    command: Option<RunsCommand>,
    /// Only runs of this pipeline
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// Only runs in this state: running, succeeded, partial, failed, cancelled or interrupted
    #[arg(long)]
    state: Option<RunState>,
    /// At most so many
    #[arg(long, default_value_t = 20)]
    limit: u32,
}

#[derive(Debug, Subcommand)]
enum RunsCommand {
    /// Show one run: stages, memory, quarantine, outputs
    Show {
        /// The run's id, or the beginning of it
        id: String,
    },
}

pub(super) async fn runs(
    session: &Session,
    arguments: &RunsArguments,
) -> Result<ExitStatus, RunError> {
    let path = session.state_dir().join("state.db");
    let Some(store) = SqliteRunStore::open_existing(&path).await? else {
        return nothing_yet(session, arguments);
    };
    if let Some(RunsCommand::Show { id }) = &arguments.command {
        let document = store.document(store.run(id).await?.id).await?;
        match session.global.output {
            Output::Json => report::json(session.printer, &document)?,
            Output::Text => show(session, &document)?,
        }
        return Ok(ExitStatus::Success);
    }
    let filter = RunFilter {
        pipeline: arguments.pipeline.clone(),
        state: arguments.state,
        limit: arguments.limit,
    };
    let runs = store.runs(&filter).await?;
    if session.global.output == Output::Json {
        report::json(session.printer, &runs)?;
    } else if runs.is_empty() {
        session.printer.say(NO_RUNS);
    } else {
        let processes = Processes::of_this_machine()?;
        let rows = runs.iter().map(|run| {
            [
                run.id.to_string(),
                run.pipeline.clone(),
                observed(run, &processes).to_string(),
                run.started_at.format("%Y-%m-%d %H:%M:%S").to_string(),
                took(run),
                thousands(run.counts.written),
                thousands(run.counts.quarantined),
                run.peak_memory_bytes.map_or_else(String::new, bytes),
            ]
        });
        let header = [
            "RUN",
            "PIPELINE",
            "STATE",
            "STARTED (UTC)",
            "TOOK",
            "ROWS",
            "QUARANTINED",
            "PEAK MEMORY",
        ];
        session.printer.table(&header, rows);
    }
    Ok(ExitStatus::Success)
}

/// Looking where nothing was run leaves nothing behind.
fn nothing_yet(session: &Session, arguments: &RunsArguments) -> Result<ExitStatus, RunError> {
    match (&arguments.command, session.global.output) {
        (Some(RunsCommand::Show { id }), _) => Err(RunError::Store(StoreError::NotFound {
            wanted: id.clone(),
            near: Vec::new(),
        })),
        (None, Output::Json) => {
            report::json(session.printer, &Vec::<Run>::new())?;
            Ok(ExitStatus::Success)
        }
        (None, Output::Text) => {
            session.printer.say(NO_RUNS);
            Ok(ExitStatus::Success)
        }
    }
}

const NO_RUNS: &str = "no runs yet; begin with: pipelines run launchpad_bugs";

fn observed(run: &Run, processes: &Processes) -> RunState {
    let now = chrono::Utc::now();
    run.observed_state(&|owner: &Owner| processes.is_alive(owner, now))
}

fn took(run: &Run) -> String {
    let Some(finished) = run.finished_at else {
        return String::new();
    };
    let milliseconds = (finished - run.started_at)
        .num_milliseconds()
        .max(0)
        .unsigned_abs();
    humantime::format_duration(std::time::Duration::from_millis(milliseconds)).to_string()
}

fn show(session: &Session, document: &RunDocument) -> Result<(), RunError> {
    let (run, printer) = (&document.run, session.printer);
    let mut facts = vec![
        ["run", &run.id.to_string()].map(String::from),
        ["pipeline", &run.pipeline].map(String::from),
        [
            "state",
            observed(run, &Processes::of_this_machine()?).as_str(),
        ]
        .map(String::from),
        ["attempt", &run.attempt.to_string()].map(String::from),
        ["started", &run.started_at.to_rfc3339()].map(String::from),
        ["took", &took(run)].map(String::from),
        [
            "exit code",
            &run.exit_code
                .map_or_else(String::new, |code| code.to_string()),
        ]
        .map(String::from),
    ];
    facts.extend(
        run.parameters
            .iter()
            .map(|(name, value)| [format!("${name}"), value.clone()]),
    );
    facts.extend(
        run.decision.iter().map(|decision| {
            ["mode", &format!("{}: {}", run.mode, decision.reason)].map(String::from)
        }),
    );
    facts.extend(
        run.error
            .iter()
            .map(|error| ["error", &error.message].map(String::from)),
    );
    facts.extend(
        run.peak_memory_bytes
            .iter()
            .map(|peak| [String::from("peak memory"), bytes(*peak)]),
    );
    printer.table(&["", ""], facts);
    let stages = document.stages.iter().map(|stage| {
        let took = stage
            .finished_at
            .map(|end| format!("{:.3} s", (end - stage.started_at).as_seconds_f64()));
        [
            stage.name.to_string(),
            stage.attempt.to_string(),
            took.unwrap_or_else(|| String::from("not finished")),
            thousands(stage.rows),
            bytes(stage.bytes),
        ]
    });
    printer.data("");
    printer.table(&["STAGE", "ATTEMPT", "TOOK", "ROWS", "BYTES"], stages);
    if !document.outputs.is_empty() {
        printer.data("");
        let outputs = document.outputs.iter().map(|output| {
            [
                output.name.clone(),
                output.location.clone(),
                output.mode.clone(),
                output
                    .commit
                    .map_or_else(String::new, |commit| commit.to_string()),
                format!(
                    "{} (+{} -{} ={})",
                    output.files, output.files_added, output.files_removed, output.files_unchanged
                ),
                thousands(output.rows),
                bytes(output.bytes),
            ]
        });
        printer.table(
            &[
                "OUTPUT", "LOCATION", "MODE", "COMMIT", "FILES", "ROWS", "BYTES",
            ],
            outputs,
        );
    }
    if document.quarantine.total > 0 {
        printer.data("");
        printer.data(format_args!(
            "{} in quarantine",
            count(document.quarantine.total, "item")
        ));
        let items = document.quarantine.items.iter().map(|item| {
            [
                item.unit.clone().unwrap_or_default(),
                item.class.clone(),
                item.url.clone(),
                item.reason.clone(),
            ]
        });
        printer.table(&["UNIT", "CLASS", "URL", "REASON"], items);
    }
    for warning in &document.warnings {
        printer.data(format_args!("warning: {}", warning.message));
    }
    Ok(())
}
