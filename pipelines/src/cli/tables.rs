//! `pipelines tables`: looking at tables and looking after them, by their location alone.
//!
//! Owns the words of the command. What is read and done is the `tables` crate's; [`look`] and [`change`] hold how it is
//! told.

mod change;
mod look;

use std::num::NonZeroU64;

use bytesize::ByteSize;
use chrono::NaiveDate;
use clap::Subcommand;
use tables::{DateUnit, PartitionFilter, Retention, Table};

use super::Session;
use super::exit::ExitStatus;
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

/// Which table.
#[derive(Debug, clap::Args)]
struct Location {
    /// Where the table is: a path, or a URL
    #[arg(value_name = "URL")]
    url: String,
}

impl Location {
    fn table(&self, session: &Session) -> Result<Table, RunError> {
        Ok(Table::open(&self.url, &session.environment.storage())?)
    }
}

#[derive(Debug, clap::Args)]
struct LogArguments {
    #[command(flatten)]
    location: Location,
    /// At most so many commits
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
}

#[derive(Debug, clap::Args)]
struct FilesArguments {
    #[command(flatten)]
    location: Location,
    /// Only partitions with these values, as in year=2026/month=9; may be repeated
    #[arg(long = "partition", value_name = "COLUMN=VALUE/…")]
    partitions: Vec<PartitionFilter>,
}

#[derive(Debug, clap::Args)]
struct VerifyArguments {
    #[command(flatten)]
    location: Location,
    /// Read every file and compare its SHA-256 too
    #[arg(long)]
    digest: bool,
}

#[derive(Debug, clap::Args)]
struct CompactArguments {
    #[command(flatten)]
    location: Location,
    /// About how large files should be; smaller ones than half of it are merged [default: the table's own, 512MiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    target_size: Option<NonZeroU64>,
    /// Only partitions with these values, as in year=2026/month=9; may be repeated
    #[arg(long = "partition", value_name = "COLUMN=VALUE/…")]
    partitions: Vec<PartitionFilter>,
    /// Small files that a partition must have to be touched
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    min_files: u32,
    /// Show what would be merged; writes nothing
    #[arg(long)]
    dry_run: bool,
    /// Ceiling on resident memory: `512MiB`, or a share of what the process may use: `50%`
    #[arg(long, value_name = "AMOUNT")]
    memory: Option<String>,
}

#[derive(Debug, clap::Args)]
struct ExpireArguments {
    #[command(flatten)]
    location: Location,
    /// How long data is kept: 90d, 12w, 6m (months) or 2y
    #[arg(long, value_name = "AGE")]
    keep: Retention,
    /// The partition column that says the date [default: the one that is a date, else year, month, day or year, week]
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// How long one value of that column lasts: day, week, month, quarter or year [default: by the column's name]
    #[arg(long, value_name = "UNIT")]
    span: Option<DateUnit>,
    /// Count back from this day [default: today in UTC]
    #[arg(long, value_name = "DATE")]
    as_of: Option<NaiveDate>,
    /// Drop the partitions even if none remains
    #[arg(long)]
    allow_empty: bool,
    /// Show what would be dropped; writes nothing
    #[arg(long)]
    dry_run: bool,
}

fn size(text: &str) -> Result<NonZeroU64, String> {
    let size = text.parse::<ByteSize>().ok();
    size.and_then(|size| NonZeroU64::new(size.as_u64()))
        .ok_or_else(|| String::from("write a size such as 256MiB"))
}

pub(super) async fn tables(
    session: &Session,
    arguments: &TablesArguments,
) -> Result<ExitStatus, RunError> {
    match &arguments.command {
        TablesCommand::Show(location) => look::show(session, location).await,
        TablesCommand::Log(arguments) => look::log(session, arguments).await,
        TablesCommand::Files(arguments) => look::files(session, arguments).await,
        TablesCommand::Verify(arguments) => look::verify(session, arguments).await,
        TablesCommand::Compact(arguments) => change::compact(session, arguments).await,
        TablesCommand::Expire(arguments) => change::expire(session, arguments).await,
    }
}
