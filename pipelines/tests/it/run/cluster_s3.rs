//! Tables on an object store whose files executors upload and the run publishes.

use std::collections::BTreeMap;

use rstest::rstest;
use testkit::cluster::Cluster;
use testkit::s3::{Fault, Injected, S3Options, S3Server};
use testkit::{Child, Outcome, Workspace, wait_for};

use super::cluster::readings;
use super::launchpad::workspace;
use super::published::by_partition;

/// Staged as unfinished uploads to the final keys, because nobody reads the rows before.
const UNREAD: &str = "
    CREATE EXTERNAL TABLE readings STORED AS CSV LOCATION 'readings/' OPTIONS ('has_header' 'true');
    CREATE VIEW by_city AS SELECT id, day, value, city FROM readings;
    COPY by_city TO 's3://BUCKET/lake/table' PARTITIONED BY (city) OPTIONS (sort 'value DESC, id');
";

/// Staged as objects, which the check reads.
const READ: &str = "
    CREATE EXTERNAL TABLE readings STORED AS CSV LOCATION 'readings/' OPTIONS ('has_header' 'true');
    CREATE VIEW by_city AS SELECT id, day, value, city FROM readings;
    ASSERT (SELECT count(*) FROM by_city WHERE value < 0) = 0 AS 'no value is negative';
    COPY by_city TO 's3://BUCKET/lake/table' PARTITIONED BY (city) OPTIONS (sort 'value DESC, id');
";

/// Reads what [`UNREAD`] wrote.
const COPIED: &str = "
    CREATE EXTERNAL TABLE written STORED AS PARQUET LOCATION 's3://BUCKET/lake/table/' PARTITIONED BY (city);
    CREATE VIEW high AS SELECT id, value, city FROM written WHERE value > 100;
    COPY high TO 's3://BUCKET/lake/high' PARTITIONED BY (city) OPTIONS (sort 'id');
";

/// A server, a cluster whose executors can write to it, and a workspace with the pipeline.
fn scene(text: &str, rows: u32) -> anyhow::Result<Option<(S3Server, Cluster, Workspace)>> {
    let server = S3Server::start(S3Options::default())?;
    let environment = server.environment();
    let binary = env!("CARGO_BIN_EXE_pipelines");
    let Some(cluster) = Cluster::start_with(binary, 3, 1, &environment)? else {
        return Ok(None);
    };
    let mut workspace = workspace()?.with("PIPELINES_SCHEDULER", cluster.address());
    for (name, value) in environment {
        workspace.set(&name, value);
    }
    readings(&workspace, 6, rows)?;
    workspace.write("p.sql", &text.replace("BUCKET", server.bucket()))?;
    Ok(Some((server, cluster, workspace)))
}

/// The contents of the files of each partition, without their names.
fn published(server: &S3Server) -> BTreeMap<String, Vec<Vec<u8>>> {
    let objects = server.objects("lake/table/");
    by_partition(
        objects
            .iter()
            .map(|(key, content)| (key.as_str(), content.as_ref())),
    )
}

/// Nothing is left of any try: no unfinished upload, no staged object.
fn assert_clean(server: &S3Server) {
    assert_eq!(server.pending_uploads().len(), 0);
    let staged = server.objects("lake/.table.spillway/staging/");
    assert_eq!(staged.keys().collect::<Vec<_>>(), [] as [&String; 0]);
}

#[test]
fn executors_read_what_landed_from_beside_the_table() -> anyhow::Result<()> {
    let Some((server, cluster, workspace)) = scene(UNREAD, 1)? else {
        return Ok(());
    };
    let destination = format!("destination=s3://{}/lake/table", server.bucket());
    let arguments = ["run", "launchpad_bugs", "--set", &destination];
    let run = workspace.run(arguments.into_iter().chain(["--mode", "cluster"]))?;
    assert_eq!(run.code, Some(0), "{}{}", run.all(), cluster.said());
    run.expect(0, &["copied", "1,241 rows"]);
    // The scheduler's log has the plans, with the files that they read.
    let plans = cluster.said();
    assert!(plans.contains("/landed/crawl/chunk-"), "{plans}");
    assert!(!plans.contains("/landing/"), "{plans}");
    assert_clean(&server);
    Ok(())
}

#[test]
fn a_scheduler_without_credentials_plans_for_executors_that_have_them() -> anyhow::Result<()> {
    let Some((server, cluster, workspace)) = scene(UNREAD, 500)? else {
        return Ok(());
    };
    let arguments = ["run", "p.sql", "--mode", "cluster"];
    let run = workspace.run(arguments)?;
    assert_eq!(run.code, Some(0), "{}{}", run.all(), cluster.said());
    workspace.write("p.sql", &COPIED.replace("BUCKET", server.bucket()))?;
    let run = workspace.run(arguments)?;
    assert_eq!(run.code, Some(0), "{}{}", run.all(), cluster.said());
    assert_eq!(server.objects("lake/high/").len(), 11, "{}", run.all());
    Ok(())
}

#[rstest]
fn files_that_executors_upload_are_published_by_the_run(
    #[values(UNREAD, READ)] text: &str,
) -> anyhow::Result<()> {
    let Some((server, cluster, workspace)) = scene(text, 500)? else {
        return Ok(());
    };
    let empty = server.snapshot();
    workspace
        .run(["run", "p.sql", "--mode", "local"])?
        .expect(0, &["3,000 rows"]);
    let here = published(&server);
    assert_eq!(here.len(), 11);
    server.restore(&empty);
    let run = workspace.run(["run", "p.sql", "--mode", "cluster", "--restart"])?;
    assert_eq!(run.code, Some(0), "{}{}", run.all(), cluster.said());
    assert!(published(&server) == here, "other bytes: {}", run.all());
    assert_clean(&server);
    Ok(())
}

/// A run whose first try has begun a file on the server and gets no answer, and what the table must be.
struct Begun {
    server: S3Server,
    held: Injected,
    cluster: Cluster,
    expected: BTreeMap<String, Vec<Vec<u8>>>,
    _workspace: Workspace,
}

impl Begun {
    /// The run needed another try, said why, and the table is that of a run without faults.
    fn check(&self, ended: &Outcome, why: &str) {
        assert_eq!(
            ended.code,
            Some(0),
            "{}{}",
            ended.all(),
            self.cluster.said()
        );
        assert!(ended.stderr.contains(why), "{}", ended.all());
        assert!(published(&self.server) == self.expected, "{}", ended.all());
    }
}

fn begun(text: &str) -> anyhow::Result<Option<(Begun, Child)>> {
    let Some((server, cluster, workspace)) = scene(text, 2_000)? else {
        return Ok(None);
    };
    let empty = server.snapshot();
    workspace
        .run(["run", "p.sql", "--mode", "local"])?
        .expect(0, &["12,000 rows"]);
    let expected = published(&server);
    server.restore(&empty);
    let held = server.inject(Fault::hold_after().key(".parquet").times(1));
    let run = workspace.start(["run", "p.sql", "--mode", "cluster", "--restart"])?;
    wait_for("the first staged file", || (held.fired() > 0).then_some(()))?;
    let begun = Begun {
        server,
        held,
        cluster,
        expected,
        _workspace: workspace,
    };
    Ok(Some((begun, run)))
}

#[rstest]
fn uploads_of_executors_that_died_are_dropped(
    #[values(UNREAD, READ)] text: &str,
) -> anyhow::Result<()> {
    let Some((mut begun, run)) = begun(text)? else {
        return Ok(());
    };
    for executor in 0..3 {
        begun.cluster.kill_executor(executor)?;
        begun.cluster.add_executor()?;
    }
    begun.held.release();
    let ended = run.wait()?;
    begun.check(&ended, "try 1 of");
    assert_clean(&begun.server);
    Ok(())
}

#[rstest]
fn executors_that_were_given_up_leave_nothing_when_they_go_on(
    #[values(UNREAD, READ)] text: &str,
) -> anyhow::Result<()> {
    let Some((mut begun, run)) = begun(text)? else {
        return Ok(());
    };
    for executor in 0..3 {
        begun.cluster.signal_executor(executor, "STOP")?;
        begun.cluster.add_executor()?;
    }
    let ended = run.wait()?;
    begun.held.release();
    for executor in 0..3 {
        begun.cluster.signal_executor(executor, "CONT")?;
    }
    begun.check(&ended, "no heartbeat");
    // They were in the middle of a file, and go on until they find that nobody wants it.
    wait_for("a clean bucket", || {
        let staged = begun.server.objects("lake/.table.spillway/staging/");
        (begun.server.pending_uploads().is_empty() && staged.is_empty()).then_some(())
    })?;
    assert!(published(&begun.server) == begun.expected);
    Ok(())
}
