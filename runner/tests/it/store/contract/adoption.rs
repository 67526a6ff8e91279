//! Taking runs over, and keeping out whoever lost one.

use std::sync::Arc;

use runner::store::{
    Counts, Decision, ErrorClass, MemorySnapshot, Outcome, Output, Quarantined, RunAttempt,
    RunError, RunId, RunMode, RunState, RunStore, StageEnd, StageName, StoreError, Warning,
};
use serde_json::Value;

use super::{
    Fixture, at, chunk, claim, end, everyone_lives, new_run, nobody_lives, owner, running, settings,
};

pub(crate) async fn an_adopted_run_goes_on_as_the_next_attempt(fixture: &Fixture) {
    let store = &*fixture.store;
    let (run, first) = running(store, "bugs").await;
    let mut failed = end(Outcome::Failed, 20);
    failed.error = Some(RunError {
        message: "the service did not answer".to_owned(),
        class: ErrorClass::Transient,
        hint: None,
    });
    failed.exit_code = 6;
    failed.counts.read = 5;
    failed.bytes_read = 5;
    failed.peak_memory_bytes = Some(5);
    store.finish_run(first, &failed).await.unwrap();

    let adopted = store
        .adopt_run(first, &claim(77, 60), &everyone_lives)
        .await
        .unwrap();
    assert_eq!(adopted, store.run(&run.id.to_string()).await.unwrap());
    assert_eq!((adopted.state, adopted.attempt), (RunState::Running, 2));
    assert_eq!(adopted.owner, owner(77, 60));
    assert_eq!(adopted.settings, settings("1GiB", "--memory"));
    assert_eq!(
        (adopted.started_at, adopted.attempt_started_at),
        (at(0), at(60))
    );
    assert_eq!(
        (adopted.finished_at, adopted.exit_code, &adopted.error),
        (None, None, &None)
    );
    assert_eq!(
        (
            adopted.counts,
            adopted.bytes_read,
            adopted.peak_memory_bytes
        ),
        (Counts::default(), 0, None)
    );

    // The owner of the second attempt vanishes.
    let second = RunAttempt {
        run: run.id,
        number: 2,
    };
    let third = store
        .adopt_run(second, &claim(78, 120), &nobody_lives)
        .await
        .unwrap();
    assert_eq!(third.attempt, 3);
    let messages: Vec<String> = store
        .document(run.id)
        .await
        .unwrap()
        .warnings
        .into_iter()
        .map(|warning| warning.message)
        .collect();
    assert_eq!(
        messages,
        [
            "attempt 1 is recorded as failed: the service did not answer",
            "attempt 2 broke off: process 77 on laptop-example went away",
        ]
    );
}

pub(crate) async fn of_many_adopters_at_once_exactly_one_wins(fixture: &Fixture) {
    let (run, attempt) = running(&*fixture.store, "bugs").await;
    let start = Arc::new(tokio::sync::Barrier::new(24));
    let mut adopters = tokio::task::JoinSet::new();
    for pid in 100..124 {
        let store = Arc::clone(if pid % 2 == 0 {
            &fixture.store
        } else {
            &fixture.second
        });
        let start = Arc::clone(&start);
        adopters.spawn(async move {
            start.wait().await;
            // Process 1, which created the run, is gone; the adopters live.
            store
                .adopt_run(attempt, &claim(pid, 60), &|asked| asked.pid != 1)
                .await
        });
    }
    let answers = adopters.join_all().await;
    let winners = answers.iter().flatten().count();
    assert_eq!(winners, 1, "{answers:?}");
    for refusal in answers.into_iter().filter_map(Result::err) {
        assert!(
            matches!(refusal, StoreError::AlreadyRunning { run: other, .. } if other == run.id),
            "{refusal:?}"
        );
    }
    // Even when the winner is gone as well, the attempt that was seen is not the current one any more.
    let late = fixture
        .store
        .adopt_run(attempt, &claim(200, 90), &nobody_lives)
        .await
        .unwrap_err();
    assert!(
        matches!(
            late,
            StoreError::Superseded {
                attempt: 1,
                current: 2,
                ..
            }
        ),
        "{late:?}"
    );
}

pub(crate) async fn a_live_or_published_or_unknown_run_cannot_be_adopted(fixture: &Fixture) {
    let store = &*fixture.store;
    let (_, attempt) = running(store, "bugs").await;
    let live = store
        .adopt_run(attempt, &claim(2, 5), &everyone_lives)
        .await
        .unwrap_err();
    assert!(
        matches!(live, StoreError::AlreadyRunning { pid: 1, .. }),
        "{live:?}"
    );
    for (pipeline, outcome, state) in [
        ("succeeding", Outcome::Succeeded, RunState::Succeeded),
        ("parting", Outcome::Partial, RunState::Partial),
    ] {
        let (_, attempt) = running(store, pipeline).await;
        store.finish_run(attempt, &end(outcome, 5)).await.unwrap();
        let published = store
            .adopt_run(attempt, &claim(2, 6), &nobody_lives)
            .await
            .unwrap_err();
        assert!(
            matches!(published, StoreError::NotResumable { state: found, .. } if found == state),
            "{published:?}"
        );
    }
    let unknown = RunAttempt {
        run: RunId::mint(at(0)),
        number: 1,
    };
    let refusal = store
        .adopt_run(unknown, &claim(2, 6), &nobody_lives)
        .await
        .unwrap_err();
    assert!(
        matches!(refusal, StoreError::NotFound { .. }),
        "{refusal:?}"
    );
}

pub(crate) async fn a_run_cannot_be_adopted_while_another_of_its_pipeline_runs(fixture: &Fixture) {
    let store = &*fixture.store;
    let (old, attempt) = running(store, "bugs").await;
    store
        .finish_run(attempt, &end(Outcome::Cancelled, 5))
        .await
        .unwrap();
    let newer = new_run("bugs", 42, 10);
    store.create_run(&newer, &everyone_lives).await.unwrap();
    let refusal = store
        .adopt_run(attempt, &claim(43, 20), &everyone_lives)
        .await
        .unwrap_err();
    assert!(
        matches!(refusal, StoreError::AlreadyRunning { run, .. } if run == newer.id),
        "{refusal:?}"
    );
    let unchanged = store.run(&old.id.to_string()).await.unwrap();
    assert_eq!(
        (unchanged.state, unchanged.attempt),
        (RunState::Cancelled, 1)
    );

    let adopted = store
        .adopt_run(attempt, &claim(43, 30), &nobody_lives)
        .await
        .unwrap();
    assert_eq!(adopted.state, RunState::Running);
    let newer = store.run(&newer.id.to_string()).await.unwrap();
    assert_eq!(newer.state, RunState::Interrupted);
}

/// Asks for every verb that writes for a run, and returns what each answered.
async fn every_write(
    store: &dyn RunStore,
    attempt: RunAttempt,
) -> Vec<(&'static str, Result<(), StoreError>)> {
    let decision = Decision {
        estimated_rows: None,
        threshold_rows: None,
        reason: "asked for".to_owned(),
        detail: Value::Null,
    };
    let stage = StageEnd {
        at: at(50),
        rows: 1,
        bytes: 1,
        detail: Value::Null,
    };
    let snapshot = MemorySnapshot {
        at: at(50),
        label: "stale".to_owned(),
        rss_bytes: 1,
        virtual_bytes: 1,
        percent: 0.1,
        peak_bytes: 1,
        average_bytes: 1,
    };
    let item = Quarantined {
        source: "bugs".to_owned(),
        unit: None,
        resource: None,
        url: "https://example.org/bugs/1".to_owned(),
        reason: "stale".to_owned(),
        class: "stale".to_owned(),
        body: None,
        row: None,
        at: at(50),
    };
    let warning = Warning {
        at: at(50),
        message: "stale".to_owned(),
    };
    let output = Output {
        name: "stale".to_owned(),
        location: "stale".to_owned(),
        mode: "overwrite".to_owned(),
        commit: None,
        files: 0,
        rows: 0,
        bytes: 0,
        files_added: 0,
        files_removed: 0,
        files_unchanged: 0,
    };
    vec![
        ("heartbeat", store.heartbeat(attempt, at(50)).await),
        (
            "record_decision",
            store
                .record_decision(attempt, RunMode::Local, &decision)
                .await,
        ),
        (
            "start_stage",
            store.start_stage(attempt, StageName::Plan, at(50)).await,
        ),
        (
            "finish_stage",
            store.finish_stage(attempt, StageName::Plan, &stage).await,
        ),
        (
            "append_chunks",
            store.append_chunks(attempt, &[chunk("bugs", 0)]).await,
        ),
        ("add_snapshot", store.add_snapshot(attempt, &snapshot).await),
        (
            "add_quarantined",
            store.add_quarantined(attempt, &[item]).await.map(|_| ()),
        ),
        ("add_warning", store.add_warning(attempt, &warning).await),
        ("record_output", store.record_output(attempt, &output).await),
        (
            "finish_run",
            store
                .finish_run(attempt, &end(Outcome::Failed, 50))
                .await
                .map(|_| ()),
        ),
    ]
}

pub(crate) async fn a_stale_attempt_writes_nothing(fixture: &Fixture) {
    let store = &*fixture.store;
    let (run, stale) = running(store, "bugs").await;
    store
        .adopt_run(stale, &claim(2, 40), &nobody_lives)
        .await
        .unwrap();
    let before = store.document(run.id).await.unwrap();
    for (verb, answer) in every_write(&*fixture.second, stale).await {
        assert!(
            matches!(
                answer,
                Err(StoreError::Superseded { run: lost, attempt: 1, current: 2 }) if lost == run.id
            ),
            "{verb}: {answer:?}"
        );
    }
    assert_eq!(store.document(run.id).await.unwrap(), before);
}

pub(crate) async fn a_finished_run_takes_no_more_records(fixture: &Fixture) {
    let store = &*fixture.store;
    let (run, attempt) = running(store, "bugs").await;
    store
        .finish_run(attempt, &end(Outcome::Succeeded, 40))
        .await
        .unwrap();
    let before = store.document(run.id).await.unwrap();
    for (verb, answer) in every_write(store, attempt).await {
        assert!(
            matches!(
                answer,
                Err(StoreError::NotRunning {
                    state: RunState::Succeeded,
                    ..
                })
            ),
            "{verb}: {answer:?}"
        );
    }
    assert_eq!(store.document(run.id).await.unwrap(), before);
}
