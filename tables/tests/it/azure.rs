//! What only Azure does: an upload cannot be aborted, and a late completion makes the object all the same. So nothing may
//! depend on an abort: a run that was overtaken is kept from deciding, and what it decided is finished before it goes on.

use std::sync::Arc;

use object_store::ObjectStoreExt;
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use tables::{Commit, Error, PublishMode};
use testkit::Service;

use crate::faulty::held_store;
use crate::lake::{FIRST, SECOND, run, stage};
use crate::servers::{Place, azure};
use crate::support::{Event, TestResult, by_city, events, info};

#[tokio::test]
async fn an_upload_that_azure_was_told_to_abort_can_be_completed_all_the_same() -> TestResult {
    let Some(service) = Service::azurite()? else {
        return Ok(());
    };
    let mut builder = MicrosoftAzureBuilder::new().with_container_name(service.bucket());
    for (name, value) in service.environment() {
        let key: AzureConfigKey = name.to_ascii_lowercase().parse()?;
        builder = builder.with_config(key, value);
    }
    let client = builder.build()?;
    let path = Path::from("aborted");
    let id = client.create_multipart(&path).await?;
    let part = client.put_part(&path, &id, 0, "late".into()).await?;
    client.abort_multipart(&path, &id).await?;
    assert!(client.head(&path).await.is_err(), "invisible until then");
    // This is the trap. If it is ever refused, the fence has one reason less.
    client.complete_multipart(&path, &id, vec![part]).await?;
    assert_eq!(client.get(&path).await?.bytes().await?, "late");
    Ok(())
}

/// Lets a run wait at a call, lets another one take its lease, recover and commit, and lets the first one go on. Gives
/// what it came to.
async fn overtaken_at(
    place: &Place<'_>,
    what: &'static str,
    key: &'static str,
) -> TestResult<(tables::Result<Commit>, Commit)> {
    place.first(false).await?;
    let (table, hold) = held_store(Arc::new(place.store()?), what, key);
    let (overwrite, rows) = (by_city(PublishMode::Overwrite), events(&SECOND)?);
    let (staging, change) = stage(&table, "paused", overwrite, rows, false).await?;
    let paused = tokio::spawn(async move { staging.publish(change, info(2)).await });
    hold.reached().await;

    // As if it had been silent for too long: it does not know.
    let control = place.objects(".events.spillway").await?;
    let lock = control.get("lock.json").ok_or("no lease")?;
    let mut lock: serde_json::Value = serde_json::from_slice(lock)?;
    lock["released"] = true.into();
    let lock = serde_json::to_vec(&lock)?;
    place.put(".events.spillway/lock.json", lock).await?;

    let rows = [Event(1, "Ghent", 99, Some("newest"))];
    let (table, overwrite) = (place.table()?, PublishMode::Overwrite);
    let newest = run(&table, "overtaker", overwrite, &rows, false, info(3)).await?;
    place.assert_at_rest("before it goes on").await?;
    let files = place.objects("events").await?;
    hold.release();
    let outcome = paused.await?;
    assert_eq!(
        place.objects("events").await?,
        files,
        "T-4: it changed the table: {outcome:?}"
    );
    place.assert_at_rest("after it went on").await?;
    Ok((outcome, newest))
}

#[tokio::test]
async fn a_run_on_azure_whose_uploads_were_not_aborted_is_kept_from_deciding() -> TestResult {
    let Some(service) = Service::azurite()? else {
        return Ok(());
    };
    let server = azure(&service);
    let place = server.place("fenced");
    let (outcome, newest) = overtaken_at(&place, "put_if_absent", "commits/").await?;
    let error = outcome.err().ok_or("T-4: it committed")?;
    assert!(matches!(error, Error::Superseded { .. }), "{error}");
    assert_eq!(newest.number, 3, "one number went to the fence");
    let files = place.objects("events").await?;
    assert_eq!(files.len(), FIRST.len() - 1, "of the first run: {files:?}");
    assert!(!files.keys().any(|key| key.contains("Turku")), "{files:?}");
    Ok(())
}

#[tokio::test]
async fn a_late_completion_on_azure_changes_nothing_when_others_have_finished_its_commit()
-> TestResult {
    let Some(service) = Service::azurite()? else {
        return Ok(());
    };
    let server = azure(&service);
    let place = server.place("late");
    let (outcome, newest) = overtaken_at(&place, "complete", "Ghent").await?;
    if let Err(error) = outcome {
        // Its files were put in place by the other run; that of Ghent is replaced by now.
        assert!(matches!(error, Error::RollForward { .. }), "{error}");
    }
    assert_eq!(newest.number, 3, "the decision stands");
    let files = place.objects("events").await?;
    let turku = files.keys().filter(|key| key.contains("Turku")).count();
    assert_eq!(turku, 1, "finished by the other run: {files:?}");
    let ghent = files.keys().filter(|key| key.contains("Ghent")).count();
    assert_eq!(ghent, 1, "{files:?}");
    Ok(())
}
