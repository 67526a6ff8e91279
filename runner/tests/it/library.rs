//! Runs as a library has them: several in one process, watched, stopped, and refused what is not left.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use connectors::Registry;
use runner::claim::Resume;
use runner::error::{ErrorKind, RunError};
use runner::event::{RunEvent, RunObserver};
use runner::memory::ProcessMemory;
use runner::settings::{Environment, Overrides};
use runner::stop::{Stop, StopReason};
use runner::{Pipeline, Request, Runner, Selection, Services};

const MIB: u64 = 1 << 20;

/// Keeps the names of events, and asks for a stop when a stage begins to work.
#[derive(Debug, Default)]
struct Seen {
    events: Mutex<Vec<String>>,
    stops_at_progress: Option<Stop>,
}

impl RunObserver for Seen {
    fn observe(&self, event: &RunEvent<'_>) {
        let name = match event {
            RunEvent::Remark(_) => String::from("remark"),
            RunEvent::Claimed { run, .. } => format!("claimed {}", run.pipeline),
            RunEvent::Progress { stage, .. } => {
                if let Some(stop) = &self.stops_at_progress {
                    stop.ask(StopReason::Cancelled);
                }
                format!("progress {stage}")
            }
            RunEvent::Decided { mode, .. } => format!("decided {mode}"),
            RunEvent::InputsStaged { .. } => String::from("inputs staged"),
            RunEvent::Warning(warning) => format!("warning {warning}"),
            RunEvent::Ended => String::from("ended"),
        };
        self.events
            .lock()
            .expect("nobody panics over it")
            .push(name);
    }
}

fn runner(folder: &Path, memory: u64) -> Runner {
    Runner::new(Services {
        state_dir: folder.join("state"),
        environment: Environment::default(),
        registry: Arc::new(Registry::builtin()),
        memory: ProcessMemory::new(memory),
    })
}

/// A pipeline of so many rows, which asks for so much memory.
fn request(folder: &Path, name: &str, rows: u64, memory: u64) -> Request {
    let text = format!(
        "SET pipeline.memory = '{memory}';
         CREATE VIEW v AS SELECT value AS i, value % 3 AS p FROM generate_series(1, {rows});
         COPY v TO '{}' PARTITIONED BY (p);",
        folder.join(name).display()
    );
    Request {
        selection: Selection {
            pipeline: Pipeline::Text {
                name: String::from(name),
                text,
            },
            set: Vec::new(),
            from: None,
            to: None,
            overrides: Overrides::default(),
        },
        resume: Resume::Auto,
        keep_landing: false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pipelines_run_at_the_same_time_in_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let runner = runner(folder.path(), 2048 * MIB);
    let (small, large) = (
        request(folder.path(), "small", 1_000, 768 * MIB),
        request(folder.path(), "large", 300_000, 1024 * MIB),
    );
    let seen = [Arc::new(Seen::default()), Arc::new(Seen::default())];
    let (one, other) = (Stop::default(), Stop::default());
    let (first, second) = tokio::join!(
        runner.run(&small, Arc::clone(&seen[0]) as _, &one),
        runner.run(&large, Arc::clone(&seen[1]) as _, &other),
    );
    for (report, seen, name, rows) in [
        (first.unwrap(), &seen[0], "small", 1_000),
        (second.unwrap(), &seen[1], "large", 300_000),
    ] {
        assert_eq!(report.document.run.pipeline, name);
        assert_eq!(report.document.run.counts.written, rows);
        assert_eq!(report.outputs[0].publication.totals.rows, rows);
        assert_eq!(report.outputs[0].publication.totals.partitions, 3);
        let events = seen.events.lock().unwrap();
        assert_eq!(events.first().unwrap(), &format!("claimed {name}"));
        assert_eq!(events.last().unwrap(), "ended");
        assert!(
            events.contains(&String::from("decided local")),
            "{events:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_asks_for_more_than_is_left_is_refused_and_the_next_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let runner = runner(folder.path(), 512 * MIB);
    let stop = Stop::default();
    let greedy = request(folder.path(), "greedy", 10, 600 * MIB);
    let refused = runner.run(&greedy, Arc::new(()), &stop).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Budget);
    assert_eq!(
        runner::error::chain(&refused),
        "the run cannot have its memory: a run asks for 600 MiB of memory, and 0 of the 512 MiB of this process are other runs'"
    );
    let modest = request(folder.path(), "modest", 10, 512 * MIB);
    runner.run(&modest, Arc::new(()), &stop).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_asked_to_stop_publishes_nothing_and_leaves_the_process_usable() {
    let folder = tempfile::tempdir().unwrap();
    let runner = runner(folder.path(), 1024 * MIB);
    let request = request(folder.path(), "stopped", 1_000, 1024 * MIB);
    let stop = Stop::default();
    let observer = Arc::new(Seen {
        stops_at_progress: Some(stop.clone()),
        ..Seen::default()
    });
    let error = runner.run(&request, observer, &stop).await.unwrap_err();
    assert!(
        matches!(
            &error,
            RunError::Interrupted {
                reason: StopReason::Cancelled
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.kind(), ErrorKind::Terminated);
    // The same request goes on with the same run.
    let report = runner
        .run(&request, Arc::new(()), &Stop::default())
        .await
        .unwrap();
    assert_eq!(report.document.run.attempt, 2);
    assert_eq!(report.outputs[0].publication.totals.rows, 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_is_wrong_is_told_with_its_place_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let runner = runner(folder.path(), 512 * MIB);
    let mut request = request(folder.path(), "wrong", 10, 512 * MIB);
    request.selection.pipeline = Pipeline::Text {
        name: String::from("wrong"),
        text: String::from("CREATE VIEW v AS SELECT 1;\nCOPY w TO 'out/';"),
    };
    let error = runner
        .run(&request, Arc::new(()), &Stop::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Definition);
    let told = error.to_string();
    assert!(told.contains("wrong.sql:2:6"), "{told}");
    assert!(!folder.path().join("state").exists());
}

/// Makes the same request from another place as soon as there is a warning, and waits until that is done.
#[derive(Debug)]
struct Overtakes {
    runner: Runner,
    request: Request,
    is_done: AtomicBool,
}

impl RunObserver for Overtakes {
    fn observe(&self, event: &RunEvent<'_>) {
        if !matches!(event, RunEvent::Warning(_)) || self.is_done.swap(true, Ordering::SeqCst) {
            return;
        }
        let (runner, request) = (self.runner.clone(), self.request.clone());
        let other = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            let stop = Stop::default();
            let run = runner.run(&request, Arc::new(()), &stop);
            runtime.block_on(run).expect("nobody is in its way");
        });
        other.join().expect("it does not panic");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_new_files_another_one_published_meanwhile_ends_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        std::fs::create_dir_all(folder.path().join("in")).unwrap();
        std::fs::write(folder.path().join("in").join(name), text).unwrap();
    };
    file("a.csv", "id\n1\n2\n");
    let mut wanted = request(folder.path(), "new", 1, 512 * MIB);
    wanted.selection.pipeline = Pipeline::Text {
        name: String::from("new"),
        text: format!(
            "SET pipeline.memory = '512MiB';
             DECLARE least INT DEFAULT 0;
             CREATE EXTERNAL TABLE t (id BIGINT) STORED AS CSV LOCATION '{0}/in/' OPTIONS (incremental 'files');
             COPY (SELECT id FROM t WHERE id >= $least) TO '{0}/out' OPTIONS (publish append);",
            folder.path().display()
        ),
    };
    let here = runner(folder.path(), 1024 * MIB);
    let stop = Stop::default();
    let report = here.run(&wanted, Arc::new(()), &stop).await.unwrap();
    assert_eq!(report.outputs[0].publication.totals.rows, 2);
    file("b.csv", "id\n3\n4\n5\n");
    // Other parameters are told before the output is opened.
    wanted.selection.set = vec![(String::from("least"), String::from("1"))];
    let elsewhere = runner(&folder.path().join("elsewhere"), 1024 * MIB);
    let observer = Arc::new(Overtakes {
        runner: elsewhere,
        request: wanted.clone(),
        is_done: AtomicBool::new(false),
    });
    let error = here.run(&wanted, observer, &stop).await.unwrap_err();
    assert!(matches!(error, RunError::Overtaken { .. }), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Busy);
    let report = here.run(&wanted, Arc::new(()), &stop).await.unwrap();
    assert!(report.outputs.is_empty(), "nothing is new");
    assert_eq!(report.document.run.counts.other["files_read_before"], 2);
    let table = tables::Table::at(folder.path().join("out").to_str().unwrap()).unwrap();
    let commit = table.current().await.unwrap().unwrap();
    assert_eq!((commit.number, commit.totals.rows), (2, 5));
}
