//! `pipelines tables`: looking at tables and looking after them, by their location alone.
//!
//! Owns the words of the command. What is read and done is the `tables` crate's; [`inspect`] and [`change`] hold how it is
//! told.

mod arguments;
mod change;
mod inspect;

use clap::Subcommand;

use self::arguments::{
    CompactArguments, ExpireArguments, FilesArguments, Location, LogArguments, VerifyArguments,
};
use super::exit::ExitStatus;
use super::session::Session;
use runner::error::RunError;

/// What to do with which table.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(super) struct TablesArguments {
    #[command(subcommand)]
    command: TablesCommand,
}

#[derive(Debug, Subcommand)]
enum TablesCommand {
    /// Show a table: schema, partitions, sizes, options, newest commit
    Show(Location),
    /// List the commits of a table, newest first
    Log(LogArguments),
    /// List the files of a table
    Files(FilesArguments),
    /// Compare the files that are there with the commit log; changes nothing
    Verify(VerifyArguments),
    /// Merge small files of each partition into larger ones; the rows stay the same
    Compact(CompactArguments),
    /// Drop whole partitions that are older than a limit
    Expire(ExpireArguments),
}

pub(super) async fn tables(
    session: &Session,
    arguments: &TablesArguments,
) -> Result<ExitStatus, RunError> {
    match &arguments.command {
        TablesCommand::Show(location) => inspect::show(session, location).await,
        TablesCommand::Log(arguments) => inspect::log(session, arguments).await,
        TablesCommand::Files(arguments) => inspect::files(session, arguments).await,
        TablesCommand::Verify(arguments) => inspect::verify(session, arguments).await,
        TablesCommand::Compact(arguments) => change::compact(session, arguments).await,
        TablesCommand::Expire(arguments) => change::expire(session, arguments).await,
    }
}
