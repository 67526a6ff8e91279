//! Whole runs on object stores: a real S3 wire on loopback, and the memory of the process.

use std::collections::BTreeMap;

use datafusion::arrow::array::{RecordBatch, StringArray};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tables::storage;
use tables::{PublishMode, StorageOptions, Table, TableOptions};
use tempfile::TempDir;
use testkit::s3::{Behaviour, Fault, Operation, Refusal};
use url::Url;

use crate::lake::{FIRST, Lake, MODES, SECOND, rows_of, run, stage};
use crate::support::{
    TestResult, by_city, covered, events, info, interval, ints, rows_below, table_at,
};

async fn expected_of(mode: PublishMode) -> TestResult<Vec<String>> {
    let parent = TempDir::new()?;
    let folder = parent.path().join("events");
    let table = table_at(&folder)?;
    run(
        &table,
        "run-1",
        PublishMode::Overwrite,
        &FIRST,
        true,
        interval(1),
    )
    .await?;
    run(&table, "run-2", mode, &SECOND, true, interval(2)).await?;
    rows_below(&folder)
}

#[tokio::test]
async fn every_mode_on_s3_gives_the_rows_of_the_local_filesystem() -> TestResult {
    for mode in MODES {
        let expected = expected_of(mode).await?;
        for readable in [true, false] {
            let lake = Lake::start(Behaviour::default())?;
            let table = lake.table()?;
            run(
                &table,
                "run-1",
                PublishMode::Overwrite,
                &FIRST,
                readable,
                interval(1),
            )
            .await?;
            lake.assert_at_rest().await?;
            let commit = run(&table, "run-2", mode, &SECOND, readable, interval(2)).await?;
            assert_eq!(commit.number, 2);
            assert_eq!(lake.rows()?, expected, "{mode}, readable: {readable}");
            lake.assert_at_rest().await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_mode_in_memory_gives_the_rows_of_the_local_filesystem() -> TestResult {
    for mode in MODES {
        let location = format!("memory://modes/{mode}");
        let table = Table::open(&location, &StorageOptions::from_variables([]))?;
        run(
            &table,
            "run-1",
            PublishMode::Overwrite,
            &FIRST,
            false,
            interval(1),
        )
        .await?;
        let commit = run(&table, "run-2", mode, &SECOND, false, interval(2)).await?;
        let bucket = storage::bucket(&Url::parse(&location)?, &StorageOptions::from_variables([]))?;
        let mut files = BTreeMap::new();
        for file in &commit.files {
            let path = object_store::path::Path::parse(format!("{mode}/{}", file.path))?;
            let found = object_store::ObjectStoreExt::get(&bucket.object_store(), &path).await?;
            files.insert(file.path.clone(), found.bytes().await?);
        }
        assert_eq!(rows_of(&files)?, expected_of(mode).await?, "{mode}");
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_visible_before_the_decision() -> TestResult {
    for readable in [true, false] {
        let lake = Lake::start(Behaviour::default())?;
        let batch = events(&FIRST)?;
        let options = by_city(PublishMode::Overwrite);
        let (staging, change) = stage(&lake.table()?, "run-1", options, batch, readable).await?;
        assert!(lake.files().is_empty());
        let uploads = lake.server.pending_uploads().len();
        assert_eq!(uploads, if readable { 0 } else { change.added.len() });
        staging.abandon().await?;
        assert_eq!(lake.server.pending_uploads(), []);
        assert!(
            lake.server
                .objects("raw/.events.spillway/staging/")
                .is_empty()
        );
        assert!(
            lake.server
                .objects("raw/.events.spillway/intents/")
                .is_empty()
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_completion_whose_answer_was_lost_is_believed_after_looking() -> TestResult {
    for behaviour in [
        Behaviour::default(),
        Behaviour {
            completed_uploads_are_forgotten: true,
            ..Behaviour::default()
        },
    ] {
        for readable in [true, false] {
            let lake = Lake::start(behaviour)?;
            let table = lake.table()?;
            run(
                &table,
                "run-1",
                PublishMode::Overwrite,
                &FIRST,
                readable,
                interval(1),
            )
            .await?;
            let operation = if readable {
                Operation::CopyObject
            } else {
                Operation::CompleteMultipartUpload
            };
            let lost = Fault::lose(Refusal::InternalError).on(operation).times(1);
            let lost = lake.server.inject(lost);
            run(
                &table,
                "run-2",
                PublishMode::Overwrite,
                &SECOND,
                readable,
                interval(2),
            )
            .await?;
            assert_eq!(lost.fired(), 1, "the fault did not fire");
            lake.assert_at_rest().await?;
            assert_eq!(lake.rows()?, expected_of(PublishMode::Overwrite).await?);
        }
    }
    Ok(())
}

#[tokio::test]
async fn parts_whose_ids_are_xml_are_completed_by_another_table_and_believed_after_looking()
-> TestResult {
    for completed_uploads_are_forgotten in [false, true] {
        let mut lake = Lake::start(Behaviour {
            completed_uploads_are_forgotten,
            ..Behaviour::default()
        })?;
        // With a checksum for each part, its id is a piece of XML that holds both.
        let checksums = [("AWS_CHECKSUM_ALGORITHM".to_owned(), "SHA256".to_owned())];
        lake.options =
            StorageOptions::from_variables(lake.server.environment().into_iter().chain(checksums));
        let (table, overwrite) = (lake.table()?, PublishMode::Overwrite);
        let complete = Operation::CompleteMultipartUpload;
        lake.server
            .inject(Fault::refuse(Refusal::InvalidRequest).on(complete));
        let cut_off = run(&table, "run-1", overwrite, &FIRST, false, info(1)).await;
        let error = cut_off.err().ok_or("a completion was refused")?;
        assert!(error.to_string().contains("commit 1"), "{error}");
        let record = "raw/.events.spillway/commits/00000001.json";
        let record = lake.server.object(record).ok_or("no record")?;
        let record = String::from_utf8(record.to_vec())?;
        assert!(record.contains("PartMetadata"), "{record}");

        lake.server.clear_faults();
        let lost = Fault::lose(Refusal::InternalError).on(complete).times(1);
        let lost = lake.server.inject(lost);
        assert_eq!(lake.table()?.recover().await?.rolled_forward, Some(1));
        assert_eq!(lost.fired(), 1, "the fault did not fire");
        lake.assert_at_rest().await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_upload_that_was_begun_twice_leaves_nothing() -> TestResult {
    let lake = Lake::start(Behaviour::default())?;
    let twice = Fault::lose(Refusal::InternalError)
        .on(Operation::CreateMultipartUpload)
        .key("city=")
        .times(1);
    let twice = lake.server.inject(twice);
    lake.run("run-1", PublishMode::Overwrite, &FIRST, false, info(1))
        .await?;
    assert_eq!(twice.fired(), 1, "the fault did not fire");
    lake.assert_at_rest().await
}

#[tokio::test]
async fn a_storage_that_ignores_conditional_puts_is_refused_with_the_reason() -> TestResult {
    let lake = Lake::start(Behaviour::GARAGE)?;
    let begun = lake
        .run("run-1", PublishMode::Overwrite, &FIRST, false, info(1))
        .await;
    let error = begun.err().ok_or("the run was not refused")?.to_string();
    assert!(error.contains("ignores conditional puts"), "{error}");
    assert!(lake.server.objects("").is_empty(), "and left nothing");
    Ok(())
}

#[tokio::test]
async fn uploads_of_others_stay_and_those_of_dead_attempts_go() -> TestResult {
    let lake = Lake::start(Behaviour::default())?;
    let bucket = storage::bucket(&Url::parse(&lake.location())?, &lake.options)?;
    let store = bucket.object_store();
    let mut foreign = Vec::new();
    for key in [
        "raw/events/city=Ghent/part-00000-0123456789ab.parquet",
        "raw/events/city=Ghent/export.parquet",
        "raw/events2/part-00000-0123456789ab.parquet",
    ] {
        let path = object_store::path::Path::parse(key)?;
        foreign.push(object_store::ObjectStoreExt::put_multipart(&store, &path).await?);
    }
    assert_eq!(lake.server.pending_uploads().len(), 3);
    lake.run("run-1", PublishMode::Overwrite, &FIRST, false, info(1))
        .await?;
    let left: Vec<String> = lake
        .server
        .pending_uploads()
        .into_iter()
        .map(|upload| upload.key)
        .collect();
    assert_eq!(
        left,
        [
            "raw/events/city=Ghent/export.parquet",
            "raw/events2/part-00000-0123456789ab.parquet"
        ],
        "T-5"
    );
    Ok(())
}

#[tokio::test]
async fn a_large_file_goes_in_equal_parts_and_comes_back_whole() -> TestResult {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let rows = 200_000_i64;
    let texts: Vec<String> = (0..rows)
        .map(|_| {
            format!(
                "{:032x}{:032x}",
                random.random::<u128>(),
                random.random::<u128>()
            )
        })
        .collect();
    let batch = RecordBatch::try_from_iter([
        ("id", ints(0..rows)),
        (
            "text",
            std::sync::Arc::new(StringArray::from_iter_values(texts)),
        ),
    ])?;
    for readable in [true, false] {
        let lake = Lake::start(Behaviour::default())?;
        let options = TableOptions {
            mode: PublishMode::Replace,
            compression: tables::Compression::None,
            row_group_rows: 50_000,
            ..TableOptions::default()
        };
        let (staging, change) =
            stage(&lake.table()?, "run", options, batch.clone(), readable).await?;
        let uploads = lake.server.pending_uploads();
        if !readable {
            let [upload] = uploads.as_slice() else {
                return Err(format!("{uploads:?}").into());
            };
            assert!(upload.parts > 1, "{upload:?}");
            assert_eq!(upload.bytes as u64, change.bytes_written);
        }
        let commit = staging.publish(change, info(i64::from(readable))).await?;
        assert_eq!(commit.totals.rows, 200_000);
        lake.assert_at_rest().await?;
    }
    Ok(())
}

#[tokio::test]
async fn requests_are_counted_as_the_server_saw_them() -> TestResult {
    let lake = Lake::start(Behaviour::default())?;
    let slow = Fault::refuse(Refusal::SlowDown)
        .on(Operation::UploadPart)
        .times(1);
    let slow = lake.server.inject(slow);
    lake.run("run-1", PublishMode::Overwrite, &FIRST, false, info(1))
        .await?;
    assert_eq!(slow.fired(), 1, "the fault did not fire");
    let traffic = lake.traffic()?;
    let seen = lake.server.requests();
    let count = |operations: &[Operation]| {
        seen.iter()
            .filter(|request| operations.contains(&request.operation))
            .count() as u64
    };
    assert_eq!(traffic.requests(), seen.len() as u64);
    assert_eq!(
        traffic.reads,
        count(&[Operation::GetObject, Operation::HeadObject])
    );
    assert_eq!(
        traffic.lists,
        count(&[Operation::ListObjects, Operation::ListMultipartUploads])
    );
    assert_eq!((traffic.throttled, traffic.retried), (1, 1));
    assert!(traffic.bytes_sent > 0 && traffic.bytes_received > 0);
    assert_eq!(traffic.cost(tables::Provider::S3Compatible), None);
    assert!(
        traffic
            .cost(tables::Provider::Aws)
            .is_some_and(|dollars| dollars > 0.0)
    );
    Ok(())
}

#[tokio::test]
async fn a_run_looks_at_the_log_once_before_it_stages() -> TestResult {
    let lake = Lake::start(Behaviour::default())?;
    let (table, overwrite) = (lake.table()?, PublishMode::Overwrite);
    run(&table, "run-1", overwrite, &FIRST, false, interval(1)).await?;
    lake.server.reset();
    let recovered = lake.table()?.recover().await?;
    assert!(recovered.is_clean());
    let recovery = lake.server.requests().len();
    lake.server.reset();
    let table = lake.table()?;
    run(&table, "run-2", overwrite, &SECOND, false, interval(2)).await?;
    let requests = lake.server.requests();
    let listings = requests.iter().filter(|request| {
        request.operation == Operation::ListObjects && request.key.contains("commits")
    });
    assert_eq!(listings.count(), 1);
    covered(&format!(
        "{} requests of a run that replaces three partitions, {recovery} of a recovery alone",
        requests.len()
    ));
    assert!(requests.len() <= 31, "{requests:?}");
    Ok(())
}

#[tokio::test]
async fn wrong_credentials_and_missing_buckets_are_told_with_what_to_do() -> TestResult {
    let lake = Lake::start(Behaviour::default())?;
    let mut variables = lake.server.environment();
    for (name, value) in &mut variables {
        if name == "AWS_SECRET_ACCESS_KEY" {
            "wrong".clone_into(value);
        }
    }
    let wrong = StorageOptions::from_variables(variables);
    let denied = Table::open(&lake.location(), &wrong)?.current().await;
    // A listing says so in its text alone.
    let denied = denied.err().ok_or("a wrong secret was taken")?.to_string();
    assert!(denied.contains("AWS_SECRET_ACCESS_KEY"), "{denied}");
    let missing = Table::open("s3://no-such-bucket/t", &lake.options)?
        .current()
        .await;
    let missing = missing.err().ok_or("there is no such bucket")?.to_string();
    assert!(missing.contains("no such bucket"), "{missing}");
    Ok(())
}
