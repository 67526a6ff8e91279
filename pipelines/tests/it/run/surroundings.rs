//! Surroundings that fail: folders that cannot be written, full disks, other runs, a damaged state file.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use launchpad_fake::{Faults, Options};
use rstest::rstest;
use testkit::{Folder, wait_for};

use super::launchpad::{Launchpad, assert_untouched, run_between, run_year};
use super::published::{assert_same, events};

#[rstest]
#[case::below_a_file("blocked/events/", "blocked")]
#[case::in_a_system_of_the_kernel("/proc/spillway/events/", "/proc/spillway")]
fn an_output_that_cannot_be_written_is_refused_before_the_server_is_asked(
    #[case] place: &str,
    #[case] named: &str,
) -> anyhow::Result<()> {
    let server = Launchpad::with_bugs(15)?;
    let (workspace, before) = server.published_month()?;
    workspace.write("blocked", "a file")?;
    let asked = server.requests();
    let outcome = workspace.run(run_year(&["--set", &format!("destination={place}")]))?;
    outcome.expect(1, &["the output", named, "cannot be written"]);
    assert_eq!(server.requests(), asked, "{}", outcome.all());
    assert_eq!(
        std::fs::read_to_string(workspace.path().join("blocked"))?,
        "a file"
    );
    assert_untouched(&workspace, &before)
}

#[test]
fn a_state_folder_that_cannot_be_made_is_named() -> anyhow::Result<()> {
    let server = Launchpad::with_bugs(15)?;
    let (workspace, before) = server.published_month()?;
    workspace.write("blocked", "a file")?;
    let asked = server.requests();
    workspace
        .run(run_year(&["--state-dir", "blocked/state"]))?
        .expect(1, &["state folder", "blocked/state"]);
    assert_eq!(server.requests(), asked);
    assert_untouched(&workspace, &before)
}

/// A file system of its own that is unmounted at the end.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// A disk of so many KiB; `None`, after saying so, where none can be mounted.
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    fn of(kibibytes: u32) -> anyhow::Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let size = format!("size={kibibytes}k");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder.path())
            .output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Ok(Some(Self { folder }));
        }
        eprintln!("SKIPPED: no tmpfs can be mounted here");
        Ok(None)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes up all but so many KiB with a file, whose path is returned.
    fn fill(&self, kibibytes: u32) -> anyhow::Result<PathBuf> {
        let path = self.path().join("filler");
        let script = format!(
            "head -c $((($(stat -f -c %a .) * $(stat -f -c %S .)) - {kibibytes} * 1024)) /dev/zero > filler"
        );
        let filled = Command::new("sh")
            .args(["-c", &script])
            .current_dir(self.path())
            .status()?;
        ensure!(filled.success(), "cannot fill {}", self.path().display());
        Ok(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.path()).status());
    }
}

#[test]
fn a_disk_that_is_full_while_the_table_is_written_leaves_it_as_it_was() -> anyhow::Result<()> {
    let Some(disk) = SmallDisk::of(4096)? else {
        return Ok(());
    };
    let server = Launchpad::with_bugs(60)?;
    let workspace = server.workspace()?;
    let table = disk.path().join("events");
    let destination = format!("destination={}/", table.display());
    workspace
        .run(run_between(
            "2025-01-01",
            "2025-02-01",
            &["--set", &destination],
        ))?
        .expect(0, &[]);
    let (before, control) = (
        Folder::of(&table)?,
        disk.path().join(".events.spillway/staging"),
    );
    let filler = disk.fill(100)?;
    let outcome = workspace.run(run_year(&["--set", &destination]))?;
    outcome.expect(8, &["space", "--state-dir", "run the same command again"]);
    assert_eq!(before.changes(&Folder::of(&table)?), [] as [String; 0]);
    assert!(
        Folder::of(&control)?.is_empty(),
        "staging still takes up the full disk: {:?}",
        Folder::of(&control)?
    );

    std::fs::remove_file(filler)?;
    let asked = server.requests();
    workspace
        .run(run_year(&["--set", &destination]))?
        .expect(0, &["attempt 2", "landed by an earlier attempt"]);
    assert!(
        server.requests() - asked < 10,
        "what had landed was asked for again: {:?}",
        server.stats()
    );
    let fresh = server.workspace()?;
    fresh.run(run_year(&[]))?.expect(0, &[]);
    assert_same(&events(&table)?, &events(&fresh.path().join("events"))?);
    Ok(())
}

#[rstest]
#[case::with_room_for_the_store_only(600)]
#[case::with_room_for_some_chunks(1000)]
#[case::with_no_room(16)]
fn a_disk_that_is_full_while_records_land_leaves_the_table_as_it_was(
    #[case] kibibytes: u32,
) -> anyhow::Result<()> {
    let Some(disk) = SmallDisk::of(8192)? else {
        return Ok(());
    };
    let server = Launchpad::with_bugs(120)?;
    let (workspace, before) = server.published_month()?;
    let state = disk.path().join("state");
    let state = state.to_str().context("a path that is no text")?;
    let run = run_year(&[
        "--state-dir",
        state,
        "--extract-chunk-size",
        "5",
        "--set",
        "actors=everyone",
    ]);
    let filler = disk.fill(kibibytes)?;
    let outcome = workspace.run(&run)?;
    outcome.expect(8, &["space", "--state-dir"]);
    assert!(
        !outcome.stderr.contains("fault in the program"),
        "{}",
        outcome.all()
    );
    assert_untouched(&workspace, &before)?;

    std::fs::remove_file(filler)?;
    workspace.run(&run)?.expect(0, &[]);
    let fresh = server.workspace()?;
    fresh
        .run(run_year(&["--set", "actors=everyone"]))?
        .expect(0, &[]);
    assert_same(
        &events(&workspace.path().join("events"))?,
        &events(&fresh.path().join("events"))?,
    );
    Ok(())
}

fn slow() -> anyhow::Result<Launchpad> {
    let faults = Faults {
        latency: Some(Duration::from_millis(25)),
        ..Faults::default()
    };
    Launchpad::start(Options {
        bugs: 20,
        faults,
        ..Options::default()
    })
}

#[test]
fn a_second_run_of_the_pipeline_is_refused_while_the_first_one_lives() -> anyhow::Result<()> {
    let server = slow()?;
    let (workspace, before) = server.published_month()?;
    let asked = server.requests();
    let first = workspace.start(run_year(&[]))?;
    wait_for("the first run's requests", || {
        (server.requests() > asked + 4).then_some(())
    })?;
    // The very same request, another one of the same pipeline, and one that insists.
    for second in [
        run_year(&[]),
        run_between("2025-03-01", "2025-04-01", &[]),
        run_year(&["--restart"]),
    ] {
        let outcome = workspace.run(&second)?;
        outcome.expect(
            7,
            &[
                "launchpad_bugs is already running",
                &first.id().to_string(),
                "wait for it or stop it",
            ],
        );
        assert_untouched(&workspace, &before)?;
    }
    first.wait()?.expect(0, &[]);
    assert!(events(&workspace.path().join("events"))?.len() > 20);
    Ok(())
}

#[test]
fn a_second_writer_of_the_table_is_refused_while_the_first_one_lives() -> anyhow::Result<()> {
    let server = slow()?;
    let (workspace, before) = server.published_month()?;
    let asked = server.requests();
    let first = workspace.start(run_year(&[]))?;
    wait_for("the first run's requests", || {
        (server.requests() > asked + 4).then_some(())
    })?;
    let outcome = workspace.run(run_year(&["--state-dir", "elsewhere"]))?;
    outcome.expect(7, &["is being written by", "wait for it to end"]);
    assert_untouched(&workspace, &before)?;
    first.wait()?.expect(0, &[]);
    workspace
        .run(run_year(&["--state-dir", "elsewhere"]))?
        .expect(0, &["nothing changed"]);
    Ok(())
}

#[rstest]
#[case::garbage(b"this is no database, whatever its name says; ".repeat(200))]
#[case::cut_short(b"SQLite format 3\0".to_vec())]
fn a_damaged_state_file_is_told_and_the_advice_helps(
    #[case] content: Vec<u8>,
) -> anyhow::Result<()> {
    let server = Launchpad::with_bugs(15)?;
    let (workspace, before) = server.published_month()?;
    let state = workspace.path().join(".pipelines/state.db");
    std::fs::write(&state, content)?;
    for log in ["state.db-wal", "state.db-shm"] {
        drop(std::fs::remove_file(
            workspace.path().join(".pipelines").join(log),
        ));
    }
    let asked = server.requests();
    for command in [run_year(&[]), vec!["runs"]] {
        let outcome = workspace.run(&command)?;
        outcome.expect(
            1,
            &[
                "state.db is damaged",
                "published tables are not affected",
                "mkdir -p",
                "mv ",
            ],
        );
        assert_untouched(&workspace, &before)?;
    }
    assert_eq!(server.requests(), asked);

    let said = workspace.run(["runs"])?.stderr;
    let advice = said
        .lines()
        .find_map(|line| line.find("mkdir -p").map(|start| &line[start..]))
        .context("no advice")?;
    let advice = advice.split(": ").next().unwrap_or(advice);
    let followed = Command::new("sh")
        .args(["-c", advice])
        .current_dir(workspace.path())
        .status()?;
    assert!(followed.success(), "{advice}");
    workspace.run(run_year(&[]))?.expect(0, &[]);
    Ok(())
}
