//! The executor as a process: it joins a scheduler, is listed there, and leaves when it is told to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use std::time::{Duration, Instant};

use testkit::cluster::http_get;
use testkit::raw_http::{HALF_REQUEST, HalfSent, asked_by_nobody, request};
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
    assert!(ended.stderr.contains("does not answer"), "{}", ended.all());
}

#[test]
fn executor_listens_to_other_machines_only_if_it_is_told_that_they_are_trusted() {
    let workspace = Workspace::new(env!("CARGO_BIN_EXE_executor")).unwrap();
    let refused = workspace.run(["--bind-host", "0.0.0.0"]).unwrap();
    refused.expect(1, &["can be reached from other machines", "--insecure"]);
    let unnamed = workspace.run(["--bind-host", "0.0.0.0", "--insecure"]);
    unnamed.unwrap().expect(1, &["--external-host"]);
}

/// A scheduler on a port that is told before.
fn start_scheduler(workspace: &Workspace, port: u16) -> anyhow::Result<Child> {
    let bind = format!("127.0.0.1:{port}");
    let scheduler = workspace.start(["--bind", &bind, "--work-dir", "work"])?;
    wait_for("the scheduler", || http_get(&bind, "/healthz"))?;
    Ok(scheduler)
}

/// Waits until the scheduler lists this executor and nobody else.
fn wait_for_listing(scheduler: u16, executor: u16) -> anyhow::Result<()> {
    wait_for("the executor in the scheduler's list", || {
        let listed = listed(&format!("127.0.0.1:{scheduler}"))?;
        (listed == BTreeSet::from([executor])).then_some(())
    })
}

#[test]
fn executor_finds_a_scheduler_again_that_was_away_for_a_quarter_of_a_minute() -> anyhow::Result<()>
{
    let Some(binary) = scheduler_binary()? else {
        return Ok(());
    };
    let (schedulers, scheduler_port) = (Workspace::new(binary)?, free_port()?);
    let scheduler = start_scheduler(&schedulers, scheduler_port)?;
    let workspace = Workspace::new(env!("CARGO_BIN_EXE_executor"))?;
    let (mut executor, port, _) = start_executor(&workspace, &scheduler_port.to_string())?;
    wait_for_listing(scheduler_port, port)?;
    scheduler.kill()?;
    let away = Instant::now();
    wait_for("the end of the time without a scheduler", || {
        (away.elapsed() > Duration::from_secs(16)).then_some(())
    })?;
    assert!(executor.runs()?, "{}", executor.said());
    let _scheduler = start_scheduler(&schedulers, scheduler_port)?;
    wait_for_listing(scheduler_port, port)?;
    wait_for("a word of it", || {
        executor
            .said()
            .contains("the scheduler answers again")
            .then_some(())
    })?;
    Ok(())
}

#[test]
fn half_sent_requests_and_other_users_get_nothing_from_an_executor() -> anyhow::Result<()> {
    const HALF: usize = 300;
    let Some(binary) = scheduler_binary()? else {
        return Ok(());
    };
    let (schedulers, scheduler_port) = (Workspace::new(binary)?, free_port()?);
    let _scheduler = start_scheduler(&schedulers, scheduler_port)?;
    let shell = Workspace::new("/bin/sh")?;
    let (port, tasks_port) = (free_port()?, free_port()?);
    let flags = [
        ("--scheduler-port", scheduler_port),
        ("--port", port),
        ("--grpc-port", tasks_port),
        ("--vcores", 1),
    ];
    let flags = flags.map(|(flag, value)| [String::from(flag), value.to_string()]);
    let limited = [
        "-c",
        "ulimit -n 256; exec \"$0\" \"$@\"",
        env!("CARGO_BIN_EXE_executor"),
        "--work-dir",
        "work",
    ];
    let arguments = limited.map(String::from).into_iter().chain(flags.concat());
    let mut executor = shell.start(arguments)?;
    wait_for_listing(scheduler_port, port)?;
    let [data, tasks] = [port, tasks_port].map(|port| format!("127.0.0.1:{port}"));
    let half = [
        HalfSent::open(&data, HALF, HALF_REQUEST)?,
        HalfSent::open(&tasks, HALF, HALF_REQUEST)?,
    ];
    wait_for("an answer of the executor", || http_get(&data, "/healthz"))?;
    let launch = "POST /ballista.protobuf.ExecutorGrpc/LaunchMultiTask";
    let head = [
        "Host: localhost",
        "Content-Type: application/grpc",
        "Content-Length: 0",
    ];
    let refused = request(&tasks, launch, &head)?;
    assert!(
        refused.starts_with("HTTP/1.1 415"),
        "{refused:?}\n{}",
        executor.said()
    );
    let refused = request(&data, "GET /api/executor", &["Host: evil.example"])?;
    assert!(refused.starts_with("HTTP/1.1 421"), "{refused}");
    for half in half {
        half.wait_until_closed()?;
    }
    for address in [&data, &tasks] {
        if let Some(answer) = asked_by_nobody(address)? {
            assert_eq!(answer, "");
        }
    }
    assert!(executor.runs()?, "{}", executor.said());
    Ok(())
}

#[test]
fn the_work_folder_is_the_executors_own_and_goes_with_it() -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let Some(binary) = scheduler_binary()? else {
        return Ok(());
    };
    let (schedulers, scheduler_port) = (Workspace::new(binary)?, free_port()?);
    let _scheduler = start_scheduler(&schedulers, scheduler_port)?;
    let mut workspace = Workspace::new(env!("CARGO_BIN_EXE_executor"))?;
    let temporary = workspace.path().join("tmp");
    std::fs::create_dir(&temporary)?;
    workspace.set("TMPDIR", temporary.display().to_string());
    let scheduler_port = scheduler_port.to_string();
    let (port, grpc_port) = (free_port()?.to_string(), free_port()?.to_string());
    let arguments = [
        "--scheduler-port",
        &scheduler_port,
        "--port",
        &port,
        "--grpc-port",
        &grpc_port,
    ];
    let folders = || -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&temporary)
            .into_iter()
            .flatten()
            .flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let executor = workspace.start(arguments)?;
    wait_for("its answer", || {
        http_get(&format!("127.0.0.1:{port}"), "/healthz")
    })?;
    let [first] = folders()
        .try_into()
        .map_err(|found| anyhow::anyhow!("{found:?}"))?;
    let name = first.file_name().unwrap_or_default().to_string_lossy();
    assert!(
        name.starts_with("spillway-executor-") && name.len() > 40,
        "{name}"
    );
    assert_eq!(first.metadata()?.permissions().mode() & 0o777, 0o700);
    // One that is killed leaves it to the next.
    executor.kill()?;
    assert_eq!(folders(), std::slice::from_ref(&first));
    let executor = workspace.start(arguments)?;
    wait_for("its answer", || {
        http_get(&format!("127.0.0.1:{port}"), "/healthz")
    })?;
    let [second] = folders()
        .try_into()
        .map_err(|found| anyhow::anyhow!("{found:?}"))?;
    assert_ne!(first, second);
    executor.signal("TERM")?;
    assert_eq!(executor.wait()?.code, Some(0));
    assert_eq!(folders(), Vec::<PathBuf>::new());
    Ok(())
}
