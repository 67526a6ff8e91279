//! The power fails: a run in a process of its own is recorded, step by step, and the disk is made up as it may be found
//! when the power had failed at any of them. Then the real recovery runs, and the table must be exactly as before the run
//! or as after it; as after it, once the run had said so.
//!
//! `scripts/power-loss` tries every step; the ordinary tests try a sample.

mod disk;
mod record;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chrono::NaiveDate;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tables::{CompactOptions, ExpireOptions, PublishMode, Table};
use tempfile::TempDir;
use testkit::Child;

use crate::support::by_city;
use crate::support::{
    Event, TestResult, control, covered, files_below, info, interval, rows_below, run, run_with,
    session, table_at,
};
use disk::{Disk, LOSSES, Loss};
use record::Step;

const VARIABLE: &str = "SPILLWAY_TEST_POWER";
const MAIN: &str = "power::the_run_whose_power_fails";
/// Where the table is in the recorded folder: some folders above it are made by the run.
const TABLE: &str = "lake/raw/t";
/// The folder that a run makes when it was told of its success.
const SAID: &str = "said";

const BEFORE: [Event; 4] = [
    Event(1, "2026-01-01", 10, Some("a")),
    Event(2, "2026-01-01", 20, None),
    Event(3, "2026-01-02", 30, Some("b")),
    Event(4, "2026-01-03", 40, Some("c")),
];
const SECOND: [Event; 4] = [
    Event(2, "2026-01-01", 21, Some("changed")),
    Event(3, "2026-01-02", 30, Some("b")),
    Event(5, "2026-01-02", 50, Some("new")),
    Event(6, "2026-01-04", 60, None),
];

/// What the process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Work {
    First,
    Empty,
    Append,
    Overwrite,
    Replace,
    Merge,
    Compact,
    Expire,
    Recover,
}

const ALL: [Work; 9] = [
    Work::First,
    Work::Empty,
    Work::Append,
    Work::Overwrite,
    Work::Replace,
    Work::Merge,
    Work::Compact,
    Work::Expire,
    Work::Recover,
];

impl Work {
    async fn run(self, table: &Table) -> TestResult {
        let publish = async |mode| run(table, "run-2", mode, &SECOND, interval(2)).await;
        match self {
            Self::First | Self::Overwrite => drop(publish(PublishMode::Overwrite).await?),
            Self::Empty => {
                let mode = by_city(PublishMode::Overwrite);
                drop(run_with(table, "run-2", mode, &[], interval(2)).await?);
            }
            Self::Append => drop(publish(PublishMode::Append).await?),
            Self::Replace => drop(publish(PublishMode::Replace).await?),
            Self::Merge => drop(publish(PublishMode::Merge).await?),
            Self::Compact => {
                let (ctx, options) = (session(None)?, CompactOptions::default());
                let stop = std::future::pending();
                let done = table.compact("run-2", &ctx, &options, stop).await?;
                done.commit.ok_or("nothing was compacted")?;
            }
            Self::Expire => {
                let options = ExpireOptions {
                    first_kept: NaiveDate::from_ymd_opt(2026, 1, 2).ok_or("no date")?,
                    column: Some("city".to_owned()),
                    span: None,
                    allow_empty: false,
                };
                let done = table.expire("run-2", &options).await?;
                done.commit.ok_or("nothing expired")?;
            }
            Self::Recover => {
                let recovery = table.recover().await?;
                recovery.rolled_forward.ok_or("nothing to finish")?;
            }
        }
        Ok(())
    }

    /// Makes the table that the run begins with.
    async fn prepare(self, folder: &Path) -> TestResult {
        if matches!(self, Self::First | Self::Empty) {
            return Ok(());
        }
        let table = table_at(folder)?;
        for (number, rows) in [&BEFORE[..], &BEFORE[..2]].into_iter().enumerate() {
            let mode = if number == 0 {
                PublishMode::Overwrite
            } else if self == Self::Compact {
                PublishMode::Append
            } else {
                break;
            };
            run(&table, "run-1", mode, rows, info(1)).await?;
        }
        Ok(())
    }
}

#[tokio::test]
#[ignore = "the main function of the processes whose power fails"]
async fn the_run_whose_power_fails() -> TestResult {
    let Some(task) = std::env::var_os(VARIABLE) else {
        return Ok(());
    };
    let task = task.into_string().map_err(|_| "not UTF-8")?;
    let (root, work): (PathBuf, Work) = serde_json::from_str(&task)?;
    work.run(&table_at(&root.join(TABLE))?).await?;
    fs::create_dir(root.join(SAID))?;
    Ok(())
}

/// What a table is, as far as a user can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    commit: Option<u64>,
    rows: Vec<String>,
}

impl Seen {
    async fn at(folder: &Path) -> TestResult<Self> {
        let commit = table_at(folder)?.current().await?;
        Ok(Self {
            commit: commit.map(|commit| commit.number),
            rows: rows_below(folder)?,
        })
    }
}

/// A recorded run.
struct Recorded {
    work: Work,
    /// Before the first step.
    start: Disk,
    steps: Vec<Step>,
    before: Seen,
    after: Seen,
    /// The step at which the run was told of its success.
    said: usize,
    places: TempDir,
}

impl Recorded {
    async fn of(work: Work) -> TestResult<Self> {
        let places = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new())?;
        let root = fs::canonicalize(places.path())?.join("disk");
        fs::create_dir(&root)?;
        let folder = root.join(TABLE);
        if work == Work::Recover {
            // As an overwrite left it that was cut off right after its decision.
            let decided = Box::pin(Self::of(Work::Overwrite)).await?;
            decided.up_to_its_decision(&root)?;
        } else {
            work.prepare(&folder).await?;
        }
        let before = Seen::at(&folder).await?;
        let start = Disk::of(&root)?;
        let log = places.path().join("log");
        let library = record::library(places.path())?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["--exact", MAIN, "--ignored", "--nocapture"])
            .env(VARIABLE, serde_json::to_string(&(&root, work))?)
            .envs(record::recorded(&library, &root, &log))
            .stdin(Stdio::null());
        let outcome = Child::start(command)?.wait()?;
        if outcome.code != Some(0) {
            return Err(outcome.all().into());
        }
        let steps = record::read(&log, &root)?;
        let is_said = |step: &Step| matches!(step, Step::MakeFolder { path, .. } if path == SAID);
        let said = steps.iter().position(is_said).ok_or("it said nothing")?;
        let after = Seen::at(&folder).await?;
        let recorded = Self {
            work,
            start,
            steps,
            before,
            after,
            said,
            places,
        };
        recorded.check_the_record()?;
        Ok(recorded)
    }

    /// A record that lacks a step would prove nothing: with all steps durable, the disk is what the run left.
    fn check_the_record(&self) -> TestResult {
        let place = self.empty_place("whole")?;
        let mut disk = self.start.clone();
        for step in &self.steps {
            disk.apply(step)?;
        }
        disk.keep_all(&place)?;
        let left = self.places.path().join("disk");
        assert_eq!(files_below(&place), files_below(&left), "{:?}", self.work);
        for file in files_below(&left) {
            let same = fs::read(place.join(&file))? == fs::read(left.join(&file))?;
            assert!(same, "{:?}: {file}", self.work);
        }
        Ok(())
    }

    fn up_to_its_decision(&self, place: &Path) -> TestResult {
        let mut disk = self.start.clone();
        for step in &self.steps {
            disk.apply(step)?;
            if matches!(step, Step::Link { to, .. } if to.ends_with("commits/00000002.json")) {
                return disk.keep_all(place);
            }
        }
        Err("it decided nothing".into())
    }

    fn empty_place(&self, name: &str) -> TestResult<PathBuf> {
        let place = self.places.path().join(name);
        if place.exists() {
            fs::remove_dir_all(&place)?;
        }
        fs::create_dir(&place)?;
        Ok(place)
    }

    /// Every step at which the power may fail, with every kind of loss.
    fn trials(&self, seeds: u64) -> Vec<(usize, Loss, u64)> {
        let mut trials = Vec::new();
        for step in 0..=self.steps.len() {
            for loss in LOSSES {
                let seeds = if matches!(loss, Loss::Later | Loss::Some) {
                    seeds
                } else {
                    1
                };
                trials.extend((0..seeds).map(|seed| (step, loss, seed)));
            }
        }
        trials
    }

    /// Lets the power fail at each of these; gives how many tables were found as before and as after the run.
    async fn fail(&self, mut trials: Vec<(usize, Loss, u64)>) -> TestResult<[usize; 2]> {
        trials.sort_unstable_by_key(|(step, ..)| *step);
        let mut disk = self.start.clone();
        let mut taken = 0;
        let mut found = [0, 0];
        for (step, loss, seed) in trials {
            for step in &self.steps[taken..step] {
                disk.apply(step)?;
            }
            taken = step;
            let context = format!("{:?}, step {step}, {loss:?}, seed {seed}", self.work);
            let place = self.empty_place("failed")?;
            let mut random = ChaCha8Rng::seed_from_u64(seed << 32 | step as u64);
            disk.fail(loss, &mut random, &place)?;
            let is_new = (self.recovered(&place.join(TABLE), step).await)
                .map_err(|error| format!("{context}: {error}"))?;
            found[usize::from(is_new)] += 1;
        }
        Ok(found)
    }

    async fn recovered(&self, folder: &Path, step: usize) -> TestResult<bool> {
        let table = table_at(folder)?;
        table.recover().await?;
        if !table.recover().await?.is_clean() {
            return Err("T-6: the second recovery found something".into());
        }
        let seen = Seen::at(folder).await?;
        if seen.commit.is_some() && !table.verify(true).await?.is_clean() {
            return Err("T-1: the files are not those of the log".into());
        }
        let left = files_below(&control(folder));
        // Where there is no table, looking at it does not sweep.
        let areas = &["staging/", "intents/", "tmp/"][..if seen.commit.is_some() { 3 } else { 2 }];
        if let Some(left) = left
            .iter()
            .find(|file| areas.iter().any(|area| file.starts_with(area)))
        {
            return Err(format!("{left} is left behind").into());
        }
        if seen == self.after {
            return Ok(true);
        }
        if seen != self.before {
            return Err(format!("T-2: neither the old table nor the new: {seen:?}").into());
        }
        if step > self.said {
            return Err("the run had said that it published, and it did not".into());
        }
        Ok(false)
    }
}

/// The number in a variable that the script sets.
fn variable(name: &str, default: u64) -> TestResult<u64> {
    match std::env::var_os(name) {
        Some(value) => Ok(value.to_str().ok_or("not UTF-8")?.parse()?),
        None => Ok(default),
    }
}

/// A sample of the trials of one run; all of them with `all`.
async fn power_fails(work: Work, all: bool) -> TestResult {
    let recorded = Recorded::of(work).await?;
    let mut trials = recorded.trials(variable("SPILLWAY_POWER_SEEDS", 2)?);
    let of = trials.len();
    if !all {
        let seed = variable("SPILLWAY_POWER_SEED", rand::rng().random())?;
        covered(&format!("SPILLWAY_POWER_SEED={seed}"));
        trials.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        trials.truncate(60);
    }
    let tried = trials.len();
    let syncs = recorded.steps.iter();
    let syncs = syncs
        .filter(|step| matches!(step, Step::Sync { .. }))
        .count();
    let [old, new] = recorded.fail(trials).await?;
    covered(&format!(
        "{work:?}: {} steps, {syncs} of them syncs; {tried} of {of} power failures: {old} times the table before, {new} \
         times the table after",
        recorded.steps.len()
    ));
    if all {
        // What was decided is never undone; so a recovery finds nothing but the new table.
        assert!(new > 0 && (old > 0 || work == Work::Recover));
    }
    Ok(())
}

#[tokio::test]
async fn a_power_failure_leaves_the_table_before_or_after_the_run() -> TestResult {
    for work in ALL {
        power_fails(work, false).await?;
    }
    Ok(())
}

/// The trial is worth something: it finds what a run without its syncs would lose.
#[tokio::test]
async fn a_run_that_syncs_nothing_does_not_survive_a_power_failure() -> TestResult {
    for loss in LOSSES {
        let mut recorded = Recorded::of(Work::Overwrite).await?;
        recorded
            .steps
            .retain(|step| !matches!(step, Step::Sync { .. }));
        recorded.said = recorded.steps.len() - 1;
        let mut trials = recorded.trials(2);
        trials.retain(|(_, tried, _)| *tried == loss);
        let failed = recorded.fail(trials).await;
        assert!(failed.is_err(), "{loss:?}: {failed:?}");
    }
    Ok(())
}

#[tokio::test]
#[ignore = "takes minutes: scripts/power-loss runs it"]
async fn every_power_failure_leaves_the_table_before_or_after_the_run() -> TestResult {
    for work in ALL {
        power_fails(work, true).await?;
    }
    Ok(())
}
