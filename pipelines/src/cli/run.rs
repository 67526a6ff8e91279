//! `pipelines run`.

use std::sync::Arc;

use super::exit::ExitStatus;
use super::printer::Output;
use super::report;
use super::selection::SelectionArguments;
use super::session::Session;
use crate::signals;
use crate::terminal::{ProgressMode, Terminal};
use runner::Request;
use runner::claim::Resume;
use runner::error::RunError;
use runner::stop::Stop;

/// What to run and how.
#[derive(Debug, clap::Args)]
pub(super) struct RunArguments {
    #[command(flatten)]
    selection: SelectionArguments,
    /// Go on with this unfinished run (its id or the beginning of it) instead of looking for one
    #[arg(long, value_name = "RUN", conflicts_with = "restart", num_args = 0..=1, default_missing_value = "")]
    resume: Option<String>,
    /// Begin anew even where an unfinished run of the same request could go on
    #[arg(long)]
    restart: bool,
    /// Keep the landed records after the run has published
    #[arg(long)]
    keep_landing: bool,
    /// Show what would be done and stop: the same as `pipelines plan`
    #[arg(long, conflicts_with_all = ["resume", "restart", "keep_landing"])]
    dry_run: bool,
    /// How progress is shown on standard error
    #[arg(long, value_enum, default_value_t = ProgressMode::Auto, value_name = "auto|bar|plain|none", hide_possible_values = true)]
    progress: ProgressMode,
}

pub(super) async fn run(
    session: &Session,
    arguments: &RunArguments,
) -> Result<ExitStatus, RunError> {
    if arguments.dry_run {
        return super::plan::show(session, &arguments.selection).await;
    }
    let resume = match &arguments.resume {
        _ if arguments.restart => Resume::Restart,
        Some(run) if !run.is_empty() => Resume::Run(run.clone()),
        _ => Resume::Auto,
    };
    let request = Request {
        selection: arguments.selection.selection(session)?,
        resume,
        keep_landing: arguments.keep_landing,
    };
    let stop = Stop::default();
    signals::listen(&stop, session.printer)?;
    let terminal = Terminal::new(arguments.progress, session.printer, &session.environment);
    let runner = session.runner();
    let report = runner.run(&request, Arc::new(terminal), &stop).await?;
    match session.global.output {
        Output::Json => report::json(session.printer, &report.document)
            .map_err(|error| error.after(&report.commits()))?,
        Output::Text => report::summary(session.printer, &report),
    }
    Ok(match report.is_partial() {
        true => ExitStatus::Partial,
        false => ExitStatus::Success,
    })
}
