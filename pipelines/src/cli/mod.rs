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
mod launchpad_standin;
mod logging;
mod plan;
mod report;
mod run;
mod runs;
mod tables;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use connectors::Registry;
use language::search::SearchPath;
use runner::memory::ProcessMemory;
use runner::{Pipeline, Runner, Services};

use self::ceiling::EndOfProcess;
use self::exit::ExitStatus;
use self::logging::LogFormat;
use self::printer::{Output, Printer};
use crate::BUILTIN;
use runner::error::{ErrorKind, RunError, chain};
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

/// What every command takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Global {
    /// Folder to look for definitions in; may be repeated [env: PIPELINES_DEFINITIONS]
    #[arg(long, global = true, value_name = "DIR")]
    definitions: Vec<PathBuf>,
    /// Folder of the run store and of unfinished runs [env: PIPELINES_STATE_DIR] [default: ./.pipelines]
    #[arg(long, global = true, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Form of the data on standard output
    #[arg(long, global = true, value_enum, default_value_t = Output::Text, hide_possible_values = true, value_name = "text|json")]
    output: Output,
    /// Log more: once for what happens, twice for every decision [env: PIPELINES_LOG]
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Form of the log on standard error: human or json [env: PIPELINES_LOG_FORMAT]
    #[arg(long, global = true, value_enum)]
    log_format: Option<LogFormat>,
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
    /// Look at tables and look after them: show, log, files, verify, compact, expire
    Tables(tables::TablesArguments),
    /// Remove what dead runs left behind: staged files of tables, work folders
    Clean(clean::CleanArguments),
    /// Show a cluster's executors and jobs
    Cluster(cluster::ClusterArguments),
    /// Serve a Launchpad look-alike with generated or recorded data
    #[cfg(feature = "sample")]
    LaunchpadStandin(Box<launchpad_standin::StandinArguments>),
    /// Write a completion script for a shell to standard output
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// What every command is given.
#[derive(Debug)]
pub(crate) struct Session {
    registry: Arc<Registry>,
    environment: Environment,
    printer: Printer,
    global: Global,
}

impl Session {
    /// What runs the one pipeline of this command.
    fn runner(&self) -> Runner {
        Runner::new(Services {
            state_dir: self.state_dir(),
            registry: Arc::clone(&self.registry),
            environment: self.environment.clone(),
            memory: ProcessMemory::of_command(EndOfProcess(self.printer)),
        })
    }

    /// Where definitions are looked for.
    fn search_path(&self) -> SearchPath {
        let mut directories = self.definitions();
        directories.push(PathBuf::from("pipelines.d"));
        SearchPath {
            directories,
            builtins: BUILTIN,
            kinds: self.registry.kinds(),
        }
    }

    /// The pipeline of this name, or in this file.
    fn pipeline(&self, name: &str) -> Pipeline {
        Pipeline::Named {
            name: String::from(name),
            search: self.search_path(),
        }
    }

    /// Folders that the person named to look for definitions in.
    fn definitions(&self) -> Vec<PathBuf> {
        if self.global.definitions.is_empty() {
            self.environment.definitions()
        } else {
            self.global.definitions.clone()
        }
    }

    /// Folder of the run store and of unfinished runs.
    fn state_dir(&self) -> PathBuf {
        self.global
            .state_dir
            .clone()
            .or_else(|| self.environment.own("STATE_DIR").map(PathBuf::from))
            .unwrap_or_else(|| PathBuf::from(".pipelines"))
    }
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
    if let Err(problem) = logging::start(&cli.global, &environment) {
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
        Command::Cancel(arguments) => cancel::cancel(&session, &arguments).await,
        Command::Tables(arguments) => tables::tables(&session, &arguments).await,
        Command::Clean(arguments) => clean::clean(&session, &arguments).await,
        Command::Cluster(arguments) => cluster::cluster(&session, &arguments).await,
        #[cfg(feature = "sample")]
        Command::LaunchpadStandin(arguments) => {
            launchpad_standin::serve(&session, &arguments).await
        }
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

/// Says what went wrong and what to do about it.
fn complain(printer: Printer, error: &RunError) {
    match error {
        RunError::Definition(diagnostics) => printer.say(diagnostics),
        RunError::Interrupted { .. } | RunError::Stopped { .. } => {
            printer.warning("stopped; nothing was published")
        }
        other => printer.error(chain(other)),
    }
    if let Some(hint) = error.hint() {
        printer.say("");
        printer.hint(hint);
    }
}
