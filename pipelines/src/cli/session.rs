//! What every command is given: the flags that all of them take, the environment, and where things are.

use std::path::PathBuf;
use std::sync::Arc;

use connectors::Registry;
use language::search::SearchPath;
use runner::memory::ProcessMemory;
use runner::{Pipeline, Runner, Services};

use super::ceiling::EndOfProcess;
use super::logging::LogFormat;
use super::printer::{Output, Printer};
use crate::BUILTIN;
use runner::error::{RunError, chain};
use runner::settings::Environment;

/// What every command takes.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Global {
    /// Folder to look for definitions in; may be repeated [env: PIPELINES_DEFINITIONS]
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) definitions: Vec<PathBuf>,
    /// Folder of the run store and of unfinished runs [env: PIPELINES_STATE_DIR] [default: ./.pipelines]
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) state_dir: Option<PathBuf>,
    /// Form of the data on standard output
    #[arg(long, global = true, value_enum, default_value_t = Output::Text, hide_possible_values = true, value_name = "text|json")]
    pub(super) output: Output,
    /// Log more: once for what happens, twice for every decision [env: PIPELINES_LOG]
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
    /// Form of the log on standard error: human or json [env: PIPELINES_LOG_FORMAT]
    #[arg(long, global = true, value_enum)]
    pub(super) log_format: Option<LogFormat>,
}

/// What every command is given.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) registry: Arc<Registry>,
    pub(super) environment: Environment,
    pub(super) printer: Printer,
    pub(super) global: Global,
}

impl Session {
    /// What runs the one pipeline of this command.
    pub(super) fn runner(&self) -> Runner {
        Runner::new(Services {
            state_dir: self.state_dir(),
            registry: Arc::clone(&self.registry),
            environment: self.environment.clone(),
            memory: ProcessMemory::of_command(EndOfProcess(self.printer)),
        })
    }

    /// Where definitions are looked for.
    pub(super) fn search_path(&self) -> SearchPath {
        let mut directories = self.definitions();
        directories.push(PathBuf::from("pipelines.d"));
        SearchPath {
            directories,
            builtins: BUILTIN,
            kinds: self.registry.kinds(),
        }
    }

    /// The pipeline of this name, or in this file.
    pub(super) fn pipeline(&self, name: &str) -> Pipeline {
        Pipeline::Named {
            name: String::from(name),
            search: self.search_path(),
        }
    }

    /// Folders that the person named to look for definitions in.
    pub(super) fn definitions(&self) -> Vec<PathBuf> {
        if self.global.definitions.is_empty() {
            self.environment.definitions()
        } else {
            self.global.definitions.clone()
        }
    }

    /// Folder of the run store and of unfinished runs.
    pub(super) fn state_dir(&self) -> PathBuf {
        self.global
            .state_dir
            .clone()
            .or_else(|| self.environment.own("STATE_DIR").map(PathBuf::from))
            .unwrap_or_else(|| PathBuf::from(".pipelines"))
    }
}

/// Says what went wrong and what to do about it.
pub(super) fn complain(printer: Printer, error: &RunError) {
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
