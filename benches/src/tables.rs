//! TPC-H lineitem joined with orders, written as a table of year and month: the release binary beside DuckDB and Polars,
//! each in a process of its own, in turn. The command fails unless all wrote the same rows.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use bytesize::ByteSize;

use crate::peers::{Peers, Run};
use crate::{measure, peers, table};

const PEER: &str = include_str!("tables/peer.py");
const DIGEST: &str = include_str!("tables/digest.py");
/// Peak memory may be this share of the faster peer's.
const MEMORY_SHARE: f64 = 0.25;

/// How much, how often, against whom.
#[derive(Debug, clap::Args)]
pub(crate) struct TablesArguments {
    /// TPC-H scale factor
    #[arg(long, default_value_t = 1)]
    scale: u32,
    /// `--memory` of the run
    #[arg(long, default_value_t = ByteSize::mib(512))]
    memory: ByteSize,
    /// Runs of each, in turn; the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Which columns: those of lineitem and the date, or all of both tables
    #[arg(long, default_value = "lineitem", value_parser = ["lineitem", "all"])]
    columns: String,
    /// Compression of the files that this product writes; the peers write snappy
    #[arg(long, default_value = "snappy")]
    compression: String,
    /// Only this product, without a comparison of rows
    #[arg(long)]
    alone: bool,
    /// Where generated data is kept
    #[arg(long, default_value = "/tmp/tpch", value_name = "FOLDER")]
    data: PathBuf,
    /// Further arguments of `pipelines run`, such as --argument=--transform-batch-size=8192
    #[arg(long = "argument", value_name = "ARGUMENT", allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Runs all in turn and prints one table.
pub(crate) fn measure(binary: &Path, arguments: &TablesArguments) -> anyhow::Result<()> {
    let peers = Peers::new()?;
    let data = peers.tpch(&arguments.data, arguments.scale)?;
    let engines: &[&str] = if arguments.alone {
        &["pipelines"]
    } else {
        &["pipelines", "duckdb", "polars"]
    };
    let mut runs: Vec<Vec<Run>> = engines.iter().map(|_| Vec::new()).collect();
    let mut expected: Option<String> = None;
    for turn in 0..arguments.runs {
        for (engine, runs) in engines.iter().zip(&mut runs) {
            let folder = tempfile::tempdir_in(&arguments.data)?;
            let run = match *engine {
                "pipelines" => ours(binary, arguments, &data, folder.path())?,
                peer => {
                    let out = folder.path().join("out");
                    let [data, out] = [&data, &out].map(|path| path.display().to_string());
                    let all = [peer, &data, &out, &arguments.columns];
                    peers.time(PEER, &all, folder.path())?
                }
            };
            runs.push(run);
            if turn == 0 && !arguments.alone {
                let out = folder.path().join("out").display().to_string();
                let digest = peers.run(DIGEST, &[&out], folder.path())?.stdout;
                let expected = expected.get_or_insert_with(|| digest.clone());
                let mut lines = expected.lines().zip(digest.lines());
                ensure!(
                    *expected == digest,
                    "{engine} wrote other rows: {:?}",
                    lines.find(|(first, this)| first != this)
                );
            }
        }
    }
    table::say(&format!(
        "TPC-H SF{}, lineitem ⋈ orders by year and month, columns: {}; --memory {}; median of {}; {} partitions, rows {}.\n",
        arguments.scale,
        arguments.columns,
        arguments.memory.display().iec(),
        arguments.runs,
        expected.as_deref().unwrap_or_default().lines().count(),
        if arguments.alone {
            "not compared"
        } else {
            "equal"
        },
    ));
    let medians: Vec<Run> = runs
        .iter_mut()
        .map(peers::median)
        .collect::<anyhow::Result<_>>()?;
    let ours = medians.first().context("nothing was measured")?;
    let rows: Vec<Vec<String>> = engines
        .iter()
        .zip(&medians)
        .map(|(engine, run)| {
            vec![
                String::from(*engine),
                format!("{:.2} s", run.wall.as_secs_f64()),
                format!("{:.2} s", run.cpu.as_secs_f64()),
                table::mib(run.peak),
                format!("{:.2}", run.wall.as_secs_f64() / ours.wall.as_secs_f64()),
                format!("{:.2}", run.peak as f64 / ours.peak as f64),
            ]
        })
        .collect();
    table::print(
        &[
            "writer",
            "wall",
            "processor",
            "peak RSS",
            "wall ÷ ours",
            "RSS ÷ ours",
        ],
        &rows,
    );
    if let Some(best) = medians.iter().skip(1).min_by_key(|run| run.wall) {
        let share = ours.peak as f64 / best.peak as f64;
        table::say(&format!(
            "Goal, at or under the faster peer: {}. Goal, at most {MEMORY_SHARE} of its memory: {} ({share:.2}).\n",
            table::goal(ours.wall <= best.wall),
            table::goal(share <= MEMORY_SHARE),
        ));
    }
    Ok(())
}

fn ours(
    binary: &Path,
    arguments: &TablesArguments,
    data: &Path,
    folder: &Path,
) -> anyhow::Result<Run> {
    let columns = if arguments.columns == "all" {
        "l.*, o_custkey, o_orderstatus, o_totalprice, o_orderdate, o_orderpriority, o_clerk, o_shippriority, o_comment"
    } else {
        "l.*, o_orderdate"
    };
    let (data, compression) = (data.display(), &arguments.compression);
    let definition = format!(
        "CREATE EXTERNAL TABLE lineitem STORED AS PARQUET LOCATION '{data}/lineitem.parquet';
CREATE EXTERNAL TABLE orders STORED AS PARQUET LOCATION '{data}/orders.parquet';
CREATE VIEW joined AS
SELECT {columns}, date_part('year', o_orderdate) AS year, date_part('month', o_orderdate) AS month
FROM lineitem l JOIN orders o ON l_orderkey = o_orderkey;
COPY joined TO 'out' STORED AS PARQUET PARTITIONED BY (year, month) OPTIONS (compression '{compression}');
"
    );
    std::fs::write(folder.join("joined.sql"), definition)?;
    let memory = arguments.memory.as_u64().to_string();
    let mut all = vec![
        "run",
        "joined.sql",
        "--progress",
        "none",
        "--memory",
        &memory,
    ];
    all.extend(arguments.arguments.iter().map(String::as_str));
    Ok(Run::whole(
        &measure::run(binary, &all, folder, &[])?.succeeded()?,
    ))
}
