//! Real processes on a real S3 wire: started together, stopped and overtaken. And readers beside. Those that are killed
//! are in `s3_kills`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use tables::{Commit, Error, PublishMode, Table, storage};
use testkit::s3::{Behaviour, Fault, Operation, Verdict};
use testkit::{Child, wait_for};
use url::Url;

use crate::child::{Task, said};
use crate::lake::{FIRST, Lake, MODES, SECOND, rows_of, run};
use crate::support::{Event, TestResult, covered, info, interval};

/// The put that decides about the second commit.
const DECISION: &str = "commits/00000002.json";

fn send(signal: &str, pid: u32) -> bool {
    let mut kill = std::process::Command::new("kill");
    kill.args([format!("-{signal}"), pid.to_string()]);
    kill.status().is_ok_and(|status| status.success())
}

/// The process that a server's callback is about: started after the fault was injected.
#[derive(Debug, Clone, Default)]
pub(crate) struct Victim(Arc<OnceLock<u32>>);

impl Victim {
    pub(crate) fn is(&self, child: &Child) -> TestResult {
        Ok(self.0.set(child.id()).map_err(|_| "set before")?)
    }

    /// Sends it a signal, as soon as it is known.
    pub(crate) fn send(&self, signal: &str) {
        let pid = wait_for("the child to be known", || self.0.get().copied());
        assert!(pid.is_ok_and(|pid| send(signal, pid)), "no {signal}");
    }
}

pub(crate) async fn first_run(lake: &Lake) -> TestResult<Commit> {
    let (table, overwrite) = (lake.table()?, PublishMode::Overwrite);
    run(&table, "run-1", overwrite, &FIRST, false, interval(1)).await
}

/// Waits on a thread of its own: a child must not keep this runtime from its own requests.
pub(crate) async fn ended(child: Child) -> TestResult<testkit::Outcome> {
    Ok(tokio::task::spawn_blocking(move || child.wait()).await??)
}

async fn until(what: &'static str, done: impl Fn() -> bool + Send + 'static) -> TestResult {
    Ok(tokio::task::spawn_blocking(move || wait_for(what, || done().then_some(()))).await??)
}

/// Runs, as often as another run is alive.
async fn run_when_free(table: &Table, mode: PublishMode, rows: &[Event]) -> TestResult<Commit> {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        match run(table, "overtaker", mode, rows, false, info(3)).await {
            Err(error)
                if matches!(error.downcast_ref::<Error>(), Some(Error::LeaseHeld { .. }))
                    && std::time::Instant::now() < deadline =>
            {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            outcome => return outcome,
        }
    }
}

#[tokio::test]
async fn of_two_processes_started_together_one_commits_and_the_other_changes_nothing() -> TestResult
{
    let lake = Lake::start(Behaviour::default())?;
    first_run(&lake).await?;
    let files = lake.files();
    // The winner stays at its decision, so that the other one meets it alive.
    let decision = lake.server.inject(
        Fault::hold_before()
            .on(Operation::PutObject)
            .key(DECISION)
            .times(1),
    );
    let start =
        |run_id: &str| Task::new(lake.location(), run_id, 1).start(lake.server.environment());
    let mut writers = [start("left")?, start("right")?];
    let ends = wait_for("one of them to give up", || {
        writers
            .iter_mut()
            .position(|writer| !writer.runs().unwrap_or(false))
    })?;
    let [left, right] = writers;
    let (loser, winner) = if ends == 0 {
        (left, right)
    } else {
        (right, left)
    };
    let loser = ended(loser).await?;
    let told = said(&loser).ok_or_else(|| loser.all())?;
    assert!(told.starts_with("lease held"), "{told}");
    let held = decision.clone();
    until("the winner's decision", move || held.fired() == 1).await?;
    assert_eq!(lake.files(), files, "the loser changed nothing");
    decision.release();
    let winner = ended(winner).await?;
    assert_eq!(said(&winner), Some("committed 2"), "{}", winner.all());
    lake.assert_at_rest().await
}

/// Stops a child with SIGSTOP when the server has met `point`, lets another run take over and commit, and lets the child
/// go on. Gives what the child came to.
async fn overtaken_at(lake: &Lake, point: impl Fn(Fault) -> Fault) -> TestResult<String> {
    first_run(lake).await?;
    let victim = Victim::default();
    let stopper = victim.clone();
    let stop = lake.server.inject(point(Fault::after(move |_| {
        stopper.send("STOP");
        Verdict::Continue
    })));
    let mut task = Task::new(lake.location(), "stopped", 1);
    task.lock_ttl_millis = Some(2000);
    let child = task.start(lake.server.environment())?;
    victim.is(&child)?;
    let stopped = stop.clone();
    until("the child to be stopped", move || stopped.fired() == 1).await?;

    let rows = [FIRST[0].clone()];
    let commit = run_when_free(&lake.table()?, PublishMode::Overwrite, &rows).await?;
    let files = lake.files();
    assert!(send("CONT", child.id()), "no CONT");
    let outcome = ended(child).await?;
    let told = said(&outcome).ok_or_else(|| outcome.all())?.to_owned();
    let newest = lake.table()?.current().await?.ok_or("no commit")?;
    assert_eq!(
        newest.number, commit.number,
        "T-4: the stopped run committed"
    );
    assert_eq!(lake.files(), files, "the stopped run touched the table");
    // What it began after the other one had cleaned up goes with the next recovery.
    lake.table()?.recover().await?;
    lake.assert_at_rest().await?;
    Ok(told)
}

#[tokio::test]
async fn a_stopped_process_whose_lease_was_taken_cannot_commit_when_it_goes_on() -> TestResult {
    type Point = fn(Fault) -> Fault;
    let points: [(&str, Point); 3] = [
        ("after its intent", |fault| {
            fault.on(Operation::PutObject).key("intents/").times(1)
        }),
        ("in the middle of staging", |fault| {
            fault.on(Operation::UploadPart).key("Oulu").times(1)
        }),
        ("after it has written its last part", |fault| {
            fault.on(Operation::UploadPart).key("Turku").times(1)
        }),
    ];
    for (name, point) in points {
        let lake = Lake::start(Behaviour::default())?;
        let told = overtaken_at(&lake, point).await?;
        assert!(!told.starts_with("committed"), "{name}: {told}");
        covered(&format!("stopped {name}: {told}"));
    }
    Ok(())
}

#[tokio::test]
async fn a_process_stopped_right_after_its_decision_is_finished_by_another() -> TestResult {
    let lake = Lake::start(Behaviour::default())?;
    let told = overtaken_at(&lake, |fault| {
        fault.on(Operation::PutObject).key(DECISION).times(1)
    })
    .await?;
    covered(&format!("stopped after its decision: {told}"));
    // Its rows were published by the other run, which then replaced those of one partition.
    let rows = lake.rows()?;
    assert!(rows.iter().any(|row| row.contains("Turku")), "{rows:#?}");
    Ok(())
}

#[tokio::test]
async fn a_late_completion_of_a_replaced_run_changes_nothing() -> TestResult {
    for (readable, operation) in [
        (false, Operation::CompleteMultipartUpload),
        (true, Operation::CopyObject),
    ] {
        let lake = Lake::start(Behaviour::default())?;
        first_run(&lake).await?;
        // The request is on the wire and arrives after everything else.
        let late = lake
            .server
            .inject(Fault::hold_before().on(operation).key("Ghent").times(1));
        let table = lake.table()?;
        let slow = tokio::spawn(async move {
            let overwrite = PublishMode::Overwrite;
            run(&table, "slow", overwrite, &SECOND, readable, interval(2)).await
        });
        let waiting = late.clone();
        until("the request to be on the wire", move || {
            waiting.fired() == 1
        })
        .await?;
        let lock = "raw/.events.spillway/lock.json";
        let content = lake.server.object(lock).ok_or("no lease")?;
        let mut content: serde_json::Value = serde_json::from_slice(&content)?;
        content["released"] = true.into();
        lake.server
            .put_object(lock, serde_json::to_vec(&content)?)?;
        let rows = [Event(2, "Ghent", 99, Some("newest"))];
        run_when_free(&lake.table()?, PublishMode::Overwrite, &rows).await?;
        let files = lake.files();
        late.release();
        // It may say either: its commit stands, and was carried out by another.
        let outcome = slow.await?;
        assert_eq!(lake.files(), files, "{operation:?}: {outcome:?}");
        lake.assert_at_rest().await?;
    }
    Ok(())
}

/// One look of a reader that lists and reads as readers do, over the wire: every file that is there is whole.
async fn look(store: &dyn ObjectStore) -> TestResult<Option<Vec<String>>> {
    let prefix = object_store::path::Path::from("raw/events");
    let listed: Vec<_> = store.list(Some(&prefix)).try_collect().await?;
    let mut files: BTreeMap<String, Bytes> = BTreeMap::new();
    for meta in listed {
        let content = match store.get(&meta.location).await {
            Ok(found) => found.bytes().await?,
            // Replaced since it was listed: a reader lists again.
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        files.insert(meta.location.to_string(), content);
    }
    Ok(Some(rows_of(&files)?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_beside_every_mode_on_s3_never_sees_an_unreadable_file() -> TestResult {
    let lake = Lake::start(Behaviour::default())?;
    first_run(&lake).await?;
    let url = Url::parse(&lake.location())?;
    let store = storage::bucket(&url, &lake.options)?.object_store();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let reader = tokio::spawn(async move {
        let (mut whole, mut again) = (0, 0);
        while !stopped.load(Ordering::SeqCst) || whole == 0 {
            match look(store.as_ref()).await? {
                Some(rows) if rows.is_empty() => return Err("the table was empty".into()),
                Some(_) => whole += 1,
                None => again += 1,
            }
        }
        TestResult::Ok((whole, again))
    });
    let table = lake.table()?;
    for round in 0..5 {
        for (place, mode) in MODES.into_iter().enumerate() {
            let rows: Vec<Event> = SECOND
                .iter()
                .map(|event| Event(event.0, event.1, event.2 + round, event.3))
                .collect();
            let run_id = format!("run-{round}-{mode}");
            run(&table, &run_id, mode, &rows, place % 2 == 0, info(round)).await?;
        }
    }
    stop.store(true, Ordering::SeqCst);
    let (whole, again) = reader.await??;
    covered(&format!(
        "{whole} looks at a whole table, {again} to be done again"
    ));
    lake.assert_at_rest().await
}
