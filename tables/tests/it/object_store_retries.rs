//! An object store that fails for a while, or for good: how often it is asked, and what a run says when it gives up.

use std::error::Error as StdError;

use tables::storage::ObjectFault;
use tables::{Error, PublishMode, StorageOptions, StoreError, causes};
use testkit::s3::{Behaviour, Fault, Operation, Refusal};

use crate::lake::{FIRST, Lake, SECOND, run};
use crate::support::{TestResult, chain, interval};

const TRIES: u64 = 3;

/// A lake after its first run, whose requests are sent three times at most.
async fn lake() -> TestResult<Lake> {
    let mut lake = Lake::start(Behaviour::default())?;
    let retries = [("MAX_RETRIES", "2"), ("RETRY_TIMEOUT", "30")]
        .map(|(name, value)| (format!("PIPELINES_STORAGE_{name}"), value.to_owned()));
    lake.options =
        StorageOptions::from_variables(lake.server.environment().into_iter().chain(retries));
    let (table, overwrite) = (lake.table()?, PublishMode::Overwrite);
    run(&table, "run-1", overwrite, &FIRST, false, interval(1)).await?;
    Ok(lake)
}

async fn second(lake: &Lake) -> TestResult<tables::Commit> {
    let (table, overwrite) = (lake.table()?, PublishMode::Overwrite);
    run(&table, "run-2", overwrite, &SECOND, false, interval(2)).await
}

/// The storage's fault among the causes of an error, and all that it says.
fn told(error: &(dyn StdError + 'static)) -> (Option<ObjectFault>, String) {
    let fault = causes(error).find_map(|cause| {
        let store = match cause.downcast_ref::<Error>() {
            Some(Error::Store(store)) => Some(store),
            _ => cause.downcast_ref::<StoreError>(),
        };
        match store {
            Some(StoreError::Object { fault, .. }) => Some(fault.clone()),
            _ => None,
        }
    });
    (fault, chain(error))
}

#[tokio::test]
async fn a_storage_that_fails_before_the_decision_ends_the_run_and_the_table_is_as_before()
-> TestResult {
    for (refusal, expected) in [
        (
            Refusal::InternalError,
            ObjectFault::Unavailable { tries: TRIES },
        ),
        (Refusal::SlowDown, ObjectFault::Throttled { tries: TRIES }),
    ] {
        let lake = lake().await?;
        let files = lake.files();
        let fault = Fault::refuse(refusal).on(Operation::UploadPart).key("Oulu");
        let fault = lake.server.inject(fault);
        let before = lake.traffic()?;
        let error = second(&lake).await.err().ok_or("it went through")?;
        let (found, text) = told(error.as_ref());
        assert_eq!(found, Some(expected), "{text}");
        assert!(Error::is_transient(error.as_ref()), "{text}");
        assert!(text.contains("3 times in a row; run again"), "{text}");
        assert!(text.contains("city=Oulu"), "the object: {text}");
        assert_eq!(fault.fired() as u64, TRIES);
        assert_eq!(lake.traffic()?.retried - before.retried, TRIES);
        assert_eq!(lake.files(), files, "nothing is published");
        let newest = lake.table()?.current().await?;
        assert_eq!(newest.map(|commit| commit.number), Some(1));

        lake.server.clear_faults();
        // The second record fences off the run that gave up without a word.
        assert_eq!(second(&lake).await?.number, 3);
        lake.assert_at_rest().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_storage_that_fails_after_the_decision_leaves_a_commit_that_the_next_run_finishes()
-> TestResult {
    let lake = lake().await?;
    let fault = Fault::refuse(Refusal::InternalError)
        .on(Operation::CompleteMultipartUpload)
        .key("Oulu");
    let fault = lake.server.inject(fault);
    let error = second(&lake).await.err().ok_or("it went through")?;
    let (found, text) = told(error.as_ref());
    assert_eq!(found, Some(ObjectFault::Unavailable { tries: TRIES }));
    assert!(
        matches!(
            error.downcast_ref::<Error>(),
            Some(Error::RollForward { number: 2, .. })
        ),
        "{text}"
    );
    assert!(text.contains("commit 2 of table s3://"), "{text}");
    assert!(text.contains("finished by the next run"), "{text}");
    assert_eq!(fault.fired() as u64, TRIES);

    lake.server.clear_faults();
    assert_eq!(lake.table()?.recover().await?.rolled_forward, Some(2));
    lake.assert_at_rest().await
}

#[tokio::test]
async fn a_short_call_for_fewer_requests_is_survived_and_counted() -> TestResult {
    let lake = lake().await?;
    let before = lake.traffic()?;
    let burst = [
        Operation::PutObject,
        Operation::UploadPart,
        Operation::CompleteMultipartUpload,
        Operation::ListObjects,
        Operation::GetObject,
    ]
    .map(|operation| {
        let slow = Fault::refuse(Refusal::SlowDown).on(operation).times(1);
        lake.server.inject(slow)
    });
    assert_eq!(second(&lake).await?.number, 2);
    assert!(burst.iter().all(|slow| slow.fired() == 1), "{burst:?}");
    let after = lake.traffic()?;
    assert_eq!(after.throttled - before.throttled, 5);
    assert_eq!(after.retried - before.retried, 5);
    lake.assert_at_rest().await
}

#[tokio::test]
async fn a_completion_that_outlasts_the_patience_of_the_client_is_believed_after_looking()
-> TestResult {
    for completed_uploads_are_forgotten in [false, true] {
        let mut lake = Lake::start(Behaviour {
            completed_uploads_are_forgotten,
            ..Behaviour::default()
        })?;
        let patience = [("AWS_TIMEOUT".to_owned(), "2 seconds".to_owned())];
        lake.options =
            StorageOptions::from_variables(lake.server.environment().into_iter().chain(patience));
        // It takes effect, and is answered never.
        let slow = lake.server.inject(
            Fault::hold_after()
                .on(Operation::CompleteMultipartUpload)
                .key("Oulu")
                .times(1),
        );
        assert_eq!(second(&lake).await?.number, 1);
        assert_eq!(slow.fired(), 1, "the fault did not fire");
        assert!(lake.traffic()?.retried > 0, "it was asked again");
        lake.assert_at_rest().await?;
    }
    Ok(())
}
