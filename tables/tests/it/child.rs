//! A run of a table in a process of its own, to be killed or stopped: this test binary once more, told what to do by
//! one variable of its environment. On the local filesystem it kills itself at a storage call; on S3 the server that it
//! talks to does, or the test.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tables::{Error, PublishMode, StorageOptions, Table};
use testkit::{Child, Outcome};

use crate::faulty::{Fault, faulty};
use crate::lake::{FIRST, MODES, SECOND, run};
use crate::once::{Once, run_once};
use crate::prepared::Prepared;
use crate::support::{
    TestResult, assert_at_rest, by_city, covered, events, files_below, interval, rows_below,
    rows_of_file, table_at,
};

const VARIABLE: &str = "SPILLWAY_TEST_CHILD";
/// Where the main function is, for the test runner in the child.
const MAIN: &str = "child::the_run_of_a_process_of_its_own";

/// What the child does: the second run of the fault tests.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) location: String,
    pub(crate) run_id: String,
    /// Place in [`MODES`].
    pub(crate) mode: usize,
    /// The storage call at which it kills itself, counted from 1; local filesystem only.
    pub(crate) kill_at: Option<usize>,
    pub(crate) lock_ttl_millis: Option<u64>,
}

impl Task {
    pub(crate) fn new(location: impl Into<String>, run_id: &str, mode: usize) -> Self {
        Self {
            location: location.into(),
            run_id: run_id.to_owned(),
            mode,
            kill_at: None,
            lock_ttl_millis: None,
        }
    }

    /// Starts it, with these variables besides.
    pub(crate) fn start(&self, environment: Vec<(String, String)>) -> TestResult<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["--exact", MAIN, "--ignored", "--nocapture"])
            .env(VARIABLE, serde_json::to_string(self)?)
            // Nothing here speaks TLS, and reading this machine's certificates is most of what a child would do.
            .env("SSL_CERT_FILE", "/dev/null")
            .envs(environment)
            .stdin(Stdio::null());
        Ok(Child::start(command)?)
    }
}

/// How a child ended, as it says itself: `None` if it was killed before it could.
pub(crate) fn said(outcome: &Outcome) -> Option<&str> {
    outcome
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("CHILD: "))
}

/// The second run of the fault tests, which knows its own commit.
pub(crate) async fn second(table: &Table, run_id: &str, mode: usize) -> TestResult<Once> {
    let (options, rows) = (by_city(MODES[mode]), events(&SECOND)?);
    run_once(table, run_id, options, rows, false, interval(2)).await
}

async fn work(task: Task) -> TestResult<Once> {
    let table = match task.kill_at {
        Some(at) => faulty(Path::new(&task.location), at, Fault::Sigkill)?.0,
        None => {
            let mut options = StorageOptions::from_environment(&std::env::vars_os().collect());
            if let Some(millis) = task.lock_ttl_millis {
                options = options.with_lock_ttl(Duration::from_millis(millis));
            }
            Table::open(&task.location, &options)?
        }
    };
    second(&table, &task.run_id, task.mode).await
}

#[tokio::test]
#[ignore = "the main function of the processes that other tests start"]
async fn the_run_of_a_process_of_its_own() -> TestResult {
    let Some(task) = std::env::var_os(VARIABLE) else {
        return Ok(());
    };
    let task = task.into_string().map_err(|_| "not UTF-8")?;
    match work(serde_json::from_str(&task)?).await {
        Ok(once) => covered(&format!("\nCHILD: committed {}", once.commit())),
        Err(error) => {
            let kind = match error.downcast_ref::<Error>() {
                Some(Error::LeaseHeld { .. }) => "lease held",
                Some(Error::LeaseLost { .. }) => "lease lost",
                Some(Error::Superseded { .. }) => "superseded",
                Some(Error::RollForward { .. }) => "committed, not in place",
                _ => "failed",
            };
            covered(&format!("\nCHILD: {kind}: {error}"));
        }
    }
    Ok(())
}

/// Kills a child at every storage call of its run, one after the other.
async fn killed_at_every_call(mode: usize) -> TestResult {
    // On a disk: here a process is really killed.
    let prepared = Prepared::on_disk()?;
    let (table, overwrite) = (table_at(&prepared.table())?, PublishMode::Overwrite);
    run(&table, "run-1", overwrite, &FIRST, false, interval(1)).await?;
    let clean = prepared.copy("clean")?;
    let (table, faults) = faulty(&clean, usize::MAX, Fault::Sigkill)?;
    second(&table, "run-2", mode).await?;
    let calls = faults.calls();
    let expected = rows_below(&clean)?;

    for at in 1..=calls {
        let folder = prepared.copy("point")?;
        let mut task = Task::new(folder.to_str().ok_or("not UTF-8")?, "run-2", mode);
        task.kill_at = Some(at);
        let outcome = task.start(Vec::new())?.wait()?;
        let context = format!("{}, call {at}", MODES[mode]);
        assert_eq!(outcome.code, None, "{context}: {}", outcome.all());
        assert_eq!(said(&outcome), None, "{context}: it came to its end");
        for file in files_below(&folder) {
            rows_of_file(&folder.join(&file))
                .map_err(|error| format!("T-1: {context}: {file} is torn: {error}"))?;
        }
        let table = table_at(&folder)?;
        table.recover().await?;
        assert!(table.recover().await?.is_clean(), "T-6: {context}");
        assert_at_rest(&folder).await?;
        let decided = table
            .current()
            .await?
            .is_some_and(|commit| commit.number == 2);
        let again = second(&table, "run-2", mode).await?;
        assert_eq!(again.commit(), 2, "{context}: it is committed once");
        assert_eq!(matches!(again, Once::Before(_)), decided, "{context}");
        assert_eq!(rows_below(&folder)?, expected, "T-2: {context}");
        assert_at_rest(&folder).await?;
    }
    covered(&format!(
        "{}: a process killed at {calls} of {calls} calls",
        MODES[mode]
    ));
    assert!(calls > 20, "only {calls} calls");
    Ok(())
}

#[tokio::test]
async fn a_process_killed_at_any_call_of_an_append_is_recovered_from() -> TestResult {
    killed_at_every_call(0).await
}

#[tokio::test]
async fn a_process_killed_at_any_call_of_an_overwrite_is_recovered_from() -> TestResult {
    killed_at_every_call(1).await
}

#[tokio::test]
async fn a_process_killed_at_any_call_of_a_replace_is_recovered_from() -> TestResult {
    killed_at_every_call(2).await
}

#[tokio::test]
async fn a_process_killed_at_any_call_of_a_merge_is_recovered_from() -> TestResult {
    killed_at_every_call(3).await
}
