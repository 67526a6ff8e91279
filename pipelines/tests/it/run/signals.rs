//! Stopping and going on: signals, `--resume`, `--restart`.

use std::time::Duration;

use anyhow::Context;
use rstest::rstest;
use standin::{Faults, Options};
use testkit::{Child, Folder, Outcome, Workspace, wait_for};

use super::launchpad::{Launchpad, run_between, run_year};
use super::published::{assert_same, events};

const SMALL_CHUNKS: [&str; 2] = ["--extract-chunk-size", "2"];

fn server(latency: u64) -> anyhow::Result<Launchpad> {
    let faults = Faults {
        latency: Some(Duration::from_millis(latency)),
        ..Faults::default()
    };
    Launchpad::start(Options {
        bugs: 20,
        faults,
        ..Options::default()
    })
}

/// Starts a run and waits until so many requests were made.
fn started(server: &Launchpad, workspace: &Workspace, requests: u64) -> anyhow::Result<Child> {
    let before = server.requests();
    let child = workspace.start(run_year(&SMALL_CHUNKS))?;
    wait_for("requests", || {
        (server.requests() - before >= requests).then_some(())
    })?;
    Ok(child)
}

/// Starts a run and stops it in the middle.
fn stopped(server: &Launchpad, workspace: &Workspace, signal: &str) -> anyhow::Result<Outcome> {
    let child = started(server, workspace, 30)?;
    child.signal(signal)?;
    child.wait()
}

fn run_of(outcome: &Outcome) -> anyhow::Result<&str> {
    outcome
        .stderr
        .strip_prefix("run ")
        .and_then(|rest| rest.split(' ').next())
        .with_context(|| outcome.all())
}

#[rstest]
#[case::ctrl_c("INT", 130)]
#[case::sigterm("TERM", 143)]
fn the_first_signal_stops_cleanly_and_the_same_command_goes_on(
    #[case] signal: &str,
    #[case] code: i32,
) -> anyhow::Result<()> {
    let server = server(10)?;
    let workspace = server.workspace()?;
    workspace
        .run(run_between("2025-01-01", "2025-02-01", &[]))?
        .expect(0, &[]);
    let table = workspace.path().join("events");
    let before = Folder::of(&table)?;
    let outcome = stopped(&server, &workspace, signal)?;
    outcome.expect(
        code,
        &[
            "stopping cleanly",
            "nothing was published",
            "run the same command again",
        ],
    );
    assert_eq!(before.changes(&Folder::of(&table)?), [] as [String; 0]);
    workspace
        .run(["runs", "--state", "cancelled"])?
        .expect(0, &["launchpad_bugs", "cancelled"]);

    let run = run_of(&outcome)?.to_owned();
    let again = workspace.run(run_year(&SMALL_CHUNKS))?;
    again.expect(
        0,
        &[
            "attempt 2",
            "landed by an earlier attempt",
            &format!("run {run}"),
        ],
    );
    let fresh = server.workspace()?;
    fresh.run(run_year(&[]))?.expect(0, &[]);
    assert_same(&events(&table)?, &events(&fresh.path().join("events"))?);
    Ok(())
}

#[test]
fn the_second_signal_stops_at_once_and_the_run_still_goes_on() -> anyhow::Result<()> {
    let server = server(10)?;
    let workspace = server.workspace()?;
    let child = started(&server, &workspace, 30)?;
    // Both wait for the process when it wakes up, so the second is there before the clean stop is over.
    child.signal("STOP")?;
    child.signal("INT")?;
    child.signal("TERM")?;
    child.signal("CONT")?;
    let outcome = child.wait()?;
    assert!(matches!(outcome.code, Some(130 | 143)), "{}", outcome.all());
    assert!(
        outcome.stderr.contains("stopped at once"),
        "{}",
        outcome.all()
    );
    assert!(Folder::of(&workspace.path().join("events"))?.is_empty());
    workspace
        .run(run_year(&SMALL_CHUNKS))?
        .expect(0, &["attempt 2"]);
    Ok(())
}

#[test]
fn a_run_is_resumed_by_its_id_and_begun_anew_on_request() -> anyhow::Result<()> {
    let server = server(4)?;
    let workspace = server.workspace()?;
    let (fresh, asked) = (server.workspace()?, server.requests());
    fresh.run(run_year(&[]))?.expect(0, &[]);
    let whole = server.requests() - asked;

    let outcome = stopped(&server, &workspace, "TERM")?;
    let run = run_of(&outcome)?;
    let beginning = &run[..run.len() - 4];
    let other = run_between("2025-01-01", "2025-02-01", &["--resume", beginning]);
    workspace.run(other)?.expect(3, &[run, "other parameters"]);
    workspace
        .run(run_year(&["--resume", "ffff"]))?
        .expect(1, &["no run matches `ffff`"]);
    let asked = server.requests();
    workspace
        .run(run_year(&["--resume", beginning]))?
        .expect(0, &["attempt 2", run]);
    assert!(server.requests() - asked < whole);
    workspace
        .run(run_year(&["--resume", beginning]))?
        .expect(1, &[run, "cannot be resumed", "has published"]);

    let second = server.workspace()?;
    let outcome = stopped(&server, &second, "TERM")?;
    let asked = server.requests();
    let anew = second.run(run_year(&["--restart"]))?;
    anew.expect(0, &[]);
    assert!(
        !anew.stderr.contains("attempt") && run_of(&anew)? != run_of(&outcome)?,
        "{}",
        anew.all()
    );
    assert_eq!(server.requests() - asked, whole);
    assert_same(
        &events(&second.path().join("events"))?,
        &events(&workspace.path().join("events"))?,
    );
    Ok(())
}
