//! Listeners of commits: they hear of every commit in order, whatever fails, and nothing depends on them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tables::{Commit, CommitListener, CompactOptions, Error, ListenerError, PublishMode, Table};
use tempfile::TempDir;

use crate::faulty::{Fault, faulty};
use crate::lake::{FIRST, SECOND};
use crate::prepared::Prepared;
use crate::support::{
    TestResult, assert_at_rest, control, covered, info, rows_below, run, session, table_at,
};

const VARIABLE: &str = "SPILLWAY_TEST_LISTENER";
const MAIN: &str = "listeners::the_run_that_dies_while_it_tells";

/// Writes down what it hears, and fails as often as it is told to.
#[derive(Debug, Default)]
struct Recorder {
    heard: Mutex<Vec<u64>>,
    failures: Mutex<usize>,
}

impl Recorder {
    fn failing(times: usize) -> Arc<Self> {
        Arc::new(Self {
            failures: Mutex::new(times),
            ..Self::default()
        })
    }

    fn heard(&self) -> Vec<u64> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.clone()
    }
}

#[async_trait]
impl CommitListener for Recorder {
    fn name(&self) -> &str {
        "recorder"
    }

    async fn after_commit(&self, commit: &Commit) -> Result<(), ListenerError> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if *failures > 0 {
            *failures -= 1;
            return Err("not today".into());
        }
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push(commit.number);
        Ok(())
    }
}

/// Ends the process as a kill would.
#[derive(Debug)]
struct Deadly;

#[async_trait]
impl CommitListener for Deadly {
    fn name(&self) -> &str {
        "recorder"
    }

    async fn after_commit(&self, _: &Commit) -> Result<(), ListenerError> {
        std::process::abort()
    }
}

fn heard_by(folder: &Path, listener: &Arc<Recorder>) -> TestResult<Table> {
    let listener: Arc<dyn CommitListener> = Arc::<Recorder>::clone(listener);
    Ok(table_at(folder)?.with_listener(listener)?)
}

async fn overwrite(table: &Table, run_id: &str, cursor: i64) -> TestResult<Commit> {
    let rows = if cursor % 2 == 1 {
        &FIRST[..]
    } else {
        &SECOND[..]
    };
    run(table, run_id, PublishMode::Overwrite, rows, info(cursor)).await
}

#[tokio::test]
async fn every_commit_is_heard_once_and_in_order() -> TestResult {
    let parent = TempDir::new()?;
    let folder = parent.path().join("t");
    let listener = Recorder::failing(0);
    let table = heard_by(&folder, &listener)?;
    overwrite(&table, "run-1", 1).await?;
    assert_eq!(listener.heard(), [1]);
    // The same rows and cursor: there is no commit.
    overwrite(&table, "run-2", 1).await?;
    assert_eq!(listener.heard(), [1]);
    // What somebody else commits is heard when the table is opened next.
    run(
        &table_at(&folder)?,
        "run-3",
        PublishMode::Append,
        &SECOND,
        info(2),
    )
    .await?;
    assert_eq!(listener.heard(), [1]);
    let options = CompactOptions::default();
    let compacted = table
        .compact("run-4", &session(None)?, &options, std::future::pending())
        .await?;
    assert_eq!(compacted.commit, Some(3), "{compacted:?}");
    assert_eq!(listener.heard(), [1, 2, 3]);
    table.recover().await?;
    assert_eq!(listener.heard(), [1, 2, 3]);
    assert_at_rest(&folder).await
}

#[tokio::test]
async fn a_listener_that_fails_changes_nothing_and_is_told_again() -> TestResult {
    let parent = TempDir::new()?;
    let folder = parent.path().join("t");
    let listener = Recorder::failing(3);
    let table = heard_by(&folder, &listener)?;
    let commit = overwrite(&table, "run-1", 1).await?;
    assert_eq!((commit.number, listener.heard()), (1, Vec::new()));
    assert_at_rest(&folder).await?;
    // It fails when the table is opened and after the commit.
    let commit = overwrite(&table, "run-2", 2).await?;
    assert_eq!((commit.number, listener.heard()), (2, Vec::new()));
    assert!(table.recover().await?.is_clean());
    assert_eq!(listener.heard(), [1, 2]);
    assert_at_rest(&folder).await
}

#[tokio::test]
async fn a_listener_that_comes_later_begins_with_the_newest_commit() -> TestResult {
    let parent = TempDir::new()?;
    let folder = parent.path().join("t");
    for cursor in 1..=3 {
        overwrite(&table_at(&folder)?, "run", cursor).await?;
    }
    let listener = Recorder::failing(1);
    let table = heard_by(&folder, &listener)?;
    table.recover().await?;
    assert_eq!(listener.heard(), Vec::<u64>::new());
    // Somebody who does not know it commits; it hears of what it failed with first.
    overwrite(&table_at(&folder)?, "run", 4).await?;
    table.recover().await?;
    assert_eq!(listener.heard(), [3, 4]);
    Ok(())
}

#[tokio::test]
async fn a_process_that_dies_while_it_tells_is_made_up_for_by_the_next() -> TestResult {
    let parent = TempDir::new()?;
    let folder = parent.path().join("t");
    let status = Command::new(std::env::current_exe()?)
        .args(["--exact", MAIN, "--ignored", "--nocapture"])
        .env(VARIABLE, &folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    assert!(!status.success(), "the process ended by itself");
    let commit = table_at(&folder)?.current().await?;
    assert_eq!(commit.map(|commit| commit.number), Some(1));
    let listener = Recorder::failing(0);
    let table = heard_by(&folder, &listener)?;
    table.recover().await?;
    assert_eq!(listener.heard(), [1]);
    overwrite(&table, "run-2", 2).await?;
    assert_eq!(listener.heard(), [1, 2]);
    assert_at_rest(&folder).await
}

#[tokio::test]
#[ignore = "the main function of the process that another test starts"]
async fn the_run_that_dies_while_it_tells() -> TestResult {
    let Some(folder) = std::env::var_os(VARIABLE) else {
        return Ok(());
    };
    let table = table_at(Path::new(&folder))?.with_listener(Arc::new(Deadly))?;
    overwrite(&table, "run-1", 1).await?;
    Ok(())
}

/// Whatever call of a run is the last one, or fails, the listener hears of every commit that stands.
async fn every_call(fault: Fault) -> TestResult {
    let prepared = Prepared::in_memory()?;
    let first = Recorder::failing(0);
    overwrite(&heard_by(&prepared.table(), &first)?, "run-1", 1).await?;
    let (table, faults) = faulty(&prepared.copy("clean")?, usize::MAX, fault)?;
    let table = table.with_listener(Recorder::failing(0))?;
    overwrite(&table, "run-2", 2).await?;
    let calls = faults.calls();
    let mut twice = 0;
    for at in 1..=calls {
        let folder = prepared.copy("point")?;
        let listener = Recorder::failing(0);
        let (table, _) = faulty(&folder, at, fault)?;
        let shared: Arc<dyn CommitListener> = Arc::<Recorder>::clone(&listener);
        let outcome = overwrite(&table.with_listener(shared)?, "run-2", 2).await;
        let context = format!("call {at} of {calls}, {fault:?}");
        let table = heard_by(&folder, &listener)?;
        table.recover().await?;
        let newest = table.current().await?.ok_or("no commit")?.number;
        if let Ok(commit) = outcome {
            assert_eq!(commit.number, newest, "{context}");
        }
        let mut heard = listener.heard();
        assert!(heard.is_sorted(), "{context}: {heard:?}");
        twice += usize::from(heard.len() > 1);
        heard.dedup();
        let expected: &[u64] = if newest == 2 { &[2] } else { &[] };
        assert_eq!(heard, expected, "{context}");
        table.recover().await?;
        overwrite(&table, "run-3", 3).await?;
        assert_eq!(listener.heard().last(), Some(&(newest + 1)), "{context}");
        assert_eq!(
            rows_below(&folder)?.len() as u64,
            table.current().await?.ok_or("none")?.totals.rows
        );
    }
    covered(&format!(
        "{fault:?}: {calls} calls are fault points, {twice} commits were heard twice"
    ));
    assert!(calls > 20, "only {calls} calls");
    assert!(twice > 0, "no call was between hearing and writing it down");
    Ok(())
}

#[tokio::test]
async fn each_call_that_fails_is_followed_by_every_commit_being_heard() -> TestResult {
    every_call(Fault::Fails).await
}

#[tokio::test]
async fn each_call_that_is_the_end_is_followed_by_every_commit_being_heard() -> TestResult {
    every_call(Fault::Killed).await
}

#[tokio::test]
async fn a_file_that_cannot_be_believed_has_the_newest_commit_told_again() -> TestResult {
    let parent = TempDir::new()?;
    let folder = parent.path().join("t");
    let listener = Recorder::failing(0);
    let table = heard_by(&folder, &listener)?;
    overwrite(&table, "run-1", 1).await?;
    overwrite(&table, "run-2", 2).await?;
    let file = control(&folder).join("listener-recorder.json");
    let written = fs::read_to_string(&file)?;
    for (number, damaged) in [
        String::new(),
        "{".to_owned(),
        written.replace("\"commit\": 2", "\"commit\": -1"),
        written.replace("\"commit\": 2", "\"commit\": 9007199254740993"),
        written.replace("\"commit\": 2", "\"commit\": 7"),
        written.replace("recorder", "another"),
        written.replace("recorder", "../recorder"),
        written.replace("\"version\": 1", "\"version\": 2"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_ne!(damaged, written, "case {number}");
        fs::write(&file, &damaged)?;
        table.recover().await?;
        assert_eq!(listener.heard().len(), 3 + number, "{damaged:?}");
        assert_eq!(listener.heard().last(), Some(&2), "{damaged:?}");
        assert_eq!(fs::read_to_string(&file)?, written, "{damaged:?}");
    }
    assert_at_rest(&folder).await
}

#[tokio::test]
async fn two_listeners_hear_of_a_table_without_each_other() -> TestResult {
    #[derive(Debug)]
    struct Named(&'static str, Arc<Recorder>);
    #[async_trait]
    impl CommitListener for Named {
        fn name(&self) -> &str {
            self.0
        }
        async fn after_commit(&self, commit: &Commit) -> Result<(), ListenerError> {
            self.1.after_commit(commit).await
        }
    }
    let parent = TempDir::new()?;
    let folder = parent.path().join("t");
    let (fails, works) = (Recorder::failing(2), Recorder::failing(0));
    let named = |name, recorder: &Arc<Recorder>| Arc::new(Named(name, Arc::clone(recorder)));
    let table = table_at(&folder)?
        .with_listener(named("first", &fails))?
        .with_listener(named("second-2", &works))?;
    overwrite(&table, "run-1", 1).await?;
    assert_eq!((fails.heard(), works.heard()), (vec![], vec![1]));
    table.recover().await?;
    table.recover().await?;
    assert_eq!((fails.heard(), works.heard()), (vec![1], vec![1]));
    for name in ["second-2", "", "a/b", "..", "Upper", "a b", "ä"] {
        let refused = table.clone().with_listener(named(name, &works));
        assert!(matches!(refused, Err(Error::Listener { .. })), "{name}");
    }
    Ok(())
}
