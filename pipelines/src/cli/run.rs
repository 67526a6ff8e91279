//! `pipelines run`.

use std::sync::Arc;

use super::Session;
use super::exit::ExitStatus;
use super::flags::RunFlags;
use super::printer::Output;
use super::report;
use crate::signals;
use crate::terminal::{ProgressMode, Terminal};
use runner::claim::Resume;
use runner::error::RunError;
use runner::stop::Stop;
use runner::{Request, Selection};

/// Which pipeline, with which values.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SelectionArguments {
    /// A pipeline's name (see `pipelines list`), or the path of its file
    #[arg(value_name = "PIPELINE")]
    pub(super) name: String,
    /// Set a parameter; may be repeated [env: PIPELINES_SET__NAME]
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parameter)]
    pub(super) set: Vec<(String, String)>,
    /// First day of the data; sets data_date_start
    #[arg(long, value_name = "DATE")]
    pub(super) from: Option<String>,
    /// The day after the last one; sets data_date_end
    #[arg(long, value_name = "DATE")]
    pub(super) to: Option<String>,
    #[command(flatten)]
    pub(super) flags: RunFlags,
}

impl SelectionArguments {
    /// # Errors
    /// When a flag has a value that cannot be read.
    pub(super) fn selection(&self, session: &Session) -> Result<Selection, RunError> {
        Ok(Selection {
            pipeline: session.pipeline(&self.name),
            set: self.set.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            overrides: self.flags.overrides()?,
        })
    }
}

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

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((String::from(name.trim()), String::from(value)))
        }
        _ => Err(String::from(
            "write it as name=value, as in member=ada-example",
        )),
    }
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
