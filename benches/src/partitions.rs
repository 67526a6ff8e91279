//! Very many small partitions in random order: they must fit the ceiling on memory, and each must be written once.

use std::path::Path;

use anyhow::ensure;
use bytesize::ByteSize;

use crate::{measure, table};

/// How many, how small, in how much memory.
#[derive(Debug, clap::Args)]
pub(crate) struct PartitionsArguments {
    /// Partitions
    #[arg(long, default_value_t = 50_000)]
    partitions: u32,
    /// Rows of each
    #[arg(long, default_value_t = 20)]
    rows: u32,
    /// `--memory` of the run
    #[arg(long, default_value_t = ByteSize::mib(256))]
    memory: ByteSize,
}

/// Runs once and prints the table.
pub(crate) fn measure(binary: &Path, arguments: &PartitionsArguments) -> anyhow::Result<()> {
    let (partitions, rows) = (arguments.partitions, arguments.rows);
    let folder = tempfile::tempdir()?;
    // A step that has no divisor in common with the number of rows visits every row once, in no apparent order.
    let definition = format!(
        "CREATE VIEW scattered AS
SELECT id, id % {partitions} AS part, 'text of row ' || id AS text
FROM (SELECT n * 7919 % ({partitions} * {rows}) AS id FROM (SELECT value AS n FROM generate_series(0, {partitions} * {rows} - 1)) AS series);
COPY scattered TO 'out' STORED AS PARQUET PARTITIONED BY (part);
"
    );
    ensure!(
        partitions % 7919 != 0 && rows % 7919 != 0,
        "neither number may be a multiple of 7919"
    );
    std::fs::write(folder.path().join("scattered.sql"), definition)?;
    let memory = arguments.memory.as_u64().to_string();
    let command = [
        "run",
        "scattered.sql",
        "--progress",
        "none",
        "--memory",
        &memory,
    ];
    let run = measure::run(binary, &command, folder.path(), &[])?.succeeded()?;
    let (mut folders, mut files) = (0_u32, 0_u32);
    for partition in std::fs::read_dir(folder.path().join("out"))? {
        folders += 1;
        files += u32::try_from(std::fs::read_dir(partition?.path())?.count())?;
    }
    ensure!(
        folders == partitions,
        "{folders} partitions were written, not {partitions}"
    );
    table::say(&format!(
        "{partitions} partitions of {rows} rows in random order; --memory {}.\n",
        arguments.memory.display().iec()
    ));
    table::print(
        &[
            "wall",
            "processor",
            "peak RSS",
            "under the ceiling",
            "files",
        ],
        &[vec![
            format!("{:.1} s", run.wall.as_secs_f64()),
            format!("{:.1} s", run.cpu.as_secs_f64()),
            table::mib(run.peak),
            table::goal(run.peak <= arguments.memory.as_u64()),
            files.to_string(),
        ]],
    );
    Ok(())
}
