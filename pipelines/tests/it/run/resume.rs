//! Runs that were killed: whatever the moment, asking again ends in the table of an undisturbed run.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use launchpad_fake::{Faults, Options};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use testkit::{Child, Folder, Workspace};

use super::launchpad::{Launchpad, run_between, run_year};
use super::published::{assert_same, contents, events};

/// One after the other, so that the ledger follows the records closely.
const SMALL_CHUNKS: [&str; 4] = ["--extract-chunk-size", "2", "--max-concurrent-chunks", "1"];

/// A server that is slow enough for a moment of a run to be met.
fn slow() -> anyhow::Result<Launchpad> {
    let faults = Faults {
        latency: Some(Duration::from_millis(2)),
        ..Faults::default()
    };
    Launchpad::start(Options {
        bugs: 25,
        faults,
        ..Options::default()
    })
}

/// Waits until `reached`; false when the process ended before.
fn until(child: &mut Child, mut reached: impl FnMut() -> bool) -> anyhow::Result<bool> {
    loop {
        if reached() {
            return Ok(true);
        }
        if !child.runs()? {
            return Ok(false);
        }
        std::thread::park_timeout(Duration::from_micros(300));
    }
}

/// How many files there are below a folder.
fn count(folder: &Path) -> usize {
    let Ok(items) = std::fs::read_dir(folder) else {
        return 0;
    };
    items
        .filter_map(Result::ok)
        .map(|item| {
            if item.path().is_dir() {
                count(&item.path())
            } else {
                1
            }
        })
        .sum()
}

#[test]
fn a_run_killed_at_any_moment_of_its_extraction_goes_on_and_asks_for_less() -> anyhow::Result<()> {
    let server = slow()?;
    let undisturbed = server.workspace()?;
    undisturbed.run(run_year(&SMALL_CHUNKS))?.expect(0, &[]);
    let (whole, table) = (server.requests(), undisturbed.path().join("events"));
    let (expected, bytes) = (events(&table)?, contents(&table)?);

    let mut random = ChaCha8Rng::seed_from_u64(20);
    let (mut killed, mut kept) = (0, 0);
    for round in 0..12 {
        let workspace = server.workspace()?;
        let (before, after) = (server.requests(), random.random_range(1..whole));
        let mut child = workspace.start(run_year(&SMALL_CHUNKS))?;
        until(&mut child, || server.requests() - before >= after)?;
        killed += usize::from(child.kill()?.code.is_none());
        // Every third run is killed once more, soon after it went on.
        if round % 3 == 0 {
            let before = server.requests();
            let mut child = workspace.start(run_year(&SMALL_CHUNKS))?;
            until(&mut child, || server.requests() - before >= 5)?;
            child.kill()?;
        }
        let table = workspace.path().join("events");
        let landed = landed(&workspace)?;
        let before = server.requests();
        let outcome = workspace.run(run_year(&SMALL_CHUNKS))?;
        outcome.expect(0, &[]);
        let asked = server.requests() - before;
        if landed > 0 {
            kept += 1;
            let attempt = if round % 3 == 0 {
                "attempt 3"
            } else {
                "attempt 2"
            };
            outcome.expect(0, &[attempt, "landed by an earlier attempt"]);
            assert!(
                asked < whole,
                "{landed} chunks had landed, yet it asked {asked} of {whole}: {}",
                outcome.all()
            );
        }
        assert_same(&events(&table)?, &expected);
        assert!(
            contents(&table)? == bytes,
            "killed after {after} of {whole} requests: the same rows in other bytes"
        );
    }
    assert!(killed >= 10, "only {killed} of 12 were still running");
    assert!(kept >= 3, "only {kept} of 12 had something to go on from");
    Ok(())
}

#[test]
fn a_chunk_that_is_whole_is_in_the_ledger_whether_or_not_another_follows() -> anyhow::Result<()> {
    let mut server = slow()?;
    let workspace = server.workspace()?;
    // As many chunks at once as by default.
    let mut child = workspace.start(run_year(&["--extract-chunk-size", "2"]))?;
    let runs = workspace.path().join(".pipelines/runs");
    assert!(
        until(&mut child, || count_of(&runs, ".parquet") >= 3)?,
        "it ended before"
    );
    // From now on nothing arrives, and a kill would come at a moment like any other.
    let faults = Faults {
        latency: Some(Duration::from_secs(600)),
        ..Faults::default()
    };
    server.restart(Options {
        bugs: 25,
        faults,
        ..Options::default()
    })?;
    let mut seen = Vec::new();
    for _ in 0..40 {
        let whole = count_of(&runs, ".parquet");
        let entered = landed(&workspace)?;
        assert!(child.runs()?, "it ended while it was looked at");
        if entered >= whole {
            return Ok(());
        }
        seen.push((entered, whole));
    }
    assert!(
        seen.is_empty(),
        "chunks in the ledger and whole ones: {seen:?}"
    );
    Ok(())
}

fn count_of(folder: &Path, ending: &str) -> usize {
    Folder::of(folder).map_or(0, |folder| {
        folder
            .files()
            .filter(|(path, _)| path.ends_with(ending))
            .count()
    })
}

/// How many chunks the ledger of the newest run has.
fn landed(workspace: &Workspace) -> anyhow::Result<usize> {
    let runs = serde_json::from_str::<serde_json::Value>(
        &workspace.run(["runs", "--output", "json"])?.stdout,
    )?;
    let Some(id) = runs[0]["id"].as_str() else {
        return Ok(0);
    };
    let shown = workspace.run(["runs", "show", id, "--output", "json"])?;
    let shown: serde_json::Value =
        serde_json::from_str(&shown.stdout).with_context(|| shown.all())?;
    Ok(shown["ledger"].as_array().map_or(0, |sources| {
        sources
            .iter()
            .filter_map(|source| source["entries"].as_array())
            .map(Vec::len)
            .sum()
    }))
}

#[test]
fn a_run_killed_while_it_writes_or_publishes_leaves_the_old_table_or_the_new_one()
-> anyhow::Result<()> {
    let server = slow()?;
    let half = || -> anyhow::Result<Workspace> {
        let workspace = server.workspace()?;
        workspace
            .run(run_between("2025-01-01", "2025-06-15", &[]))?
            .expect(0, &[]);
        Ok(workspace)
    };
    let undisturbed = half()?;
    let asked = server.requests();
    undisturbed.run(run_year(&[]))?.expect(0, &[]);
    let (whole, table) = (server.requests() - asked, undisturbed.path().join("events"));
    let (expected, bytes) = (events(&table)?, contents(&table)?);

    type Moment<'a> = (&'a str, Box<dyn Fn(&Path, usize) -> bool>);
    let control = |path: &Path, name: &str| path.join(".events.spillway").join(name);
    let moments: [Moment<'_>; 8] = [
        (
            "the first staged file",
            Box::new(move |path, _| count(&control(path, "staging")) > 0),
        ),
        (
            "the fifth staged file",
            Box::new(move |path, _| count(&control(path, "staging")) > 4),
        ),
        (
            "the twelfth staged file",
            Box::new(move |path, _| count(&control(path, "staging")) > 11),
        ),
        (
            "the intent",
            Box::new(move |path, _| count(&control(path, "intents")) > 0),
        ),
        (
            "the decision",
            Box::new(move |path, _| control(path, "commits/00000002.json").exists()),
        ),
        (
            "the first published file",
            Box::new(|path, before| count(&path.join("events")) > before),
        ),
        (
            "the fifth published file",
            Box::new(|path, before| count(&path.join("events")) > before + 4),
        ),
        (
            "the end of the commit",
            Box::new(move |path, _| control(path, "commits/00000002.done").exists()),
        ),
    ];
    let mut killed = 0;
    for (moment, reached) in moments {
        let workspace = half()?;
        let (path, table) = (workspace.path(), workspace.path().join("events"));
        let (before, asked) = (Folder::of(&table)?, server.requests());
        let mut child = workspace.start(run_year(&[]))?;
        // The last part of a run is short: it is looked at without a pause.
        until(&mut child, || server.requests() - asked >= whole)?;
        while !reached(path, before.len()) && child.runs()? {
            std::thread::yield_now();
        }
        killed += usize::from(child.kill()?.code.is_none());
        if !control(path, "commits/00000002.json").exists() {
            assert_eq!(
                before.changes(&Folder::of(&table)?),
                [] as [String; 0],
                "killed at {moment}"
            );
        }
        let asked = server.requests();
        workspace.run(run_year(&[]))?.expect(0, &[]);
        assert_same(&events(&table)?, &expected);
        assert!(
            contents(&table)? == bytes,
            "killed at {moment}: the same rows in other bytes"
        );
        let again = server.requests() - asked;
        assert!(
            again <= whole,
            "killed at {moment}: {again} requests, {whole} are enough"
        );
        assert_eq!(
            count(&control(path, "staging")),
            0,
            "killed at {moment}: leftovers in staging"
        );
        let leftovers = std::fs::read_dir(path.join(".pipelines/runs"))?.count();
        assert_eq!(
            leftovers, 0,
            "killed at {moment}: landed records of a run that has published"
        );
    }
    assert!(killed >= 5, "only {killed} of 8 were still running");
    Ok(())
}
