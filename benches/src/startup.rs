//! A pipeline over ten rows of CSV: what every run pays, however little it does.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use crate::{measure, table};

/// The whole process may take this long.
const GOAL: Duration = Duration::from_millis(300);

const ROWS: &str = "id,name,amount\n1,a,0.5\n2,b,1.5\n3,c,2.5\n4,d,3.5\n5,e,4.5\n6,f,5.5\n7,g,6.5\n8,h,7.5\n9,i,8.5\n10,j,9.5\n";
const DEFINITION: &str = "CREATE EXTERNAL TABLE ten (id BIGINT NOT NULL, name TEXT, amount DOUBLE)
STORED AS CSV LOCATION 'ten.csv' OPTIONS ('format.has_header' true);
CREATE VIEW doubled AS SELECT id, name, amount * 2 AS amount FROM ten;
COPY doubled TO 'doubled/' STORED AS PARQUET;
";

/// How often.
#[derive(Debug, clap::Args)]
pub(crate) struct StartupArguments {
    /// Runs that are measured, after one that is not
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
}

/// Runs it and prints the table. Each run has a folder of its own: it makes its run store and its table.
pub(crate) fn measure(binary: &Path, arguments: &StartupArguments) -> anyhow::Result<()> {
    one(binary)?;
    let mut times = (0..arguments.runs)
        .map(|_| one(binary))
        .collect::<anyhow::Result<Vec<_>>>()?;
    times.sort_unstable();
    let middle = times.len() / 2;
    let median = if times.len() % 2 == 1 {
        times[middle]
    } else {
        (times[middle - 1] + times[middle]) / 2
    };
    let ms = |time: Duration| format!("{:.0} ms", time.as_secs_f64() * 1000.0);
    let least = times.first().copied().context("no run was measured")?;
    let most = times.last().copied().context("no run was measured")?;
    table::say(&format!(
        "Start-up: a pipeline over ten rows of CSV, whole process, {} runs.\n",
        times.len()
    ));
    table::print(
        &["median", "least", "most", "goal", "reached"],
        &[vec![
            ms(median),
            ms(least),
            ms(most),
            format!("≤ {}", ms(GOAL)),
            table::goal(median <= GOAL),
        ]],
    );
    Ok(())
}

fn one(binary: &Path) -> anyhow::Result<Duration> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("ten.csv"), ROWS)?;
    std::fs::write(folder.path().join("ten_rows.sql"), DEFINITION)?;
    let run = measure::run(
        binary,
        &["run", "ten_rows.sql", "--progress", "none"],
        folder.path(),
        &[],
    )?;
    Ok(run.succeeded()?.wall)
}
