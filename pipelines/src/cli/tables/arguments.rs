//! What the commands about tables take.

use std::num::NonZeroU64;

use bytesize::ByteSize;
use chrono::NaiveDate;
use tables::{DateUnit, PartitionFilter, Retention, Table};

use crate::cli::session::Session;
use runner::error::RunError;

/// Which table.
#[derive(Debug, clap::Args)]
pub(super) struct Location {
    /// Where the table is: a path, or a URL
    #[arg(value_name = "URL")]
    pub(super) url: String,
}

impl Location {
    pub(super) fn table(&self, session: &Session) -> Result<Table, RunError> {
        Ok(Table::open(&self.url, &session.environment.storage())?)
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct LogArguments {
    #[command(flatten)]
    pub(super) location: Location,
    /// At most so many commits
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(super) limit: usize,
}

#[derive(Debug, clap::Args)]
pub(super) struct FilesArguments {
    #[command(flatten)]
    pub(super) location: Location,
    /// Only partitions with these values, as in year=2026/month=9; may be repeated
    #[arg(long = "partition", value_name = "COLUMN=VALUE/…")]
    pub(super) partitions: Vec<PartitionFilter>,
}

#[derive(Debug, clap::Args)]
pub(super) struct VerifyArguments {
    #[command(flatten)]
    pub(super) location: Location,
    /// Read every file and compare its SHA-256 too
    #[arg(long)]
    pub(super) digest: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct CompactArguments {
    #[command(flatten)]
    pub(super) location: Location,
    /// About how large files should be; smaller ones than half of it are merged [default: the table's own, 512MiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(super) target_size: Option<NonZeroU64>,
    /// Only partitions with these values, as in year=2026/month=9; may be repeated
    #[arg(long = "partition", value_name = "COLUMN=VALUE/…")]
    pub(super) partitions: Vec<PartitionFilter>,
    /// Small files that a partition must have to be touched
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    pub(super) min_files: u32,
    /// Show what would be merged; writes nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Ceiling on resident memory: `512MiB`, or a share of what the process may use: `50%`
    #[arg(long, value_name = "AMOUNT")]
    pub(super) memory: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct ExpireArguments {
    #[command(flatten)]
    pub(super) location: Location,
    /// How long data is kept: 90d, 12w, 6m (months) or 2y
    #[arg(long, value_name = "AGE")]
    pub(super) keep: Retention,
    /// The partition column that says the date [default: the one that is a date, else year, month, day or year, week]
    #[arg(long, value_name = "NAME")]
    pub(super) column: Option<String>,
    /// How long one value of that column lasts: day, week, month, quarter or year [default: by the column's name]
    #[arg(long, value_name = "UNIT")]
    pub(super) span: Option<DateUnit>,
    /// Count back from this day [default: today in UTC]
    #[arg(long, value_name = "DATE")]
    pub(super) as_of: Option<NaiveDate>,
    /// Drop the partitions even if none remains
    #[arg(long)]
    pub(super) allow_empty: bool,
    /// Show what would be dropped; writes nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

fn size(text: &str) -> Result<NonZeroU64, String> {
    let size = text.parse::<ByteSize>().ok();
    size.and_then(|size| NonZeroU64::new(size.as_u64()))
        .ok_or_else(|| String::from("write a size such as 256MiB"))
}
