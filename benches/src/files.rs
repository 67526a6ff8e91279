//! Reading text of several kinds into tables: the release binary beside DuckDB and Polars, each in a process of its own, in
//! turn. The command fails unless all wrote the same rows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use bytesize::ByteSize;

use crate::peers::{Peers, Run};
use crate::{measure, peers, table};

const DATA: &str = include_str!("files/data.py");
const PEER: &str = include_str!("files/peer.py");
const DIGEST: &str = include_str!("files/digest.py");

/// How often, of what.
#[derive(Debug, clap::Args)]
pub(crate) struct FilesArguments {
    /// TPC-H scale factor of what the files are made of
    #[arg(long, default_value_t = 1)]
    scale: u32,
    /// `--memory` of the run
    #[arg(long, default_value_t = ByteSize::mib(256))]
    memory: ByteSize,
    /// Runs of each, in turn; the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Only these works
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Where generated data is kept
    #[arg(long, default_value = "/tmp/tpch", value_name = "FOLDER")]
    data: PathBuf,
    /// Only this product, without a comparison of rows
    #[arg(long)]
    alone: bool,
}

/// One thing to do.
struct Work {
    name: &'static str,
    /// What is read; `{data}` is its folder.
    source: &'static str,
    /// What is written.
    output: &'static str,
}

const LINEITEM: &str = "CREATE EXTERNAL TABLE t (l_orderkey BIGINT, l_partkey BIGINT, l_suppkey BIGINT, l_linenumber INT,
 l_quantity DECIMAL(15,2), l_extendedprice DECIMAL(15,2), l_discount DECIMAL(15,2), l_tax DECIMAL(15,2), l_returnflag TEXT,
 l_linestatus TEXT, l_shipdate DATE, l_commitdate DATE, l_receiptdate DATE, l_shipinstruct TEXT, l_shipmode TEXT, l_comment TEXT)
 STORED AS CSV LOCATION '{data}/lineitem.csv';";
const EVENTS: &str =
    "CREATE EXTERNAL TABLE t (id BIGINT, kind TEXT, at TEXT, actor TEXT, payload TEXT)
 STORED AS JSON LOCATION '{data}/events.jsonl';";
const EVENTS_GZIP: &str =
    "CREATE EXTERNAL TABLE t (id BIGINT, kind TEXT, at TEXT, actor TEXT, payload TEXT)
 STORED AS JSON LOCATION '{data}/events.jsonl.gz';";
const BY_YEAR: &str =
    "COPY (SELECT *, date_part('year', l_shipdate) AS year FROM t) TO 'out' STORED AS PARQUET
 PARTITIONED BY (year) OPTIONS (compression 'snappy');";
const BY_KIND: &str = "COPY (SELECT * FROM t) TO 'out' STORED AS PARQUET PARTITIONED BY (kind) OPTIONS (compression 'snappy');";

const WORKS: [Work; 8] = [
    Work {
        name: "csv_inferred",
        source: "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{data}/lineitem.csv';",
        output: BY_YEAR,
    },
    Work {
        name: "csv_declared",
        source: LINEITEM,
        output: BY_YEAR,
    },
    Work {
        name: "json",
        source: "CREATE EXTERNAL TABLE t STORED AS JSON LOCATION '{data}/lines.jsonl';",
        output: "COPY (SELECT *, CAST(substr(l_shipdate, 1, 4) AS INT) AS year FROM t) TO 'out' STORED AS PARQUET
 PARTITIONED BY (year) OPTIONS (compression 'snappy');",
    },
    Work {
        name: "quoted",
        source: "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{data}/quoted.csv';",
        output: BY_YEAR,
    },
    Work {
        name: "events",
        source: EVENTS,
        output: BY_KIND,
    },
    Work {
        name: "events_gzip",
        source: EVENTS_GZIP,
        output: BY_KIND,
    },
    Work {
        name: "json_json",
        source: "CREATE EXTERNAL TABLE t STORED AS JSON LOCATION '{data}/lines.jsonl';",
        output: "COPY (SELECT * FROM t) TO 'out' STORED AS JSON;",
    },
    Work {
        name: "small",
        source: "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{data}/small/';",
        output: "COPY (SELECT * FROM t) TO 'out' STORED AS PARQUET OPTIONS (compression 'snappy');",
    },
];

/// Does all works with all engines in turn and prints one table.
pub(crate) fn measure(binary: &Path, arguments: &FilesArguments) -> anyhow::Result<()> {
    let peers = Peers::new()?;
    let data = files(&peers, &arguments.data, arguments.scale)?;
    let engines: &[&str] = match arguments.alone {
        true => &["pipelines"],
        false => &["pipelines", "duckdb", "polars"],
    };
    table::say(&format!(
        "TPC-H SF{} as text; --memory {}; median of {}; rows {}.\n",
        arguments.scale,
        arguments.memory.display().iec(),
        arguments.runs,
        match arguments.alone {
            true => "not compared",
            false => "equal",
        },
    ));
    let mut rows = Vec::new();
    let wanted = WORKS.iter().filter(|work| {
        arguments.only.is_empty() || arguments.only.iter().any(|only| only == work.name)
    });
    for work in wanted {
        rows.extend(compare(binary, arguments, &peers, &data, engines, work)?);
    }
    table::print(
        &[
            "work",
            "engine",
            "wall",
            "processor",
            "peak RSS",
            "ours ÷ faster peer",
        ],
        &rows,
    );
    Ok(())
}

/// One work, a line for each engine.
fn compare(
    binary: &Path,
    arguments: &FilesArguments,
    peers: &Peers,
    data: &Path,
    engines: &[&str],
    work: &Work,
) -> anyhow::Result<Vec<Vec<String>>> {
    let mut runs: Vec<Vec<Run>> = engines.iter().map(|_| Vec::new()).collect();
    let mut expected: Option<String> = None;
    for turn in 0..arguments.runs {
        for (engine, runs) in engines.iter().zip(&mut runs) {
            let folder = tempfile::tempdir_in(&arguments.data)?;
            let out = folder.path().join("out").display().to_string();
            let run = match *engine {
                "pipelines" => ours(binary, arguments, work, data, folder.path()),
                peer => {
                    let data = data.display().to_string();
                    peers.time(PEER, &[peer, work.name, &data, &out], folder.path())
                }
            };
            runs.push(run.with_context(|| format!("{}, {engine}", work.name))?);
            if turn == 0 && !arguments.alone {
                let digest = peers.run(DIGEST, &[work.name, &out], folder.path())?.stdout;
                let expected = expected.get_or_insert_with(|| digest.clone());
                ensure!(
                    *expected == digest,
                    "{}: {engine} wrote other rows: {expected:?}, {digest:?}",
                    work.name
                );
            }
        }
    }
    let medians: Vec<Run> = runs
        .iter_mut()
        .map(peers::median)
        .collect::<anyhow::Result<_>>()?;
    let faster = medians.iter().skip(1).map(|run| run.wall).min();
    let lines = engines.iter().zip(&medians).enumerate();
    Ok(lines
        .map(|(index, (engine, run))| {
            let ratio =
                |faster: Duration| format!("{:.2}", run.wall.as_secs_f64() / faster.as_secs_f64());
            vec![
                String::from(work.name),
                String::from(*engine),
                format!("{:.2} s", run.wall.as_secs_f64()),
                format!("{:.2} s", run.cpu.as_secs_f64()),
                table::mib(run.peak),
                faster.filter(|_| index == 0).map(ratio).unwrap_or_default(),
            ]
        })
        .collect())
}

fn ours(
    binary: &Path,
    arguments: &FilesArguments,
    work: &Work,
    data: &Path,
    folder: &Path,
) -> anyhow::Result<Run> {
    let source = work.source.replace("{data}", &data.display().to_string());
    std::fs::write(
        folder.join("work.sql"),
        format!("{source}\n{}\n", work.output),
    )?;
    let memory = arguments.memory.as_u64().to_string();
    let all = ["run", "work.sql", "--progress", "none", "--memory", &memory];
    Ok(Run::whole(
        &measure::run(binary, &all, folder, &[])?.succeeded()?,
    ))
}

/// The folder with the files; made unless it is there.
fn files(peers: &Peers, root: &Path, scale: u32) -> anyhow::Result<PathBuf> {
    let folder = root.join(format!("files-sf{scale}"));
    if folder.join("complete").exists() {
        return Ok(folder);
    }
    let lineitem = peers.tpch(root, scale)?.join("lineitem.parquet");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let [lineitem, out] = [&lineitem, &folder].map(|path| path.display().to_string());
    peers.run(DATA, &[&lineitem, &out], &folder)?;
    std::fs::write(folder.join("complete"), "")?;
    Ok(folder)
}
