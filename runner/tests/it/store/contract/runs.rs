//! Beginning and ending runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use runner::store::{
    Counts, Decision, ErrorClass, Outcome, RunEnd, RunError, RunFilter, RunId, RunMode, RunState,
    StoreError,
};

use super::{Fixture, at, end, everyone_lives, new_run, nobody_lives, owner, running};

pub(crate) async fn a_created_run_reads_back_as_it_was_asked_for(fixture: &Fixture) {
    let new = new_run("bugs", 41, 7);
    let created = fixture
        .store
        .create_run(&new, &everyone_lives)
        .await
        .unwrap();
    let read = fixture.second.run(&new.id.to_string()).await.unwrap();
    assert_eq!(read, created);
    assert_eq!(
        (read.id, read.pipeline.as_str(), read.state, read.attempt),
        (new.id, "bugs", RunState::Running, 1)
    );
    assert_eq!(read.definition_fingerprint, new.definition_fingerprint);
    assert_eq!(read.parameters, new.parameters);
    assert_eq!(read.settings, new.settings);
    assert_eq!(read.identity, new.identity());
    assert_eq!(read.owner, owner(41, 7));
    assert_eq!((read.started_at, read.attempt_started_at), (at(7), at(7)));
    assert_eq!((read.finished_at, read.exit_code), (None, None));
    assert_eq!(read.work_dir, new.work_dir);

    let attempt = created.current_attempt();
    let decision = Decision {
        estimated_rows: Some(2_099_871),
        threshold_rows: Some(5_000_000),
        reason: "2.1 M rows are below the threshold of 5 M".to_owned(),
        detail: serde_json::json!({"bugs": {"rows": 2_099_871, "exact": true}}),
    };
    fixture
        .store
        .record_decision(attempt, RunMode::Cluster, &decision)
        .await
        .unwrap();
    fixture.store.heartbeat(attempt, at(17)).await.unwrap();
    let finish = RunEnd {
        outcome: Outcome::Failed,
        at: at(20),
        exit_code: 6,
        error: Some(RunError {
            message: "the service did not answer".to_owned(),
            class: ErrorClass::Transient,
            hint: Some("run it again".to_owned()),
        }),
        counts: Counts {
            read: 10,
            filtered: 1,
            written: 7,
            quarantined: 2,
            other: BTreeMap::from([("requests".to_owned(), 31)]),
        },
        bytes_read: 4_096,
        bytes_written: 1_024,
        peak_memory_bytes: Some(171 << 20),
    };
    let finished = fixture.store.finish_run(attempt, &finish).await.unwrap();
    let read = fixture.second.run(&new.id.to_string()).await.unwrap();
    assert_eq!(read, finished);
    assert_eq!(
        (read.mode, read.decision),
        (RunMode::Cluster, Some(decision))
    );
    assert_eq!(
        (read.state, read.finished_at),
        (RunState::Failed, Some(at(20)))
    );
    assert_eq!((read.exit_code, read.error), (Some(6), finish.error));
    assert_eq!(read.counts, finish.counts);
    assert_eq!(
        (read.bytes_read, read.bytes_written, read.peak_memory_bytes),
        (4_096, 1_024, Some(171 << 20))
    );
}

pub(crate) async fn a_second_run_of_a_running_pipeline_is_refused(fixture: &Fixture) {
    let first = new_run("bugs", 41, 0);
    fixture
        .store
        .create_run(&first, &everyone_lives)
        .await
        .unwrap();
    let second = new_run("bugs", 42, 5);
    let refusal = fixture
        .second
        .create_run(&second, &everyone_lives)
        .await
        .unwrap_err();
    assert!(
        matches!(
            &refusal,
            StoreError::AlreadyRunning { run, pid: 41, since, host, .. }
                if *run == first.id && *since == at(0) && host == "laptop-example"
        ),
        "{refusal:?}"
    );
    assert_eq!(
        refusal.to_string(),
        format!(
            "bugs is already running: run {}, process 41 on laptop-example, since 2026-09-21T14:13:20Z; wait for it or stop it",
            first.id
        )
    );
    let other = new_run("questions", 42, 5);
    fixture
        .second
        .create_run(&other, &everyone_lives)
        .await
        .unwrap();
    let runs = fixture.store.runs(&RunFilter::default()).await.unwrap();
    let ids: Vec<RunId> = runs.iter().map(|run| run.id).collect();
    assert_eq!(ids, [other.id, first.id], "the refused run left no trace");
}

pub(crate) async fn of_many_creators_at_once_exactly_one_wins(fixture: &Fixture) {
    let start = Arc::new(tokio::sync::Barrier::new(24));
    let mut creators = tokio::task::JoinSet::new();
    for pid in 0..24 {
        let store = Arc::clone(if pid % 2 == 0 {
            &fixture.store
        } else {
            &fixture.second
        });
        let start = Arc::clone(&start);
        creators.spawn(async move {
            start.wait().await;
            store
                .create_run(&new_run("bugs", pid, 0), &everyone_lives)
                .await
        });
    }
    let answers = creators.join_all().await;
    let winners: Vec<RunId> = answers.iter().flatten().map(|run| run.id).collect();
    assert_eq!(winners.len(), 1, "{answers:?}");
    for refusal in answers.into_iter().filter_map(Result::err) {
        assert!(
            matches!(refusal, StoreError::AlreadyRunning { run, .. } if run == winners[0]),
            "{refusal:?}"
        );
    }
    let runs = fixture.store.runs(&RunFilter::default()).await.unwrap();
    assert_eq!(runs.len(), 1);
}

pub(crate) async fn a_run_whose_owner_is_gone_is_interrupted_by_the_next(fixture: &Fixture) {
    let dead = new_run("bugs", 41, 0);
    let run = fixture
        .store
        .create_run(&dead, &everyone_lives)
        .await
        .unwrap();
    fixture
        .store
        .heartbeat(run.current_attempt(), at(30))
        .await
        .unwrap();
    let next = new_run("bugs", 42, 90);
    fixture
        .store
        .create_run(&next, &|asked| asked.pid != 41)
        .await
        .unwrap();
    let left = fixture.store.run(&dead.id.to_string()).await.unwrap();
    assert_eq!(left.state, RunState::Interrupted);
    assert_eq!(left.finished_at, Some(at(30)), "when it was last heard of");
    let error = left.error.unwrap();
    assert_eq!(
        error.message,
        "process 41 on laptop-example went away without ending the run"
    );
    assert_eq!(error.class, ErrorClass::Transient);
}

pub(crate) async fn a_run_without_its_owner_reads_as_interrupted(fixture: &Fixture) {
    let (run, attempt) = running(&*fixture.store, "bugs").await;
    assert_eq!(run.observed_state(&everyone_lives), RunState::Running);
    assert_eq!(run.observed_state(&nobody_lives), RunState::Interrupted);
    let finished = fixture
        .store
        .finish_run(attempt, &end(Outcome::Succeeded, 9))
        .await
        .unwrap();
    assert_eq!(finished.observed_state(&nobody_lives), RunState::Succeeded);
}

pub(crate) async fn the_same_end_may_be_recorded_twice(fixture: &Fixture) {
    let (_, attempt) = running(&*fixture.store, "bugs").await;
    let first = fixture
        .store
        .finish_run(attempt, &end(Outcome::Cancelled, 40))
        .await
        .unwrap();
    let again = fixture
        .store
        .finish_run(attempt, &end(Outcome::Cancelled, 41))
        .await
        .unwrap();
    assert_eq!(again, first, "the first end stands");
    assert_eq!(again.finished_at, Some(at(40)));
}

pub(crate) async fn a_request_to_stop_is_of_one_attempt(fixture: &Fixture) {
    let (_, attempt) = running(fixture.store.as_ref(), "bugs").await;
    assert!(!fixture.store.cancel_requested(attempt).await.unwrap());
    for at_second in [1, 2] {
        fixture
            .second
            .request_cancel(attempt, at(at_second))
            .await
            .unwrap();
    }
    assert!(fixture.store.cancel_requested(attempt).await.unwrap());

    fixture
        .store
        .finish_run(attempt, &end(Outcome::Cancelled, 3))
        .await
        .unwrap();
    let refused = fixture.second.request_cancel(attempt, at(4)).await;
    assert!(
        matches!(refused, Err(StoreError::NotRunning { .. })),
        "{refused:?}"
    );
    let claim = super::claim(7, 5);
    let again = fixture
        .store
        .adopt_run(attempt, &claim, &nobody_lives)
        .await;
    let again = again.unwrap().current_attempt();
    assert!(!fixture.store.cancel_requested(again).await.unwrap());
    let stale = fixture.second.request_cancel(attempt, at(6)).await;
    assert!(
        matches!(stale, Err(StoreError::Superseded { .. })),
        "{stale:?}"
    );
}
