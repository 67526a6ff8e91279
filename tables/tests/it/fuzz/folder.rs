//! A table in a folder, with a victim beside it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use tables::PublishMode;
use tempfile::TempDir;

use super::mutate::{self, NAMES};
use super::{Answers, Budget, operate};
use crate::faulty::{Fault, faulty};
use crate::lake::{FIRST, SECOND};
use crate::support::{TestResult, control, files_below, info, run, table_at};

pub(super) async fn fuzz(budget: &Budget) -> TestResult {
    let home = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new())?;
    let home = fs::canonicalize(home.path())?.join("fuzz");
    let prepared = home.join("prepared");
    prepare(&prepared).await?;
    let mut answers = Answers::default();
    let mut count = 0;
    for (seed, mut random) in budget.rounds() {
        let place = home.join("round");
        copy(&prepared, &place)?;
        let changes = change(&mut random, &place)?;
        let folder = place.join("t");
        let (victim, log) = (seen(&place.join("victim")), records(&folder));
        let context = format!("SPILLWAY_FUZZ_SEED={seed}: {changes:?}");
        operate(|| table_at(&folder), &mut answers)
            .await
            .map_err(|error| format!("{context}: {error}"))?;
        assert_eq!(seen(&place.join("victim")), victim, "{context}");
        let left = records(&folder);
        let lost = log.iter().find(|name| !left.contains(name));
        assert_eq!(lost, None, "{context}: the log was erased");
        fs::remove_dir_all(&place)?;
        count += 1;
    }
    fs::remove_dir_all(&home)?;
    answers.say("control files", count);
    Ok(())
}

/// A table with a commit that was decided and not finished, and a run that announced itself.
async fn prepare(place: &Path) -> TestResult {
    let folder = place.join("t");
    fs::create_dir_all(place.join("victim/city=a"))?;
    fs::write(place.join("victim/kept"), "a file of somebody else")?;
    let data = "victim/city=a/part-00000-0123456789ab.parquet";
    fs::write(place.join(data), "and a table of somebody else")?;
    let table = table_at(&folder)?;
    for (number, mode) in [PublishMode::Overwrite, PublishMode::Append]
        .iter()
        .enumerate()
    {
        let run_id = format!("run-{number}");
        run(&table, &run_id, *mode, &FIRST, info(1)).await?;
    }
    let intent = |folder: &Path| fs::read_dir(control(folder).join("intents"));
    let mut at = 1;
    // Killed as late as it leaves its commit unfinished.
    let done = control(&folder).join("commits/00000003.done");
    let decided = control(&folder).join("commits/00000003.json");
    while !decided.exists() {
        let (table, _) = faulty(&folder, at, Fault::Killed)?;
        let run = run(&table, "run-3", PublishMode::Merge, &SECOND, info(3)).await;
        assert!(run.is_err() && !done.exists(), "killed at {at}");
        at += 1;
    }
    for entry in intent(&folder)? {
        let entry = entry?;
        let content = fs::read_to_string(entry.path())?;
        let own = entry.file_name().to_string_lossy().replace(".json", "");
        let other = entry.path().with_file_name("0123456789ab.json");
        fs::write(other, content.replace(&own, "0123456789ab"))?;
    }
    let left = control(&folder).join("staging/0123456789ab/rows/city=Ghent");
    fs::create_dir_all(&left)?;
    fs::write(left.join("part-00000-0123456789ab.parquet"), "left")?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> TestResult {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let copied = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &copied)?;
        } else {
            fs::copy(entry.path(), copied)?;
        }
    }
    Ok(())
}

fn records(folder: &Path) -> Vec<String> {
    let mut names = files_below(&control(folder).join("commits"));
    names.retain(|name| name.ends_with(".json"));
    names
}

fn seen(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    files_below(folder)
        .into_iter()
        .map(|name| {
            (
                name.clone(),
                fs::read(folder.join(name)).unwrap_or_default(),
            )
        })
        .collect()
}

/// One to three changes, and what they were.
fn change(random: &mut ChaCha8Rng, place: &Path) -> TestResult<Vec<String>> {
    let folder = control(&place.join("t"));
    let mut done = Vec::new();
    for _ in 0..random.random_range(1..=3) {
        let names: Vec<String> = files_below(&folder)
            .into_iter()
            .filter(|name| name.ends_with(".json"))
            .collect();
        let contents: Vec<Vec<u8>> = names
            .iter()
            .filter_map(|name| fs::read(folder.join(name)).ok())
            .collect();
        let Some(name) = names.choose(random) else {
            continue;
        };
        let path = folder.join(name);
        match random.random_range(0..16) {
            0 => {
                fs::remove_file(&path)?;
                done.push(format!("{name} is gone"));
            }
            1 | 2 => {
                let other = NAMES.choose(random).copied().unwrap_or_default();
                let other_path = folder.join(other);
                if let Some(parent) = other_path.parent() {
                    drop(fs::create_dir_all(parent));
                }
                // Some names are of a folder by now.
                drop(fs::write(&other_path, fs::read(&path).unwrap_or_default()));
                done.push(format!("{name} is {other} too"));
            }
            3 | 4 => {
                let link = link(random, place);
                if fs::symlink_metadata(&link).is_ok_and(|metadata| metadata.is_dir()) {
                    fs::remove_dir_all(&link)?;
                } else if link.symlink_metadata().is_ok() {
                    fs::remove_file(&link)?;
                }
                let to = [
                    place.join("victim"),
                    place.join("victim/kept"),
                    folder.clone(),
                ];
                let to = to.choose(random).cloned().unwrap_or_default();
                symlink(&to, &link)?;
                done.push(format!("{} leads to {}", link.display(), to.display()));
            }
            _ => {
                let content = fs::read(&path).unwrap_or_default();
                let changed = mutate::content(random, &content, &contents);
                let shown =
                    String::from_utf8_lossy(&changed[..changed.len().min(3000)]).into_owned();
                drop(fs::write(&path, changed));
                done.push(format!("{name} is {shown}"));
            }
        }
    }
    Ok(done)
}

/// A place for a link.
fn link(random: &mut ChaCha8Rng, place: &Path) -> PathBuf {
    let (table, control) = (place.join("t"), control(&place.join("t")));
    let places = [
        control.join("tmp"),
        control.join("staging"),
        control.join("staging/0123456789ab"),
        control.join("staging/0123456789ab/rows"),
        control.join("lock"),
        control.join("lease.json"),
        control.join("commits/00000004.json"),
        control.join("intents/0123456789ab.json"),
        table.join("city=Ghent"),
        table.join("city=Riga"),
        table.join("city=Turku"),
        table.join(".spillway-probe"),
    ];
    places.choose(random).cloned().unwrap_or_default()
}
