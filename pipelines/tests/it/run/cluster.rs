//! The same pipelines on a cluster of real processes: where a run goes, that it says why, and that the result is the one
//! of this process.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Context;
use rstest::rstest;
use testkit::cluster::{Cluster, http_get};
use testkit::{Outcome, Workspace, wait_for};

use super::launchpad::{run_year, workspace};
use super::published::{contents, events, rows};

/// Files of readings, in no order; their number of rows is not written in them.
pub(super) fn readings(workspace: &Workspace, files: u32, rows: u32) -> anyhow::Result<()> {
    for file in 0..files {
        let mut text = String::from("id,city,day,value\n");
        for row in 0..rows {
            let id = row * files + file;
            let shuffled = id.wrapping_mul(2_654_435_761);
            writeln!(
                text,
                "{id},city-{},2026-0{}-1{},{}",
                shuffled % 11,
                1 + shuffled % 5,
                shuffled % 9,
                f64::from(shuffled % 10_000) / 8.0,
            )?;
        }
        workspace.write(&format!("readings/{file}.csv"), &text)?;
    }
    Ok(())
}

/// Ordered rows in partitions of city.
pub(super) const SORTED: &str = "
    CREATE EXTERNAL TABLE readings STORED AS CSV LOCATION 'readings/' OPTIONS ('has_header' 'true');
    CREATE VIEW by_city AS SELECT id, day, value, sqrt(value) AS root, week_of(day) AS week, city FROM readings;
    COPY by_city TO 'table/' PARTITIONED BY (city) OPTIONS (sort 'value DESC, id');
";

/// The same as text, each partition one compressed file.
const TEXT: &str = "
    CREATE EXTERNAL TABLE readings STORED AS CSV LOCATION 'readings/' OPTIONS ('has_header' 'true');
    CREATE VIEW by_city AS SELECT id, day, value, sqrt(value) AS root, week_of(day) AS week, city FROM readings;
    COPY by_city TO 'table/' STORED AS CSV PARTITIONED BY (city)
    OPTIONS (sort 'value DESC, id', compression 'gzip', single_file true);
";

/// Rows in no order, as lines of one file.
const LINES: &str = "
    CREATE EXTERNAL TABLE readings STORED AS CSV LOCATION 'readings/' OPTIONS ('has_header' 'true');
    COPY (SELECT id, day, value, city FROM readings) TO 'table/' STORED AS JSON OPTIONS (single_file true);
";

/// Ordered rows in one partition, written as ranges of the order.
const SPLIT: &str = "
    CREATE EXTERNAL TABLE readings STORED AS CSV LOCATION 'readings/' OPTIONS ('has_header' 'true');
    CREATE VIEW one AS SELECT id, day, value, city FROM readings WHERE id % 10 < 9;
    COPY one TO 'table/' OPTIONS (sort 'value DESC, id', split_rows '450');
";

/// A join of an aggregate, in no order.
const JOINED: &str = "
    CREATE EXTERNAL TABLE readings STORED AS CSV LOCATION 'readings/' OPTIONS ('has_header' 'true');
    CREATE VIEW cities AS SELECT city, avg(value) AS mean, count(DISTINCT day) AS days FROM readings GROUP BY city;
    CREATE VIEW deviations AS
    SELECT r.id, r.day, round(r.value - c.mean, 6) AS deviation, c.days, r.city
    FROM readings r LEFT JOIN cities c ON r.city = c.city AND c.days > 40;
    COPY deviations TO 'table/' PARTITIONED BY (city);
";

/// A column that not every file has numbers in.
const NUMBERED: &str = "
    CREATE EXTERNAL TABLE readings (id BIGINT, city TEXT, day DATE, value DOUBLE)
    STORED AS CSV LOCATION 'readings/' OPTIONS ('has_header' 'true');
    COPY (SELECT * FROM readings) TO 'table/';
";

/// A merge into what an earlier run left.
const MERGED: &str = "
    CREATE EXTERNAL TABLE readings STORED AS CSV LOCATION 'readings/' OPTIONS ('has_header' 'true');
    CREATE VIEW latest AS SELECT id % 1000 AS key, id, value, city FROM readings;
    COPY latest TO 'table/' PARTITIONED BY (city) OPTIONS (publish 'merge', key 'key', order 'id', sort 'key');
";

/// A cluster and a workspace whose pipelines know of it.
pub(super) fn on_cluster(executors: usize) -> anyhow::Result<Option<(Cluster, Workspace)>> {
    let started = Cluster::start(env!("CARGO_BIN_EXE_pipelines"), executors, 2)?;
    let Some(cluster) = started else {
        return Ok(None);
    };
    let workspace = workspace()?.with("PIPELINES_SCHEDULER", cluster.address());
    Ok(Some((cluster, workspace)))
}

/// Runs `p.sql` here, then from nothing on the cluster: both leave the same bytes in `table/`.
pub(super) fn assert_same_bytes(cluster: &Cluster, workspace: &Workspace) -> anyhow::Result<()> {
    let table = workspace.path().join("table");
    workspace
        .run(["run", "p.sql", "--mode", "local"])?
        .expect(0, &["local (asked for by --mode)"]);
    let here = contents(&table)?;
    std::fs::remove_dir_all(&table)?;
    std::fs::remove_dir_all(workspace.path().join(".table.spillway"))?;
    let run = workspace.run(["run", "p.sql", "--mode", "cluster", "--restart"])?;
    assert_eq!(run.code, Some(0), "{}{}", run.all(), cluster.said());
    assert_eq!(contents(&table)?, here);
    Ok(())
}

#[rstest]
fn a_sorted_table_has_the_same_bytes_from_any_number_of_executors(
    #[values(1, 3)] executors: usize,
    #[values(SORTED, MERGED, SPLIT, TEXT)] text: &str,
) -> anyhow::Result<()> {
    let Some((cluster, workspace)) = on_cluster(executors)? else {
        return Ok(());
    };
    readings(&workspace, 4, 2_000)?;
    workspace.write("p.sql", text)?;
    assert_same_bytes(&cluster, &workspace)?;
    if text == SPLIT {
        let files = &contents(&workspace.path().join("table"))?[""];
        assert_eq!(files.len(), 16, "7,200 rows");
        workspace
            .run(["tables", "show", "table/"])?
            .expect(0, &["into files of about 450 rows"]);
    }
    // Nothing of it stays behind but the table and its log.
    let staging = workspace.path().join(".table.spillway/staging");
    assert_eq!(std::fs::read_dir(staging)?.count(), 0);
    Ok(())
}

#[test]
fn lines_of_one_file_are_the_same_from_executors() -> anyhow::Result<()> {
    let Some((cluster, workspace)) = on_cluster(2)? else {
        return Ok(());
    };
    readings(&workspace, 4, 2_000)?;
    workspace.write("p.sql", LINES)?;
    let lines = || -> anyhow::Result<Vec<String>> {
        let files = contents(&workspace.path().join("table"))?;
        let [file] = files[""].as_slice() else {
            anyhow::bail!("{} files", files[""].len());
        };
        let mut lines: Vec<String> = String::from_utf8(file.clone())?
            .lines()
            .map(String::from)
            .collect();
        lines.sort_unstable();
        Ok(lines)
    };
    let run = |mode: &str| workspace.run(["run", "p.sql", "--mode", mode, "--restart"]);
    run("local")?.expect(0, &[]);
    let here = lines()?;
    assert_eq!(here.len(), 8_000);
    let far = run("cluster")?;
    assert_eq!(far.code, Some(0), "{}{}", far.all(), cluster.said());
    assert_eq!(lines()?, here);
    Ok(())
}

#[test]
fn an_unsorted_join_has_the_same_rows() -> anyhow::Result<()> {
    let Some((cluster, workspace)) = on_cluster(2)? else {
        return Ok(());
    };
    readings(&workspace, 3, 1_000)?;
    workspace.write("p.sql", JOINED)?;
    let sorted = || -> anyhow::Result<Vec<String>> {
        let found = rows(&workspace.path().join("table"))?;
        let mut found: Vec<String> = found
            .into_iter()
            .map(|row| serde_json::Value::Object(row).to_string())
            .collect();
        found.sort_unstable();
        Ok(found)
    };
    workspace
        .run(["run", "p.sql", "--mode", "local"])?
        .expect(0, &[]);
    let here = sorted()?;
    let command = "run p.sql --mode cluster --restart --output json";
    let run = workspace.run(command.split(' '))?;
    assert_eq!(run.code, Some(0), "{}{}", run.all(), cluster.said());
    assert_eq!(sorted()?, here);
    assert_eq!(here.len(), 3_000);

    let document: serde_json::Value = serde_json::from_str(&run.stdout)?;
    let stages = document["stages"].as_array().context("no stages")?;
    let write = stages.iter().find(|stage| stage["name"] == "write");
    let account = &write.context("no stage `write`")?["detail"]["cluster"]["deviations"];
    assert_eq!(account["tries"], 1, "{account}");
    assert_eq!(account["joins"], "hash", "{account}");
    assert_eq!(account["job"]["executors"], 2, "{account}");
    for number in ["stages_done", "tasks_done", "rows_shuffled", "rows_read"] {
        assert!(account["job"][number].as_u64() > Some(0), "{account}");
    }
    Ok(())
}

#[test]
fn launchpad_bugs_has_the_same_events() -> anyhow::Result<()> {
    let Some((cluster, workspace)) = on_cluster(2)? else {
        return Ok(());
    };
    workspace
        .run(["run", "launchpad_bugs", "--mode", "local"])?
        .expect(0, &[]);
    let table = workspace.path().join("events");
    let here = events(&table)?;
    std::fs::remove_dir_all(&table)?;
    std::fs::remove_dir_all(workspace.path().join(".events.spillway"))?;
    let run = workspace.run(["run", "launchpad_bugs", "--mode", "cluster", "--restart"])?;
    assert_eq!(run.code, Some(0), "{}{}", run.all(), cluster.said());
    assert_eq!(events(&table)?, here);
    assert_eq!(here.len(), 1_241);
    Ok(())
}

/// Runs a pipeline over 4,000 rows whose number is known beforehand, with these arguments.
fn decided(workspace: &Workspace, arguments: &[&str]) -> anyhow::Result<Outcome> {
    if !workspace.path().join("copied").exists() {
        readings(workspace, 2, 2_000)?;
        workspace.write(
            "copy.sql",
            "CREATE EXTERNAL TABLE readings STORED AS CSV LOCATION 'readings/' OPTIONS ('has_header' 'true');
             COPY readings TO 'copied/';",
        )?;
        workspace
            .run(["run", "copy.sql", "--mode", "local"])?
            .expect(0, &[]);
        workspace.write(
            "p.sql",
            "CREATE EXTERNAL TABLE copied STORED AS PARQUET LOCATION 'copied/';
             COPY copied TO 'table/' PARTITIONED BY (city);",
        )?;
    }
    let all: Vec<&str> = ["run", "p.sql", "--restart"]
        .into_iter()
        .chain(arguments.iter().copied())
        .collect();
    workspace.run(all)
}

#[test]
fn a_run_goes_where_its_rows_say_and_tells_why() -> anyhow::Result<()> {
    let Some((_cluster, workspace)) = on_cluster(1)? else {
        return Ok(());
    };
    decided(&workspace, &[])?.expect(
        0,
        &["local (4,000 rows from the files' own statistics, not above the threshold of 1,000,000)"],
    );
    let above = "cluster (4,000 rows from the files' own statistics, above the threshold of 3,999)";
    decided(&workspace, &["--threshold-rows", "3999"])?.expect(0, &[above]);
    let plan = workspace.run(["plan", "p.sql", "--threshold-rows", "3999"])?;
    plan.expect(0, &[&format!("p: {above}")]);
    // The record of the run has it too.
    let shown = workspace.run(["runs", "--output", "json"])?;
    let runs: serde_json::Value = serde_json::from_str(&shown.stdout)?;
    let newest = runs["runs"]
        .get(0)
        .or_else(|| runs.get(0))
        .context("no run")?;
    assert_eq!(newest["mode"], "cluster", "{}", shown.all());
    Ok(())
}

#[test]
fn a_run_without_a_scheduler_stays_or_says_what_is_missing() -> anyhow::Result<()> {
    let workspace = workspace()?;
    decided(&workspace, &["--threshold-rows", "3999"])?.expect(
        0,
        &[
            "local (",
            "but no scheduler is set: --cluster, PIPELINES_SCHEDULER",
        ],
    );
    decided(&workspace, &["--mode", "cluster"])?.expect(3, &["--cluster http://host:50050"]);
    decided(&workspace, &["--mode", "cluster", "--cluster", "nowhere"])?
        .expect(3, &["\"nowhere\" is not the address of a scheduler"]);
    let before: BTreeMap<_, _> = contents(&workspace.path().join("table"))?;
    decided(
        &workspace,
        &["--mode", "cluster", "--cluster", "127.0.0.1:1"],
    )?
    .expect(
        6,
        &[
            "the scheduler at 127.0.0.1:1 does not answer",
            "--mode local",
        ],
    );
    assert_eq!(contents(&workspace.path().join("table"))?, before);
    Ok(())
}

#[test]
fn a_cluster_that_cannot_be_spoken_with_is_noticed_before_anything_is_extracted()
-> anyhow::Result<()> {
    // A service that would be asked is not there either.
    let workspace = workspace()?.with("LP_WEB_ROOT", "http://127.0.0.1:1");
    let run = |more: &[&str]| workspace.run(run_year(more));
    run(&["--cluster", "nowhere"])?.expect(3, &["\"nowhere\" is not the address of a scheduler"]);
    run(&["--cluster", "127.0.0.1:1", "--cluster-tls", "nowhere"])?
        .expect(3, &["the certificates in nowhere cannot be used"]);
    run(&["--cluster", "127.0.0.1:1", "--mode", "cluster"])?
        .expect(6, &["the scheduler at 127.0.0.1:1 does not answer"]);
    assert!(!workspace.path().join("events").exists());
    Ok(())
}

#[test]
fn a_cluster_can_be_started_for_one_run_and_ends_with_it() -> anyhow::Result<()> {
    // Only to say whether the binaries are there.
    if on_cluster(0)?.is_none() {
        return Ok(());
    }
    let workspace = workspace()?;
    let run = decided(&workspace, &["--mode", "cluster", "--cluster", "embedded"])?;
    run.expect(0, &["cluster (asked for by --mode)", "4,000 rows"]);
    assert_eq!(processes_of(&workspace)?, [] as [String; 0]);
    Ok(())
}

/// The command lines of the processes that work in its folder.
fn processes_of(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let folder = workspace.path().to_string_lossy().into_owned();
    Ok(std::fs::read_dir("/proc")?
        .flatten()
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .map(|words| String::from_utf8_lossy(&words).replace('\0', " "))
        .filter(|words| words.contains(&folder))
        .collect())
}

#[test]
fn a_cluster_that_was_started_for_one_run_ends_when_the_run_is_killed() -> anyhow::Result<()> {
    // Only to say whether the binaries are there.
    if on_cluster(0)?.is_none() {
        return Ok(());
    }
    let workspace = workspace()?;
    workspace.write(
        "p.sql",
        "CREATE VIEW v AS SELECT max(a.value * b.value) AS m FROM generate_series(1, 100000) a CROSS JOIN generate_series(1, 100000) b;
         COPY v TO 'table/';",
    )?;
    let run = workspace.start(["run", "p.sql", "--mode", "cluster", "--cluster", "embedded"])?;
    wait_for("a scheduler and two executors", || {
        (processes_of(&workspace).ok()?.len() == 3).then_some(())
    })?;
    run.kill()?;
    wait_for("their end", || {
        processes_of(&workspace).ok()?.is_empty().then_some(())
    })
}

#[test]
fn an_executor_that_ends_at_its_ceiling_leaves_a_run_that_is_out_of_memory() -> anyhow::Result<()> {
    // Only to say whether the binaries are there.
    if on_cluster(0)?.is_none() {
        return Ok(());
    }
    let workspace = workspace()?;
    workspace.write(
        "p.sql",
        "CREATE VIEW v AS SELECT i, repeat('x', 1000000) AS a FROM generate_series(1, 800) AS t(i);
         COPY v TO 'table/';",
    )?;
    workspace
        .run([
            "run",
            "p.sql",
            "--mode",
            "cluster",
            "--cluster",
            "embedded",
            "--memory",
            "256MiB",
        ])?
        .expect(8, &["xhausted", "--memory-bytes"]);
    assert!(!workspace.path().join("table").exists());
    Ok(())
}

#[test]
fn the_state_of_a_cluster_can_be_looked_at() -> anyhow::Result<()> {
    let Some((cluster, workspace)) = on_cluster(2)? else {
        return Ok(());
    };
    decided(&workspace, &["--mode", "cluster"])?.expect(0, &[]);
    let status = workspace.run(["cluster", "status"])?;
    status.expect(
        0,
        &["2 executors with 4 vcores", "1.0 GiB", "Completed", "try 1"],
    );
    let port = cluster.executor_port(1).to_string();
    status.expect(0, &[&port]);
    let status = workspace.run(["cluster", "status", "--output", "json"])?;
    let status: serde_json::Value = serde_json::from_str(&status.stdout)?;
    assert_eq!(status["vcores"], 4, "{status}");
    assert_eq!(
        status["executors"][0]["memory_bytes"],
        1_u64 << 30,
        "{status}"
    );
    assert_eq!(status["executors"][0]["tasks_running"], 0, "{status}");
    workspace
        .run(["cluster", "status", "--cluster", "127.0.0.1:1"])?
        .expect(6, &["does not answer"]);
    Ok(())
}

#[test]
fn an_executor_says_how_far_a_task_is_before_it_ends() -> anyhow::Result<()> {
    let Some(cluster) = Cluster::start(env!("CARGO_BIN_EXE_pipelines"), 1, 1)? else {
        return Ok(());
    };
    let workspace = workspace()?.with("PIPELINES_SCHEDULER", cluster.address());
    readings(&workspace, 1, 400_000)?;
    workspace.write("p.sql", SORTED)?;
    let run = workspace.start(["run", "p.sql", "--mode", "cluster"])?;
    let executor = format!("127.0.0.1:{}", cluster.executor_port(0));
    wait_for("rows that a task at work has read", || {
        let report = http_get(&executor, "/api/executor")?;
        let report: serde_json::Value = serde_json::from_str(&report).ok()?;
        let mut jobs = report["jobs"].as_array()?.iter();
        jobs.any(|job| {
            let rows = job["rows_read"].as_u64().unwrap_or_default();
            job["tasks_running"] == 1 && (1..400_000).contains(&rows)
        })
        .then_some(())
    })
    .with_context(|| run.said())?;
    let ended = run.wait()?;
    assert_eq!(ended.code, Some(0), "{}{}", ended.all(), cluster.said());
    Ok(())
}

#[test]
fn every_function_of_ours_gives_the_same_on_executors() -> anyhow::Result<()> {
    const CALLS: &str = "
        CREATE EXTERNAL TABLE readings STORED AS CSV LOCATION 'readings/' OPTIONS ('has_header' 'true');
        CREATE VIEW called AS
        SELECT id, city,
          CAST(week_of(to_timestamp(id * 100000)) AS TEXT) AS monday,
          CAST(local_time(to_timestamp(id * 100000), CASE WHEN valid_zone(city) THEN city ELSE 'Asia/Kathmandu' END) AS TEXT) AS wall,
          valid_zone(city) AS is_zone,
          link_name('https://api.example/devel/~' || city) AS name,
          json_pick('{\"id\": ' || CAST(id AS TEXT) || ', \"other\": 1}', 'id') AS picked
        FROM readings WHERE week_of(to_timestamp(id * 100000)) > DATE '1970-01-05';
        COPY called TO 'table/' PARTITIONED BY (city) OPTIONS (sort 'id');
    ";
    for function in udfs::all() {
        assert!(
            CALLS.contains(&format!("{}(", function.name())),
            "{}",
            function.name()
        );
    }
    let Some((cluster, workspace)) = on_cluster(2)? else {
        return Ok(());
    };
    readings(&workspace, 2, 100)?;
    workspace.write("p.sql", CALLS)?;
    assert_same_bytes(&cluster, &workspace)?;
    Ok(())
}

#[test]
fn a_join_that_exhausts_an_executor_is_planned_again_to_spill() -> anyhow::Result<()> {
    let binary = env!("CARGO_BIN_EXE_pipelines");
    let little = [(
        String::from("EXECUTOR_MEMORY_BYTES"),
        (256 << 20).to_string(),
    )];
    let Some(cluster) = Cluster::start_with(binary, 1, 1, &little)? else {
        return Ok(());
    };
    let workspace = workspace()?.with("PIPELINES_SCHEDULER", cluster.address());
    // Some 60 MB in memory, and little on disk.
    workspace.write(
        "wide.sql",
        "CREATE VIEW wide AS SELECT value AS id, repeat('x', 600 + value % 50) AS text FROM generate_series(1, 100000);
         COPY wide TO 'wide/' OPTIONS (sort 'id');",
    )?;
    workspace
        .run(["run", "wide.sql", "--mode", "local"])?
        .expect(0, &[]);
    workspace.write(
        "p.sql",
        "CREATE EXTERNAL TABLE wide STORED AS PARQUET LOCATION 'wide/';
         CREATE VIEW joined AS
         SELECT a.id, length(a.text || b.text) AS n FROM wide a JOIN wide b ON a.id = b.id;
         COPY joined TO 'table/';",
    )?;
    let command = "run p.sql --mode cluster --executor-memory 16GiB --output json";
    let run = workspace.run(command.split(' '))?;
    assert_eq!(run.code, Some(0), "{}{}", run.all(), cluster.said());
    assert!(
        run.stderr.contains("Resources exhausted"),
        "it had memory enough: {}",
        run.all()
    );
    assert!(run.stdout.contains("\"sort_merge\""), "{}", run.all());
    assert_eq!(rows(&workspace.path().join("table"))?.len(), 100_000);
    Ok(())
}

#[test]
fn what_is_wrong_with_a_file_is_told_as_in_this_process() -> anyhow::Result<()> {
    let Some((cluster, workspace)) = on_cluster(1)? else {
        return Ok(());
    };
    readings(&workspace, 2, 50)?;
    workspace.write(
        "readings/2.csv",
        "id,city,day,value\n1,a,2026-01-01,1\ntwo,a,2026-01-01,1\n",
    )?;
    workspace.write("p.sql", NUMBERED)?;
    let errors = |mode: &str| -> anyhow::Result<(Option<i32>, Vec<String>)> {
        let run = workspace.run(["run", "p.sql", "--mode", mode, "--restart"])?;
        let said = run.all();
        let told = said.lines().filter(|line| line.starts_with("error: "));
        Ok((run.code, told.map(str::to_owned).collect()))
    };
    let here = errors("local")?;
    let wanted = "readings/2.csv, line 3, column `id`: ";
    assert!(here.1.iter().any(|line| line.contains(wanted)), "{here:?}");
    assert_eq!(errors("cluster")?, here, "{}", cluster.said());
    Ok(())
}
