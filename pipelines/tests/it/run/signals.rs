//! Stopping and going on: signals, `--resume`, `--restart`.

use std::time::Duration;

use anyhow::Context;
use launchpad_fake::{Faults, Options};
use rstest::rstest;
use testkit::{Child, Folder, Outcome, Workspace, wait_for};

use super::launchpad::{Launchpad, assert_untouched, run_between, run_year};
use super::published::{assert_same, events};

/// So that something lands before the end.
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

/// Starts a run and waits until the first chunk of its records has landed.
fn started(workspace: &Workspace) -> anyhow::Result<Child> {
    let child = workspace.start(run_year(&SMALL_CHUNKS))?;
    let runs = workspace.path().join(".pipelines/runs");
    wait_for("a landed chunk", || {
        // Files come and go while they are looked at.
        let folder = Folder::of(&runs).ok()?;
        folder
            .files()
            .any(|(path, _)| path.ends_with(".parquet"))
            .then_some(())
    })?;
    Ok(child)
}

/// Starts a run and stops it in the middle.
fn stopped(workspace: &Workspace, signal: &str) -> anyhow::Result<Outcome> {
    let child = started(workspace)?;
    child.signal(signal)?;
    child.wait()
}

fn run_of(outcome: &Outcome) -> anyhow::Result<&str> {
    run_in(&outcome.stderr).with_context(|| outcome.all())
}

/// The id of the run that said this.
pub(super) fn run_in(said: &str) -> Option<&str> {
    said.strip_prefix("run ")?.split(' ').next()
}

#[rstest]
#[case::ctrl_c("INT", 130)]
#[case::sigterm("TERM", 143)]
fn the_first_signal_stops_cleanly_and_the_same_command_goes_on(
    #[case] signal: &str,
    #[case] code: i32,
) -> anyhow::Result<()> {
    let server = server(10)?;
    let (workspace, before) = server.published_month()?;
    let outcome = stopped(&workspace, signal)?;
    outcome.expect(
        code,
        &[
            "stopping cleanly",
            "nothing was published",
            "run the same command again",
        ],
    );
    assert_untouched(&workspace, &before)?;
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
    assert_same(
        &events(&workspace.path().join("events"))?,
        &events(&fresh.path().join("events"))?,
    );
    Ok(())
}

#[test]
fn the_second_signal_stops_at_once_and_the_run_still_goes_on() -> anyhow::Result<()> {
    let server = server(10)?;
    let workspace = server.workspace()?;
    let child = started(&workspace)?;
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

    let outcome = stopped(&workspace, "TERM")?;
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
    let outcome = stopped(&second, "TERM")?;
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

#[test]
fn another_process_cancels_a_run_and_the_same_command_goes_on() -> anyhow::Result<()> {
    // So slow that the run has not published before it looks for the request.
    let server = server(100)?;
    let (workspace, before) = server.published_month()?;
    let child = started(&workspace)?;
    let run = run_in(&child.said()).map(str::to_owned);
    let run = run.with_context(|| child.said())?;
    workspace
        .run(["cancel", &run])?
        .expect(0, &["asked process", &format!("run {run} is cancelled")]);
    let stopped = child.wait()?;
    stopped.expect(143, &["nothing was published"]);
    assert_untouched(&workspace, &before)?;
    workspace
        .run(["cancel", &run])?
        .expect(1, &["is not running any more", "cancelled"]);
    workspace
        .run(["cancel", "ffff"])?
        .expect(1, &["no run matches `ffff`"]);
    workspace
        .run(run_year(&SMALL_CHUNKS))?
        .expect(0, &["attempt 2", &run]);
    Ok(())
}

#[test]
fn a_run_whose_process_died_is_cancelled_too() -> anyhow::Result<()> {
    let server = server(10)?;
    let workspace = server.workspace()?;
    let killed = started(&workspace)?.kill()?;
    let run = run_of(&killed)?;
    workspace
        .run(["cancel", run])?
        .expect(0, &[&format!("run {run} is cancelled")]);
    workspace
        .run(["runs", "--state", "cancelled"])?
        .expect(0, &["launchpad_bugs"]);
    workspace
        .run(run_year(&SMALL_CHUNKS))?
        .expect(0, &["attempt 3", run]);
    Ok(())
}
