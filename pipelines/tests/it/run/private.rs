//! What a run keeps for itself is its user's alone; what it publishes is everybody's whom the umask lets.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use launchpad_fake::{Faults, Options};
use testkit::wait_for;

use super::launchpad::{Launchpad, run_year};

fn mode(path: &Path) -> anyhow::Result<u32> {
    let found = path
        .metadata()
        .with_context(|| path.display().to_string())?;
    Ok(found.permissions().mode() & 0o777)
}

/// The files below a folder, and the folders.
fn below(folder: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    let mut at = 0;
    while at < folders.len() {
        for entry in std::fs::read_dir(&folders[at])
            .into_iter()
            .flatten()
            .flatten()
        {
            match entry.path().is_dir() {
                true => folders.push(entry.path()),
                false => files.push(entry.path()),
            }
        }
        at += 1;
    }
    (files, folders)
}

#[test]
fn what_a_run_keeps_is_its_users_alone_and_its_table_is_not() -> anyhow::Result<()> {
    let server = Launchpad::start(Options {
        bugs: 25,
        faults: Faults {
            latency: Some(Duration::from_millis(2)),
            ..Faults::default()
        },
        ..Options::default()
    })?;
    let workspace = server.workspace()?;
    let state = workspace.path().join(".pipelines");
    let small = ["--extract-chunk-size", "2", "--max-concurrent-chunks", "1"];
    let is_chunk = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "parquet");
    let run = workspace.start(run_year(&small))?;
    wait_for("a chunk that landed", || {
        below(&state).0.iter().any(is_chunk).then_some(())
    })?;
    run.kill()?;
    let (files, folders) = below(&state);
    assert!(files.iter().any(is_chunk), "{files:?}");
    assert!(
        files.iter().any(|file| file.ends_with("state.db-wal")),
        "{files:?}"
    );
    // The engine makes what is below this one, in a folder that nobody else enters.
    let is_spill = |folder: &Path| folder.iter().any(|part| part == "spill");
    for folder in folders.iter().filter(|folder| !is_spill(folder)) {
        assert_eq!(mode(folder)?, 0o700, "{}", folder.display());
    }
    for file in files.iter().filter(|file| !is_spill(file)) {
        assert_eq!(mode(file)?, 0o600, "{}", file.display());
    }

    // As an older version left it.
    let store = state.join("state.db");
    std::fs::set_permissions(&store, std::fs::Permissions::from_mode(0o644))?;
    workspace.run(run_year(&small))?.expect(0, &[]);
    assert_eq!(mode(&store)?, 0o600);
    let (files, folders) = below(workspace.path());
    let staging = folders.iter().find(|folder| folder.ends_with("staging"));
    assert_eq!(mode(staging.context("no staging area")?)?, 0o700);
    let like = workspace.write("like", "")?;
    let published = files
        .iter()
        .filter(|file| is_chunk(file) && !file.starts_with(&state));
    let published: Vec<u32> = published.map(|file| mode(file)).collect::<Result<_, _>>()?;
    assert!(!published.is_empty());
    for found in published {
        assert_eq!(found, mode(&like)?);
    }
    Ok(())
}

#[test]
fn the_state_of_another_user_is_refused() -> anyhow::Result<()> {
    let workspace = super::launchpad::workspace()?;
    let state = workspace.path().join(".pipelines");
    std::fs::create_dir(&state)?;
    if std::os::unix::fs::chown(&state, Some(65_534), None).is_err() {
        eprintln!("SKIPPED: only root can give files away");
        return Ok(());
    }
    let refused = workspace.run(run_year(&[]))?;
    refused.expect(1, &[".pipelines", "belongs to user 65534"]);
    Ok(())
}
