//! The same job in one process and on clusters of several shapes, all on this machine: what the cluster costs, what it
//! gains, from how many rows on, and what the loss of an executor costs. Rows are compared.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytesize::ByteSize;
use testkit::cluster::Cluster;
use testkit::{Workspace, wait_for};

use crate::peers::Peers;
use crate::{measure, table};

const DIGEST: &str = include_str!("tables/digest.py");
/// One executor with all cores may take this many times as long as one process.
const COST: f64 = 1.25;
/// Two executors of one core must be this many times as fast as one.
const GAIN: f64 = 1.7;
/// What a job of ten rows may take longer than in one process.
const OVERHEAD: Duration = Duration::from_millis(300);
/// What a lost executor may add.
const LOSS: Duration = Duration::from_secs(15);

/// How much, how often.
#[derive(Debug, clap::Args)]
pub(crate) struct ClusterArguments {
    /// TPC-H scale factor
    #[arg(long, default_value_t = 1)]
    scale: u32,
    /// Runs of each, in turn; the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Memory of the local run, and of each executor
    #[arg(long, default_value_t = ByteSize::gib(4))]
    memory: ByteSize,
    /// Where generated data is kept
    #[arg(long, default_value = "/tmp/tpch", value_name = "FOLDER")]
    data: PathBuf,
    /// Only one part of it
    #[arg(long, value_enum)]
    only: Option<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// One process, and clusters of several shapes
    Shapes,
    /// One partition of a table with an order, whole and split
    Split,
    /// From few rows to all
    Sizes,
    /// Ten rows
    Ten,
    /// An executor that is killed
    Loss,
}

/// A pipeline and a place where it can be run.
struct Place {
    name: String,
    cluster: Option<Cluster>,
    folder: tempfile::TempDir,
}

impl Place {
    fn local(arguments: &ClusterArguments) -> anyhow::Result<Self> {
        Ok(Self {
            name: String::from("local"),
            cluster: None,
            folder: tempfile::tempdir_in(&arguments.data)?,
        })
    }

    fn cluster(
        binary: &Path,
        arguments: &ClusterArguments,
        executors: usize,
        vcores: usize,
    ) -> anyhow::Result<Self> {
        let memory = arguments.memory.as_u64().to_string();
        let environment = [
            (String::from("EXECUTOR_MEMORY_BYTES"), memory),
            (String::from("RUST_LOG"), String::from("warn")),
        ];
        let binary = binary.to_str().context("the binary's path is not UTF-8")?;
        let cluster = Cluster::start_with(binary, executors, vcores, &environment)?;
        Ok(Self {
            name: format!("{executors} × {vcores} vcores"),
            cluster: Some(cluster.context("build scheduler and executor too")?),
            folder: tempfile::tempdir_in(&arguments.data)?,
        })
    }

    fn flags(&self, arguments: &ClusterArguments) -> Vec<String> {
        let memory = arguments.memory.as_u64().to_string();
        let flags: Vec<String> = match &self.cluster {
            None => vec!["--mode".into(), "local".into(), "--memory".into(), memory],
            Some(cluster) => vec![
                "--mode".into(),
                "cluster".into(),
                "--cluster".into(),
                cluster.address(),
            ],
        };
        let run = ["run", "p.sql", "--restart"];
        run.map(String::from).into_iter().chain(flags).collect()
    }

    /// The wall time of one run of the pipeline, which writes `out` anew.
    fn run(
        &self,
        binary: &Path,
        arguments: &ClusterArguments,
        pipeline: &str,
    ) -> anyhow::Result<Duration> {
        self.clear(pipeline)?;
        let flags = self.flags(arguments);
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let run = measure::run(binary, &flags, self.folder.path(), &[])?.succeeded()?;
        Ok(run.wall)
    }

    fn clear(&self, pipeline: &str) -> anyhow::Result<()> {
        let folder = self.folder.path();
        for left in ["out", ".out.spillway"] {
            let left = folder.join(left);
            if left.exists() {
                std::fs::remove_dir_all(left)?;
            }
        }
        std::fs::write(folder.join("p.sql"), pipeline)?;
        Ok(())
    }

    fn digest(&self, peers: &Peers) -> anyhow::Result<String> {
        let out = self.folder.path().join("out").display().to_string();
        Ok(peers.run(DIGEST, &[&out], self.folder.path())?.stdout)
    }
}

/// Runs all and prints the tables.
pub(crate) fn measure(binary: &Path, arguments: &ClusterArguments) -> anyhow::Result<()> {
    let peers = Peers::new()?;
    let data = peers.tpch(&arguments.data, arguments.scale)?;
    let cores = std::thread::available_parallelism()?.get();
    let asked = |part| arguments.only.is_none_or(|only| only == part);
    if asked(Part::Shapes) {
        shapes(binary, arguments, &peers, &data, cores)?;
    }
    if asked(Part::Split) {
        split(binary, arguments, &peers, &data)?;
    }
    if asked(Part::Sizes) || asked(Part::Ten) {
        let here = Place::local(arguments)?;
        let there = Place::cluster(binary, arguments, 1, cores)?;
        if asked(Part::Sizes) {
            sizes(binary, arguments, &data, &here, &there)?;
        }
        if asked(Part::Ten) {
            ten_rows(binary, arguments, &here, &there)?;
        }
    }
    if asked(Part::Loss) {
        loss(binary, arguments, &peers, &data)?;
    }
    Ok(())
}

/// The join of the tables' measurement, of lineitems up to an order's key.
fn pipeline(data: &Path, condition: &str) -> String {
    let data = data.display();
    format!(
        "CREATE EXTERNAL TABLE lineitem STORED AS PARQUET LOCATION '{data}/lineitem.parquet';
CREATE EXTERNAL TABLE orders STORED AS PARQUET LOCATION '{data}/orders.parquet';
CREATE VIEW joined AS
SELECT l.*, o_orderdate, date_part('year', o_orderdate) AS year, date_part('month', o_orderdate) AS month
FROM lineitem l JOIN orders o ON l_orderkey = o_orderkey{condition};
COPY joined TO 'out' STORED AS PARQUET PARTITIONED BY (year, month) OPTIONS (compression 'snappy');
"
    )
}

fn shapes(
    binary: &Path,
    arguments: &ClusterArguments,
    peers: &Peers,
    data: &Path,
    cores: usize,
) -> anyhow::Result<()> {
    let pipeline = pipeline(data, "");
    let mut rows = Vec::new();
    let (mut expected, mut first, mut one) = (None, None, None);
    let shapes = [None, Some((1, cores)), Some((1, 1)), Some((2, 1))];
    for shape in shapes {
        let place = match shape {
            None => Place::local(arguments)?,
            Some((executors, vcores)) => Place::cluster(binary, arguments, executors, vcores)?,
        };
        let wall = median(arguments.runs, || place.run(binary, arguments, &pipeline))?;
        let digest = place.digest(peers)?;
        let expected = expected.get_or_insert_with(|| digest.clone());
        ensure!(*expected == digest, "{} wrote other rows", place.name);
        let local = *first.get_or_insert(wall);
        let ratio = wall.as_secs_f64() / local.as_secs_f64();
        let goal = match shape {
            Some((1, vcores)) if vcores == cores => {
                format!("≤ {COST}: {}", table::goal(ratio <= COST))
            }
            Some((2, 1)) => {
                let one = one.unwrap_or(wall);
                let gain = Duration::as_secs_f64(&one) / wall.as_secs_f64();
                format!(
                    "≥ {GAIN} × as fast as 1 × 1: {} ({gain:.2})",
                    table::goal(gain >= GAIN)
                )
            }
            _ => String::new(),
        };
        if shape == Some((1, 1)) {
            one = Some(wall);
        }
        rows.push(vec![
            place.name.clone(),
            format!("{:.2} s", wall.as_secs_f64()),
            format!("{ratio:.2}"),
            goal,
        ]);
    }
    table::say(&format!(
        "TPC-H SF{}, lineitem ⋈ orders by year and month; memory {} each; median of {}; rows equal.\n",
        arguments.scale,
        arguments.memory.display().iec(),
        arguments.runs
    ));
    table::print(&["executors", "wall", "÷ local", "goal"], &rows);
    Ok(())
}

/// A day's run: all rows are of one partition, in an order.
fn split(
    binary: &Path,
    arguments: &ClusterArguments,
    peers: &Peers,
    data: &Path,
) -> anyhow::Result<()> {
    let joined = pipeline(data, "");
    let (query, _) = joined.split_once("COPY").context("no COPY")?;
    let copy = |options: &str| {
        format!(
            "{query}CREATE VIEW day AS SELECT * EXCLUDE (year, month), 2026 AS year, 11 AS month FROM joined;
COPY day TO 'out' STORED AS PARQUET PARTITIONED BY (year, month) OPTIONS (compression 'snappy', sort 'l_shipdate, l_orderkey'{options});
"
        )
    };
    let mut rows = Vec::new();
    let mut expected = None;
    for (shape, name) in [(None, "local"), (Some(1), "1 × 1"), (Some(2), "2 × 1")] {
        let place = match shape {
            None => Place::local(arguments)?,
            Some(executors) => Place::cluster(binary, arguments, executors, 1)?,
        };
        let mut walls = Vec::new();
        for options in ["", ", split_rows '1000000'"] {
            walls.push(median(arguments.runs, || {
                place.run(binary, arguments, &copy(options))
            })?);
            let digest = place.digest(peers)?;
            let expected = expected.get_or_insert_with(|| digest.clone());
            ensure!(*expected == digest, "{name} wrote other rows");
        }
        let mut row = vec![String::from(name)];
        row.extend(
            walls
                .iter()
                .map(|wall| format!("{:.2} s", wall.as_secs_f64())),
        );
        rows.push(row);
    }
    table::say(&format!(
        "TPC-H SF{}, lineitem ⋈ orders as one partition in an order; median of {}; rows equal.\n",
        arguments.scale, arguments.runs
    ));
    table::print(&["executors", "whole", "split_rows 1000000"], &rows);
    Ok(())
}

fn sizes(
    binary: &Path,
    arguments: &ClusterArguments,
    data: &Path,
    here: &Place,
    there: &Place,
) -> anyhow::Result<()> {
    let orders = 6_000_000 * u64::from(arguments.scale);
    let mut rows = Vec::new();
    for share in [1000, 100, 10, 3, 1] {
        let condition = format!(" WHERE l_orderkey <= {}", orders / share);
        let pipeline = pipeline(data, &condition);
        let local = median(arguments.runs, || here.run(binary, arguments, &pipeline))?;
        let cluster = median(arguments.runs, || there.run(binary, arguments, &pipeline))?;
        rows.push(vec![
            format!("{}", orders / share),
            format!("{:.2} s", local.as_secs_f64()),
            format!("{:.2} s", cluster.as_secs_f64()),
            format!("{:.2}", cluster.as_secs_f64() / local.as_secs_f64()),
        ]);
    }
    let head = ["rows, about", "local", &there.name, "cluster ÷ local"];
    table::print(&head, &rows);
    Ok(())
}

fn ten_rows(
    binary: &Path,
    arguments: &ClusterArguments,
    here: &Place,
    there: &Place,
) -> anyhow::Result<()> {
    let lines: String = (0..10).map(|row| format!("{row},{}\n", row % 3)).collect();
    for place in [here, there] {
        std::fs::write(place.folder.path().join("ten.csv"), format!("a,b\n{lines}"))?;
    }
    let pipeline =
        "CREATE EXTERNAL TABLE ten STORED AS CSV LOCATION 'ten.csv' OPTIONS ('has_header' 'true');
CREATE VIEW v AS SELECT a, b FROM ten;
COPY v TO 'out' PARTITIONED BY (b);";
    let runs = arguments.runs.max(5);
    let local = median(runs, || here.run(binary, arguments, pipeline))?;
    let cluster = median(runs, || there.run(binary, arguments, pipeline))?;
    let more = cluster.saturating_sub(local);
    table::say(&format!(
        "Ten rows: local {} ms, cluster {} ms. Goal, at most {} ms more: {} ({} ms).\n",
        local.as_millis(),
        cluster.as_millis(),
        OVERHEAD.as_millis(),
        table::goal(more <= OVERHEAD),
        more.as_millis()
    ));
    Ok(())
}

/// One of two executors is killed when half of the time has passed that an undisturbed run takes.
fn loss(
    binary: &Path,
    arguments: &ClusterArguments,
    peers: &Peers,
    data: &Path,
) -> anyhow::Result<()> {
    let pipeline = pipeline(data, "");
    let mut place = Place::cluster(binary, arguments, 2, 1)?;
    let undisturbed = median(arguments.runs, || place.run(binary, arguments, &pipeline))?;
    let expected = place.digest(peers)?;
    place.clear(&pipeline)?;
    // A child of its own, because something happens while it runs.
    let workspace = Workspace::new(binary)?;
    std::fs::copy(
        place.folder.path().join("p.sql"),
        workspace.path().join("p.sql"),
    )?;
    let flags = place.flags(arguments);
    let begun = Instant::now();
    let mut run = workspace.start(flags)?;
    wait_for("half of the time", || {
        (begun.elapsed() >= undisturbed / 2).then_some(())
    })?;
    ensure!(run.runs()?, "the run ended before half of the time");
    let cluster = place.cluster.as_mut().context("there is no cluster")?;
    cluster.kill_executor(0)?;
    let killed = Instant::now();
    let ended = run.wait()?;
    let (whole, after) = (begun.elapsed(), killed.elapsed());
    ensure!(ended.code == Some(0), "{}", ended.all());
    ensure!(
        ended.stderr.contains("try 1 of"),
        "the executor was not missed: {}",
        ended.all()
    );
    let out = workspace.path().join("out").display().to_string();
    let digest = peers.run(DIGEST, &[&out], workspace.path())?.stdout;
    ensure!(digest == expected, "other rows after the loss");
    let more = after.saturating_sub(undisturbed);
    table::say(&format!(
        "One of two executors killed after {:.1} s of {:.1} s: the run took {:.1} s more, on the other one. Goal, at most an \
         undisturbed run's time and {} s: {} ({:.1} s more than that time). Rows equal.\n",
        (whole - after).as_secs_f64(),
        undisturbed.as_secs_f64(),
        after.as_secs_f64(),
        LOSS.as_secs(),
        table::goal(more <= LOSS),
        more.as_secs_f64()
    ));
    Ok(())
}

fn median(
    runs: u32,
    mut run: impl FnMut() -> anyhow::Result<Duration>,
) -> anyhow::Result<Duration> {
    let mut walls = (0..runs)
        .map(|_| run())
        .collect::<anyhow::Result<Vec<_>>>()?;
    walls.sort_unstable();
    walls
        .get(walls.len() / 2)
        .copied()
        .context("nothing was measured")
}
