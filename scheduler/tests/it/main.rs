//! The scheduler as a process: it starts, answers, and stops when it is told to.

mod ports;
mod upstream;

use testkit::certificates::{Authority, NAME};
use testkit::cluster::http_get;
use testkit::{Child, Workspace, wait_for};

/// The address that the scheduler says it listens on.
fn address(scheduler: &Child) -> anyhow::Result<String> {
    after(scheduler, "scheduler listens")
}

/// The address that the scheduler says with these words.
fn after(scheduler: &Child, words: &str) -> anyhow::Result<String> {
    wait_for(words, || {
        let said = scheduler.said();
        let line = said.lines().find(|line| line.contains(words))?;
        Some(String::from(line.split_once("address=")?.1.trim()))
    })
}

fn arguments(work_dir: &Workspace) -> [String; 4] {
    [
        "--bind",
        "127.0.0.1:0",
        "--work-dir",
        &work_dir.path().join("work").display().to_string(),
    ]
    .map(String::from)
}

#[test]
fn scheduler_answers_and_stops_cleanly_on_sigterm() {
    let workspace = Workspace::new(env!("CARGO_BIN_EXE_scheduler")).unwrap();
    let mut scheduler = workspace.start(arguments(&workspace)).unwrap();
    let address = address(&scheduler).unwrap();

    let health = wait_for("/healthz", || http_get(&address, "/healthz")).unwrap();
    assert_eq!(health, "ok");
    assert_eq!(http_get(&address, "/api/executors").as_deref(), Some("[]"));
    assert_eq!(
        http_get(&address, "/readyz"),
        None,
        "ready without an executor"
    );
    let metrics = http_get(&address, "/metrics").unwrap();
    assert!(
        metrics.contains("\nspillway_scheduler_executors 0\n"),
        "{metrics}"
    );
    let scaling = http_get(&address, "/api/scaling").unwrap();
    assert!(scaling.contains("\"vcores_wanted\":0"), "{scaling}");
    let healthy = workspace.run(["--bind", &address, "healthcheck"]).unwrap();
    healthy.expect(0, &[]);
    assert!(scheduler.runs().unwrap());

    scheduler.signal("TERM").unwrap();
    let ended = scheduler.wait().unwrap();
    assert_eq!(ended.code, Some(0), "{}", ended.all());
    let gone = workspace.run(["--bind", &address, "healthcheck"]).unwrap();
    gone.expect(1, &["does not answer"]);
}

#[test]
fn scheduler_says_which_address_is_taken() {
    let workspace = Workspace::new(env!("CARGO_BIN_EXE_scheduler")).unwrap();
    let first = workspace.start(arguments(&workspace)).unwrap();
    let taken = address(&first).unwrap();
    let second = workspace.run(["--bind", &taken]).unwrap();
    assert_eq!(second.code, Some(1), "{}", second.all());
    assert!(
        second.stderr.contains(&format!("cannot listen on {taken}")),
        "{}",
        second.all()
    );
}

#[test]
fn scheduler_listens_to_other_machines_only_if_it_is_told_that_they_are_trusted() {
    let workspace = Workspace::new(env!("CARGO_BIN_EXE_scheduler")).unwrap();
    let refused = workspace.run(["--bind", "0.0.0.0:0", "--work-dir", "work"]);
    refused.unwrap().expect(
        1,
        &["0.0.0.0 can be reached from other machines", "--insecure"],
    );
    let arguments = ["--bind", "0.0.0.0:0", "--work-dir", "work", "--insecure"];
    let scheduler = workspace.start(arguments).unwrap();
    assert!(address(&scheduler).unwrap().starts_with("0.0.0.0:"));
}

#[test]
fn scheduler_with_certificates_answers_members_only() -> anyhow::Result<()> {
    let mut workspace = Workspace::new(env!("CARGO_BIN_EXE_scheduler"))?;
    let (ours, foreign) = (Authority::new()?, Authority::new()?);
    let folder = workspace.path().join("certificates");
    ours.issue(&folder, NAME)?;
    workspace.set("SCHEDULER_TLS", folder.display().to_string());
    // On an address that others reach, too.
    let anybody = ["--metrics-bind", "127.0.0.1:0"];
    let arguments = ["--bind", "0.0.0.0:0", "--work-dir", "work"];
    let scheduler = workspace.start(arguments.into_iter().chain(anybody))?;
    let port = address(&scheduler)?.rsplit(':').next().unwrap().to_owned();
    let bind = format!("127.0.0.1:{port}");
    let question = ["--bind", &bind, "healthcheck"];
    wait_for("an answer for a member", || {
        (workspace.run(question).ok()?.code == Some(0)).then_some(())
    })?;

    assert_eq!(http_get(&bind, "/healthz"), None, "it answers strangers");
    let numbers = after(&scheduler, "numbers are at")?;
    let metrics = http_get(&numbers, "/metrics").unwrap_or_default();
    assert!(
        metrics.contains("\nspillway_scheduler_executors 0\n"),
        "{metrics}"
    );
    assert_eq!(http_get(&numbers, "/api/executors"), None);
    let stranger = Workspace::new(env!("CARGO_BIN_EXE_scheduler"))?;
    stranger
        .run(question)?
        .expect(1, &["does not answer", "asks for certificates"]);
    let elsewhere = stranger.path().join("certificates");
    foreign.issue(&elsewhere, NAME)?;
    let elsewhere = elsewhere.display().to_string();
    let question = ["--bind", &bind, "--tls", &elsewhere, "healthcheck"];
    stranger.run(question)?.expect(1, &["UnknownIssuer"]);
    // Who knows the authority has no certificate of it yet.
    std::fs::copy(
        folder.join("ca.crt"),
        stranger.path().join("certificates/ca.crt"),
    )?;
    stranger
        .run(question)?
        .expect(1, &["tls.crt", "UnknownIssuer"]);
    Ok(())
}
