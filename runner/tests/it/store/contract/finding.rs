//! Finding and listing runs.

#![expect(clippy::panic, reason = "test code outside #[test] functions")]

use runner::store::{Outcome, RunFilter, RunIdentity, RunState, StoreError};

use super::{Fixture, at, claim, end, everyone_lives, new_run, nobody_lives, parameters};

pub(crate) async fn an_unfinished_run_is_found_by_what_was_asked_for(fixture: &Fixture) {
    let store = &*fixture.store;
    let new = new_run("bugs", 1, 0);
    let identity = new.identity();
    let other = RunIdentity::of("bugs", "d1f0", &parameters("bob-example"));
    assert_eq!(store.find_resumable(&identity).await.unwrap(), None);

    let run = store.create_run(&new, &everyone_lives).await.unwrap();
    let found = store.find_resumable(&identity).await.unwrap().unwrap();
    assert_eq!(found.id, run.id, "its owner may be gone");
    assert_eq!(store.find_resumable(&other).await.unwrap(), None);

    for (outcome, seconds) in [(Outcome::Failed, 10), (Outcome::Cancelled, 30)] {
        let attempt = store.run(&run.id.to_string()).await.unwrap();
        let attempt = attempt.current_attempt();
        store
            .finish_run(attempt, &end(outcome, seconds))
            .await
            .unwrap();
        let found = store.find_resumable(&identity).await.unwrap().unwrap();
        assert_eq!((found.id, found.state), (run.id, outcome.into()));
        store
            .adopt_run(attempt, &claim(1, seconds + 5), &nobody_lives)
            .await
            .unwrap();
    }
    let attempt = store.run(&run.id.to_string()).await.unwrap();
    store
        .finish_run(attempt.current_attempt(), &end(Outcome::Partial, 50))
        .await
        .unwrap();
    assert_eq!(store.find_resumable(&identity).await.unwrap(), None);

    // A failure that a later success made obsolete is not taken up again.
    let failing = store
        .create_run(&new_run("bugs", 1, 60), &everyone_lives)
        .await
        .unwrap();
    store
        .finish_run(failing.current_attempt(), &end(Outcome::Failed, 61))
        .await
        .unwrap();
    let succeeding = store
        .create_run(&new_run("bugs", 1, 70), &everyone_lives)
        .await
        .unwrap();
    store
        .finish_run(succeeding.current_attempt(), &end(Outcome::Succeeded, 71))
        .await
        .unwrap();
    assert_eq!(store.find_resumable(&identity).await.unwrap(), None);
}

pub(crate) async fn a_run_is_found_by_the_beginning_of_its_id(fixture: &Fixture) {
    let store = &*fixture.store;
    // A day apart, so that the first digits differ.
    let mut ids = Vec::new();
    for (pipeline, seconds) in [("bugs", 0), ("questions", 86_400), ("proposals", 86_400)] {
        let new = new_run(pipeline, 1, seconds);
        store.create_run(&new, &everyone_lives).await.unwrap();
        ids.push(new.id);
    }
    let first = ids[0].to_string();
    for typed in [
        first.clone(),
        first[..9].to_owned(),
        first.replace('-', "").to_uppercase(),
    ] {
        assert_eq!(store.run(&typed).await.unwrap().id, ids[0], "{typed}");
    }

    let shared = &ids[1].to_string()[..8];
    let ambiguous = store.run(shared).await.unwrap_err();
    let StoreError::Ambiguous { wanted, matches } = ambiguous else {
        panic!("{ambiguous:?}");
    };
    let mut expected = [ids[1], ids[2]];
    expected.sort();
    expected.reverse();
    assert_eq!(
        (wanted.as_str(), matches.as_slice()),
        (shared, &expected[..])
    );

    // Two digits of the first id change places.
    let mut mistyped: Vec<char> = first[..13].chars().collect();
    let place = (0..7)
        .rev()
        .find(|place| mistyped[*place] != mistyped[place + 1])
        .unwrap();
    mistyped.swap(place, place + 1);
    let mistyped: String = mistyped.into_iter().collect();
    let Err(StoreError::NotFound { near, .. }) = store.run(&mistyped).await else {
        panic!("{mistyped} must not be found");
    };
    assert!(near.contains(&ids[0]), "{mistyped}: {near:?}");

    let Err(StoreError::NotFound { near, .. }) = store.run("questions").await else {
        panic!("a pipeline's name is no id");
    };
    assert_eq!(
        near,
        [ids[1]],
        "a pipeline's name is answered with its runs"
    );
    let Err(StoreError::NotFound { near, .. }) = store.run("' OR 1=1").await else {
        panic!("nothing has this id");
    };
    assert_eq!(near, []);
}

pub(crate) async fn runs_are_listed_newest_first_and_filtered(fixture: &Fixture) {
    let store = &*fixture.store;
    for (pipeline, seconds, outcome) in [
        ("bugs", 10, Some(Outcome::Succeeded)),
        ("questions", 20, Some(Outcome::Failed)),
        ("bugs", 30, Some(Outcome::Failed)),
        ("questions", 40, None),
        ("bugs", 50, None),
    ] {
        let run = store
            .create_run(&new_run(pipeline, 1, seconds), &everyone_lives)
            .await
            .unwrap();
        if let Some(outcome) = outcome {
            store
                .finish_run(run.current_attempt(), &end(outcome, seconds + 1))
                .await
                .unwrap();
        }
    }
    let listed = async |pipeline: Option<&str>, state: Option<RunState>, limit: u32| -> Vec<i64> {
        let filter = RunFilter {
            pipeline: pipeline.map(str::to_owned),
            state,
            limit,
        };
        let runs = fixture.second.runs(&filter).await.unwrap();
        runs.iter()
            .map(|run| (run.started_at - at(0)).num_seconds())
            .collect()
    };
    assert_eq!(listed(None, None, 10).await, [50, 40, 30, 20, 10]);
    assert_eq!(listed(None, None, 2).await, [50, 40]);
    assert_eq!(listed(Some("bugs"), None, 10).await, [50, 30, 10]);
    assert_eq!(listed(None, Some(RunState::Failed), 10).await, [30, 20]);
    assert_eq!(
        listed(Some("bugs"), Some(RunState::Running), 10).await,
        [50]
    );
    assert_eq!(listed(Some("nothing"), None, 10).await, Vec::<i64>::new());
}
