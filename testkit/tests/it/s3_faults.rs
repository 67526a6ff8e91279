//! Faults: each happens to the request it was meant for, before or after the effect, as often as it was told.

use std::sync::{Arc, Mutex};

use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use testkit::s3::{Behaviour, Fault, Operation, Refusal, Verdict};
use testkit::wait_for;

use super::client::{Raw, server, store};

#[tokio::test]
async fn requests_are_numbered_and_named_from_the_last_reset() {
    let server = server(Behaviour::default());
    let s3 = store(&server, 0);
    s3.put(&Path::from("before"), "1".into()).await.unwrap();
    server.reset();
    let path = Path::from("t/y=1/ä b");
    s3.put(&path, "1".into()).await.unwrap();
    s3.head(&path).await.unwrap();
    s3.get(&path).await.unwrap();
    s3.copy(&path, &Path::from("c")).await.unwrap();
    s3.list_with_delimiter(Some(&Path::from("t")))
        .await
        .unwrap();
    let id = s3.create_multipart(&path).await.unwrap();
    let part = s3.put_part(&path, &id, 0, "1".into()).await.unwrap();
    s3.complete_multipart(&path, &id, vec![part]).await.unwrap();
    s3.abort_multipart(&path, &id).await.unwrap_err();
    s3.delete(&path).await.unwrap();
    let raw = Raw::of(&server);
    raw.send("GET", "?prefix=t%2F&uploads=", &[], "").await;
    raw.send("DELETE", "/t/x", &[], "").await;
    let requests = server.requests();
    let seen: Vec<(Operation, &str)> = requests
        .iter()
        .map(|request| (request.operation, request.key.as_str()))
        .collect();
    let key = path.as_ref();
    assert_eq!(
        seen,
        [
            (Operation::PutObject, key),
            (Operation::HeadObject, key),
            (Operation::GetObject, key),
            (Operation::CopyObject, "c"),
            (Operation::ListObjects, "t/"),
            (Operation::CreateMultipartUpload, key),
            (Operation::UploadPart, key),
            (Operation::CompleteMultipartUpload, key),
            (Operation::AbortMultipartUpload, key),
            (Operation::DeleteObjects, ""),
            (Operation::ListMultipartUploads, "t/"),
            (Operation::DeleteObject, "t/x"),
        ]
    );
    let numbers: Vec<usize> = requests.iter().map(|request| request.number).collect();
    assert_eq!(numbers, (0..12).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_refused_request_has_no_effect_and_its_repeat_succeeds_when_the_fault_is_used_up() {
    for how in [
        Refusal::InternalError,
        Refusal::Unavailable,
        Refusal::SlowDown,
        Refusal::Cut,
    ] {
        let server = server(Behaviour::default());
        let fault = server.inject(Fault::refuse(how).on(Operation::PutObject).times(2));
        let path = Path::from("a");
        store(&server, 1)
            .put(&path, "1".into())
            .await
            .expect_err("two tries are two faults");
        assert_eq!(server.objects("").len(), 0, "{how:?}");
        store(&server, 0).put(&path, "2".into()).await.unwrap();
        assert_eq!((fault.fired(), server.requests().len()), (2, 3), "{how:?}");

        server.inject(Fault::refuse(how).times(1));
        store(&server, 1).put(&path, "3".into()).await.unwrap();
        assert_eq!(server.object("a").unwrap(), "3", "{how:?}");
    }
}

#[tokio::test]
async fn a_lost_acknowledgement_is_an_effect_that_the_client_does_not_learn_of() {
    for how in [Refusal::InternalError, Refusal::Unavailable, Refusal::Cut] {
        let server = server(Behaviour::default());
        let path = Path::from("a");
        let create = || PutOptions::from(PutMode::Create);
        let lost = server.inject(Fault::lose(how).at(0).times(1));
        let put = store(&server, 0)
            .put_opts(&path, "1".into(), create())
            .await;
        assert!(put.is_err(), "{how:?}");
        assert_eq!(server.object("a").unwrap(), "1");
        assert_eq!(lost.fired(), 1);
        if how == Refusal::Cut {
            continue;
        }
        // A client that repeats a create by itself is told that somebody was first: it was itself.
        server.inject(Fault::lose(how).key("b").times(1));
        let put = store(&server, 3)
            .put_opts(&Path::from("b"), "1".into(), create())
            .await;
        assert!(matches!(put, Err(Error::AlreadyExists { .. })), "{put:?}");
    }
}

#[tokio::test]
async fn a_halved_reply_begins_well_breaks_off_and_is_continued_by_a_client_that_repeats() {
    let server = server(Behaviour::default());
    server.put_object("a", "0123456789").unwrap();
    let path = Path::from("a");
    let halved = server.inject(Fault::halve().at(0).times(1));
    let begun = store(&server, 0).get(&path).await.unwrap();
    assert_eq!(begun.meta.size, 10, "the head is whole");
    begun.bytes().await.expect_err("the body is not");
    assert_eq!((halved.fired(), server.requests().len()), (1, 1));

    server.inject(Fault::halve().on(Operation::GetObject).times(1));
    let whole = store(&server, 1).get(&path).await.unwrap();
    assert_eq!(whole.bytes().await.unwrap(), "0123456789");
    // The repeat asks for what is missing alone.
    assert_eq!(server.requests().len(), 3);

    // There is no middle of a reply without a body, and nothing reads the middle of a listing.
    server.inject(Fault::halve().on(Operation::HeadObject).times(1));
    store(&server, 0).head(&path).await.unwrap_err();
    server.inject(Fault::halve().on(Operation::ListObjects).times(1));
    store(&server, 0)
        .list_with_delimiter(None)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn a_completion_whose_reply_is_lost_becomes_not_found_where_uploads_are_forgotten() {
    for (behaviour, how) in [Behaviour::default(), Behaviour::GARAGE]
        .into_iter()
        .flat_map(|behaviour| {
            [Refusal::InternalError, Refusal::Cut, Refusal::ErrorInBody].map(|how| (behaviour, how))
        })
    {
        let server = server(behaviour);
        let s3 = store(&server, 3);
        let path = Path::from("a");
        let id = s3.create_multipart(&path).await.unwrap();
        let part = s3.put_part(&path, &id, 0, "1".into()).await.unwrap();
        let fault = server.inject(
            Fault::lose(how)
                .on(Operation::CompleteMultipartUpload)
                .times(1),
        );
        let complete = s3.complete_multipart(&path, &id, vec![part]).await;
        assert_eq!(fault.fired(), 1);
        assert_eq!(server.object("a").unwrap(), "1");
        if behaviour == Behaviour::default() {
            complete.unwrap();
        } else {
            assert!(
                matches!(complete, Err(Error::NotFound { .. })),
                "{complete:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_created_upload_whose_reply_is_lost_is_left_behind() {
    let server = server(Behaviour::default());
    server.inject(Fault::lose(Refusal::InternalError).times(1));
    let id = store(&server, 1)
        .create_multipart(&Path::from("a"))
        .await
        .unwrap();
    let pending = server.pending_uploads();
    assert_eq!(pending.len(), 2);
    assert_eq!(pending[1].upload_id, id);
}

#[tokio::test]
async fn an_abort_whose_reply_is_lost_is_not_found_when_repeated() {
    let server = server(Behaviour::default());
    let s3 = store(&server, 1);
    let path = Path::from("a");
    let id = s3.create_multipart(&path).await.unwrap();
    server.inject(Fault::lose(Refusal::InternalError).times(1));
    let aborted = s3.abort_multipart(&path, &id).await;
    assert!(
        matches!(aborted, Err(Error::NotFound { .. })),
        "{aborted:?}"
    );
    assert_eq!(server.pending_uploads(), []);
}

#[tokio::test]
async fn a_fault_with_a_number_meets_that_request_and_its_repeats_and_no_other() {
    let server = server(Behaviour::default());
    let fault = server.inject(Fault::refuse(Refusal::SlowDown).at(1));
    let s3 = store(&server, 4);
    s3.put(&Path::from("a"), "1".into()).await.unwrap();
    s3.put(&Path::from("b"), "1".into()).await.unwrap_err();
    s3.put(&Path::from("c"), "1".into()).await.unwrap();
    s3.get(&Path::from("b")).await.unwrap_err();
    assert_eq!(fault.fired(), 5);
    assert_eq!(
        server.objects("").keys().collect::<Vec<_>>(),
        ["a", "c"],
        "b was refused each time"
    );
    server.clear_faults();
    s3.put(&Path::from("b"), "1".into()).await.unwrap();
}

#[tokio::test]
async fn a_fault_from_a_number_on_meets_every_later_request() {
    let server = server(Behaviour::default());
    let fault = server.inject(Fault::refuse(Refusal::InvalidRequest).from(1));
    let s3 = store(&server, 4);
    s3.put(&Path::from("a"), "1".into()).await.unwrap();
    s3.put(&Path::from("b"), "1".into()).await.unwrap_err();
    s3.get(&Path::from("a")).await.unwrap_err();
    assert_eq!((fault.fired(), server.requests().len()), (2, 3));
}

#[tokio::test]
async fn a_bucket_goes_back_to_what_it_was() {
    let server = server(Behaviour::default());
    let s3 = store(&server, 0);
    let path = Path::from("a");
    let id = s3.create_multipart(&path).await.unwrap();
    let part = s3.put_part(&path, &id, 0, "1".into()).await.unwrap();
    let before = server.snapshot();
    s3.complete_multipart(&path, &id, vec![part.clone()])
        .await
        .unwrap();
    server.restore(&before);
    assert_eq!(
        (server.objects("").len(), server.pending_uploads().len()),
        (0, 1)
    );
    s3.complete_multipart(&path, &id, vec![part]).await.unwrap();
}

#[tokio::test]
async fn a_held_request_waits_and_others_do_not() {
    let server = Arc::new(server(Behaviour::default()));
    for (fault, there) in [(Fault::hold_before(), false), (Fault::hold_after(), true)] {
        server.reset();
        let held = server.inject(fault.key("held"));
        let s3 = store(&server, 0);
        let path = Path::from(format!("held-{there}"));
        let put = tokio::spawn({
            let (s3, path) = (Arc::clone(&s3), path.clone());
            async move { s3.put(&path, "1".into()).await }
        });
        let looking = Arc::clone(&server);
        let key = path.to_string();
        let waiting = held.clone();
        tokio::task::spawn_blocking(move || {
            wait_for("the request to be held", || {
                (waiting.fired() == 1 && looking.object(&key).is_some() == there).then_some(())
            })
        })
        .await
        .unwrap()
        .unwrap();
        assert!(!put.is_finished());
        held.release();
        put.await.unwrap().unwrap();
        s3.put(&Path::from("other"), "1".into()).await.unwrap();
        assert_eq!(server.object(path.as_ref()).unwrap(), "1");
    }
}

#[tokio::test]
async fn a_callback_sees_its_request_before_or_after_the_effect_and_may_cut() {
    let server = Arc::new(server(Behaviour::default()));
    let s3 = store(&server, 0);
    let seen = Arc::new(Mutex::new(Vec::new()));
    for (moment, verdict) in [
        ("before", Verdict::Continue),
        ("before", Verdict::Cut),
        ("after", Verdict::Continue),
        ("after", Verdict::Cut),
    ] {
        let key = format!("{moment}-{verdict:?}");
        let note = {
            let (seen, looking) = (Arc::clone(&seen), Arc::downgrade(&server));
            move |request: &testkit::s3::Request| {
                let there = looking.upgrade().unwrap().object(&request.key).is_some();
                seen.lock()
                    .unwrap()
                    .push(format!("{} {there}", request.key));
                verdict
            }
        };
        let fault = if moment == "before" {
            Fault::before(note)
        } else {
            Fault::after(note)
        };
        server.inject(fault.key(&key));
        let put = s3.put(&Path::from(key), "1".into()).await;
        assert_eq!(put.is_ok(), verdict == Verdict::Continue);
    }
    assert_eq!(
        *seen.lock().unwrap(),
        [
            "before-Continue false",
            "before-Cut false",
            "after-Continue true",
            "after-Cut true"
        ]
    );
    assert_eq!(
        server.objects("").keys().collect::<Vec<_>>(),
        ["after-Continue", "after-Cut", "before-Continue"]
    );
}
