//! Merging few changed keys into a large table: the cost follows the partitions that are touched, not the table.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use bytesize::ByteSize;
use serde_json::Value;

use crate::{measure, table};

/// How large, how many partitions, how much of it changes.
#[derive(Debug, clap::Args)]
pub(crate) struct MergeArguments {
    /// Rows of the table
    #[arg(long, default_value_t = 10_000_000)]
    rows: u64,
    /// Partitions of the table
    #[arg(long, default_value_t = 365)]
    partitions: u64,
    /// One key in so many changes
    #[arg(long, default_value_t = 100)]
    one_in: u64,
    /// `--memory` of every run
    #[arg(long, default_value_t = ByteSize::gib(1))]
    memory: ByteSize,
}

impl MergeArguments {
    /// A pipeline over the keys that `keys` gives, as a number `n`, with `amount` in every row.
    fn definition(&self, count: u64, key: &str, amount: i64, publish: &str) -> String {
        let (rows, partitions) = (self.rows, self.partitions);
        format!(
            "CREATE VIEW rows AS
SELECT id, id * {partitions} / {rows} AS part, CAST({amount} AS BIGINT) AS amount, 'text of row ' || id AS note
FROM (SELECT {key} AS id FROM (SELECT value AS n FROM generate_series(0, {count} - 1)) AS series);
COPY rows TO 'out' STORED AS PARQUET PARTITIONED BY (part) OPTIONS (publish '{publish}', key 'id', sort 'id', compression 'snappy');
"
        )
    }
}

/// Fills the table, then changes it in three ways, and prints the table.
pub(crate) fn measure(binary: &Path, arguments: &MergeArguments) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (rows, changed) = (arguments.rows, arguments.rows / arguments.one_in);
    ensure!(changed > 0, "nothing would change");
    let spread = format!("n * {}", arguments.one_in);
    let runs = [
        (
            "the first load",
            arguments.definition(rows, "n", 0, "merge"),
            rows,
        ),
        (
            "merge, keys side by side",
            arguments.definition(changed, "n", 1, "merge"),
            rows,
        ),
        (
            "merge, keys in every partition",
            arguments.definition(changed, &spread, 2, "merge"),
            rows,
        ),
        (
            "full rewrite",
            arguments.definition(rows, "n", 3, "replace"),
            rows,
        ),
    ];
    table::say(&format!(
        "{rows} rows in {} partitions, of which {changed} keys change; --memory {}.\n",
        arguments.partitions,
        arguments.memory.display().iec()
    ));
    let memory = arguments.memory.as_u64().to_string();
    let mut lines = Vec::new();
    for (name, definition, expected) in runs {
        fs::write(folder.path().join("rows.sql"), definition)?;
        let command = ["run", "rows.sql", "--progress", "none", "--memory", &memory];
        let run = measure::run(binary, &command, folder.path(), &[])?
            .succeeded()
            .context(name)?;
        let commit = newest_commit(binary, folder.path())?;
        let number = |pointer: &str| commit.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        ensure!(
            number("/totals/rows") == expected,
            "{name}: the table has {} rows, not {expected}",
            number("/totals/rows")
        );
        lines.push(vec![
            name.to_owned(),
            number("/added/partitions").to_string(),
            number("/added/rows").to_string(),
            format!("{:.2} s", run.wall.as_secs_f64()),
            format!("{:.2} s", run.cpu.as_secs_f64()),
            table::mib(run.peak),
        ]);
    }
    table::print(
        &[
            "run",
            "partitions",
            "rows written",
            "wall",
            "processor",
            "peak RSS",
        ],
        &lines,
    );
    Ok(())
}

/// The newest commit as `tables log` tells it.
fn newest_commit(binary: &Path, folder: &Path) -> anyhow::Result<Value> {
    let command = ["tables", "log", "out", "--limit", "1", "--output", "json"];
    let log = measure::run(binary, &command, folder, &[])?.succeeded()?;
    let commits: Value = serde_json::from_str(&log.stdout)?;
    commits.get(0).cloned().context("the table has no commit")
}
