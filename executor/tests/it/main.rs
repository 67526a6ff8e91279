//! The executor as a process: it joins a scheduler, is listed there, and leaves when it is told to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use testkit::cluster::http_get;
use testkit::{Child, Workspace, free_port, wait_for};

/// The scheduler's binary, which a build of the workspace puts beside the executor's. `None`, after saying so, when only
/// this package was built.
fn scheduler_binary() -> anyhow::Result<Option<PathBuf>> {
    let binary = Path::new(env!("CARGO_BIN_EXE_executor")).with_file_name("scheduler");
    if binary.exists() {
        return Ok(Some(binary));
    }
    anyhow::ensure!(
        std::env::var_os("SPILLWAY_REQUIRE_SERVICES").is_none(),
        "{} is missing; build the workspace, as scripts/test does",
        binary.display()
    );
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    {
        eprintln!(
            "SKIPPED: {} is missing; build the workspace, as scripts/test does",
            binary.display()
        );
    }
    Ok(None)
}

/// The ports of the executors that the scheduler lists.
fn listed(address: &str) -> Option<BTreeSet<u16>> {
    let executors: Vec<serde_json::Value> =
        serde_json::from_str(&http_get(address, "/api/executors")?).ok()?;
    executors
        .iter()
        .map(|executor| executor["port"].as_u64()?.try_into().ok())
        .collect()
}

fn start_executor(
    workspace: &Workspace,
    scheduler_port: &str,
) -> anyhow::Result<(Child, u16, [String; 10])> {
    let (port, grpc_port) = (free_port()?, free_port()?);
    let work_dir = workspace.path().join("work");
    let arguments = [
        "--scheduler-port",
        scheduler_port,
        "--port",
        &port.to_string(),
        "--grpc-port",
        &grpc_port.to_string(),
        "--vcores",
        "2",
        "--work-dir",
        &work_dir.display().to_string(),
    ]
    .map(String::from);
    Ok((workspace.start(arguments.clone())?, port, arguments))
}

#[test]
fn executor_joins_the_scheduler_and_leaves_it_on_sigterm() {
    let Some(binary) = scheduler_binary().unwrap() else {
        return;
    };
    let scheduler_workspace = Workspace::new(binary).unwrap();
    let scheduler = scheduler_workspace
        .start(["--bind", "127.0.0.1:0", "--work-dir", "work"])
        .unwrap();
    let address = wait_for("the scheduler's address", || {
        let said = scheduler.said();
        let line = said
            .lines()
            .find(|line| line.contains("scheduler listens"))?;
        Some(String::from(line.split_once("address=")?.1.trim()))
    })
    .unwrap();
    let scheduler_port = address.rsplit(':').next().unwrap();

    let workspace = Workspace::new(env!("CARGO_BIN_EXE_executor")).unwrap();
    let (mut executor, port, arguments) = start_executor(&workspace, scheduler_port).unwrap();
    let joined = wait_for("the executor in the scheduler's list", || {
        listed(&address).filter(|ports| !ports.is_empty())
    });
    assert_eq!(
        joined.unwrap_or_default(),
        BTreeSet::from([port]),
        "{}",
        executor.said()
    );
    wait_for("a ready scheduler", || http_get(&address, "/readyz")).unwrap();
    assert!(executor.runs().unwrap());
    assert!(workspace.path().join("work").is_dir());
    let health = |question: &[&str]| {
        let flags = arguments.iter().map(String::as_str);
        workspace
            .run(flags.chain(question.iter().copied()))
            .unwrap()
    };
    health(&["healthcheck"]).expect(0, &[]);
    health(&["healthcheck", "--live"]).expect(0, &[]);
    let metrics = http_get(&address, "/metrics").unwrap();
    assert!(
        metrics.contains("\nspillway_scheduler_vcores_free 2\n"),
        "{metrics}"
    );

    wait_for("a handler for SIGTERM", || {
        executor.handles_sigterm().then_some(())
    })
    .unwrap();
    executor.signal("TERM").unwrap();
    let ended = executor.wait().unwrap();
    assert_eq!(ended.code, Some(0), "{}", ended.all());
    wait_for("an empty list of executors", || {
        listed(&address).filter(BTreeSet::is_empty)
    })
    .unwrap();
    health(&["healthcheck", "--live"]).expect(1, &["nothing answers at 127.0.0.1:"]);

    scheduler.signal("TERM").unwrap();
    let ended = scheduler.wait().unwrap();
    assert_eq!(ended.code, Some(0), "{}", ended.all());
}

#[test]
fn executor_without_a_scheduler_says_so_and_ends() {
    let workspace = Workspace::new(env!("CARGO_BIN_EXE_executor")).unwrap();
    let nobody = free_port().unwrap();
    let (executor, ..) = start_executor(&workspace, &nobody.to_string()).unwrap();
    let ended = executor.wait().unwrap();
    assert_eq!(ended.code, Some(1), "{}", ended.all());
    assert!(
        ended.stderr.contains("onnect to scheduler"),
        "{}",
        ended.all()
    );
}

#[test]
fn executor_listens_to_other_machines_only_if_it_is_told_that_they_are_trusted() {
    let workspace = Workspace::new(env!("CARGO_BIN_EXE_executor")).unwrap();
    let refused = workspace.run(["--bind-host", "0.0.0.0"]).unwrap();
    refused.expect(1, &["can be reached from other machines", "--insecure"]);
    let unnamed = workspace.run(["--bind-host", "0.0.0.0", "--insecure"]);
    unnamed.unwrap().expect(1, &["--external-host"]);
}
