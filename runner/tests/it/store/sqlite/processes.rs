//! Real processes that race for a pipeline and are killed. The test binary starts itself for them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chrono::Utc;
use runner::store::{
    Claim, NewRun, Outcome, Processes, RunAttempt, RunEnd, RunId, RunMode, RunReader, RunState,
    RunStore, RunWriter, SqliteRunStore, StoreError,
};
use tokio::time::{Instant, sleep};

use crate::store::contract::{chunk, end, last_chunk, new_run, parameters};

const RACERS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(90);
/// What the racing processes are started with as their working folder holds this file.
const STARTED_BY_A_TEST: &str = "race";

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Kills and reaps what is left of the racers, also when the test fails.
struct Racers(Vec<Child>);

impl Drop for Racers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // A child that has ended cannot be killed, which is as well.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn own_run() -> NewRun {
    let now = Utc::now();
    let processes = Processes::of_this_machine().unwrap();
    NewRun {
        id: RunId::mint(now),
        pipeline: "bugs".to_owned(),
        definition_fingerprint: "d1f0".to_owned(),
        parameters: parameters("ada-example"),
        mode: RunMode::Local,
        settings: BTreeMap::new(),
        work_dir: "work".to_owned(),
        owner: processes.current(now).unwrap(),
    }
}

/// What each racing process does: it waits for the start, asks for the run, writes down the answer and
/// stays alive until it is killed.
#[tokio::test]
#[ignore = "started by the test below as a process of its own"]
async fn racer() {
    if !Path::new(STARTED_BY_A_TEST).exists() {
        return;
    }
    let processes = Processes::of_this_machine().unwrap();
    let new = own_run();
    let pid = new.owner.pid;
    let store = SqliteRunStore::open(Path::new("state.db")).await.unwrap();
    std::fs::write(format!("ready-{pid}"), b"").unwrap();
    until("the start", || Path::new("start").exists()).await;
    let answer = store
        .create_run(&new, &|owner| processes.is_alive(owner, Utc::now()))
        .await;
    let name = match answer {
        Ok(run) => {
            store
                .append_chunks(run.current_attempt(), &[chunk("bugs", 0)])
                .await
                .unwrap();
            format!("won-{pid}")
        }
        Err(StoreError::AlreadyRunning { .. }) => format!("lost-{pid}"),
        Err(other) => panic!("{other:?}"),
    };
    std::fs::write(name, b"").unwrap();
    until("the end", || Path::new("end").exists()).await;
}

fn files(folder: &Path, beginning: &str) -> Vec<String> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(beginning))
        .collect()
}

#[tokio::test]
async fn of_several_processes_one_wins_and_a_killed_one_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    std::fs::write(home.join(STARTED_BY_A_TEST), b"").unwrap();
    let mut racers = Racers(Vec::new());
    for _ in 0..RACERS {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::sqlite::processes::racer", "--ignored"])
            .current_dir(home)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        racers.0.push(child);
    }
    until("the racers to open the store", || {
        files(home, "ready-").len() == RACERS
    })
    .await;
    std::fs::write(home.join("start"), b"").unwrap();
    until("the racers' answers", || {
        files(home, "won-").len() + files(home, "lost-").len() == RACERS
    })
    .await;
    let won = files(home, "won-");
    assert_eq!(won.len(), 1, "{won:?}");
    let winner: u32 = won[0].trim_start_matches("won-").parse().unwrap();

    // While it lives it cannot be robbed of its run.
    let processes = Processes::of_this_machine().unwrap();
    let alive = |owner: &runner::store::Owner| processes.is_alive(owner, Utc::now());
    let store = SqliteRunStore::open(&home.join("state.db")).await.unwrap();
    let identity = own_run().identity();
    let run = store.find_resumable(&identity).await.unwrap().unwrap();
    assert_eq!(run.owner.pid, winner);
    let claim = Claim {
        owner: own_run().owner,
        settings: BTreeMap::new(),
    };
    let refused = store.adopt_run(run.current_attempt(), &claim, &alive).await;
    assert!(
        matches!(refused, Err(StoreError::AlreadyRunning { pid, .. }) if pid == winner),
        "{refused:?}"
    );
    let refused = store.create_run(&own_run(), &alive).await;
    assert!(
        matches!(refused, Err(StoreError::AlreadyRunning { .. })),
        "{refused:?}"
    );

    let child = racers
        .0
        .iter_mut()
        .find(|child| child.id() == winner)
        .unwrap();
    child.kill().unwrap();
    until("the winner's death", || !alive(&run.owner)).await;
    assert_eq!(run.observed_state(&alive), RunState::Interrupted);
    let adopted = store
        .adopt_run(run.current_attempt(), &claim, &alive)
        .await
        .unwrap();
    assert_eq!((adopted.id, adopted.attempt), (run.id, 2));
    assert_eq!(
        last_chunk(&store, run.id, "bugs").await,
        Some(chunk("bugs", 0)),
        "what the killed process was told is landed is there"
    );
    let attempt = RunAttempt {
        run: run.id,
        number: 2,
    };
    let done = RunEnd {
        at: Utc::now(),
        ..end(Outcome::Succeeded, 0)
    };
    store.finish_run(attempt, &done).await.unwrap();
    store
        .create_run(&new_run("bugs", 1, 0), &alive)
        .await
        .unwrap();
}
