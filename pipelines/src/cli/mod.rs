//! The `pipelines` command: its words, and which command does what.
//!
//! Owns parsing and dispatch. Settings are resolved in [`runner::settings`]; the work is done in [`runner`],
//! [`language`] and [`runner::store`]; each command's file holds how its result is shown.

pub mod exit;
pub mod printer;

mod cancel;
mod catalogue;
mod ceiling;
mod clean;
mod cluster;
mod flags;
#[cfg(feature = "sample")]
mod launchpad_fake;
mod logging;
mod plan;
mod quarantine;
mod report;
mod run;
mod runs;
mod selection;
mod session;
mod tables;

use std::sync::Arc;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use connectors::Registry;

use self::exit::ExitStatus;
use self::printer::Printer;
use self::session::{Global, Session, complain};
use runner::error::ErrorKind;
use runner::settings::Environment;

/// SQL pipelines that run on a laptop and overflow onto a cluster
#[derive(Debug, Parser)]
#[command(
    name = "pipelines",
    version,
    arg_required_else_help = true,
    max_term_width = 110
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a pipeline, or go on with one that was stopped
    Run(run::RunArguments),
    /// Show what a run would read, do, write and replace; never writes
    Plan(plan::PlanArguments),
    /// List the pipelines that can be run
    List,
    /// Show a pipeline: parameters, sources, steps with their schemas, outputs
    Show(catalogue::ShowArguments),
    /// Check definitions without running them or touching the network
    Validate(catalogue::ValidateArguments),
    /// Stop a run, wherever its process is
    Cancel(cancel::CancelArguments),
    /// List runs, or show one
    Runs(runs::RunsArguments),
    /// List what a run put aside, or show one such item
    Quarantine {
        #[command(subcommand)]
        command: quarantine::QuarantineCommand,
    },
    /// Look at tables and look after them: show, log, files, verify, compact, expire
    Tables(tables::TablesArguments),
    /// Remove what dead runs left behind: staged files of tables, work folders
    Clean(clean::CleanArguments),
    /// Show a cluster's executors and jobs
    Cluster(cluster::ClusterArguments),
    /// Serve a Launchpad look-alike with generated or recorded data
    #[cfg(feature = "sample")]
    LaunchpadStandin(Box<launchpad_fake::FakeArguments>),
    /// Write a completion script for a shell to standard output
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// Parses the command line, does what it asks for, and tells the exit status.
pub async fn main() -> ExitStatus {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not errors; the rest is clap's own usage message.
            let status = if error.use_stderr() {
                ExitStatus::Usage
            } else {
                ExitStatus::Success
            };
            drop(error.print());
            return status;
        }
    };
    let environment = Environment::from_iter(std::env::vars_os());
    let printer = Printer::new(&environment);
    if let Err(error) = environment.check() {
        printer.error(&error);
        return ExitStatus::Error(ErrorKind::Definition);
    }
    if let Err(problem) = logging::start(cli.global.verbose, cli.global.log_format, &environment) {
        printer.error(problem);
        return ExitStatus::Usage;
    }
    if let Err(error) = engine::raise_open_files() {
        printer.error(error);
        return ExitStatus::Error(ErrorKind::Failed);
    }
    let session = Session {
        registry: Arc::new(Registry::builtin()),
        environment,
        printer,
        global: cli.global,
    };
    let outcome = match cli.command {
        Command::Run(arguments) => run::run(&session, &arguments).await,
        Command::Plan(arguments) => plan::plan(&session, &arguments).await,
        Command::List => catalogue::list(&session),
        Command::Show(arguments) => catalogue::show(&session, &arguments).await,
        Command::Validate(arguments) => catalogue::validate(&session, &arguments).await,
        Command::Runs(arguments) => runs::runs(&session, &arguments).await,
        Command::Quarantine { command } => quarantine::quarantine(&session, &command).await,
        Command::Cancel(arguments) => cancel::cancel(&session, &arguments).await,
        Command::Tables(arguments) => tables::tables(&session, &arguments).await,
        Command::Clean(arguments) => clean::clean(&session, &arguments).await,
        Command::Cluster(arguments) => cluster::cluster(&session, &arguments).await,
        #[cfg(feature = "sample")]
        Command::LaunchpadStandin(arguments) => launchpad_fake::serve(&session, &arguments).await,
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Cli::command(),
                "pipelines",
                &mut std::io::stdout(),
            );
            Ok(ExitStatus::Success)
        }
    };
    outcome.unwrap_or_else(|error| {
        complain(printer, &error);
        error.kind().into()
    })
}
