//! What object stores of other makers do with the calls that the commit protocol is made of. Where a test of our own
//! server says the same, it is not only our reading.

use std::sync::Arc;

use bytes::Bytes;
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{ClientOptions, Error, ObjectStore, ObjectStoreExt, PutMode};
use testkit::Service;
use testkit::s3::Behaviour;

use super::client::{builder_of, server, store};

/// The calls that every kind of store must answer alike.
async fn check_protocol(store: Arc<impl ObjectStore + MultipartStore>) -> anyhow::Result<()> {
    let path = Path::from("t/y=1/a b.parquet");
    let created = store
        .put_opts(&path, "old".into(), PutMode::Create.into())
        .await?;
    let again = store
        .put_opts(&path, "new".into(), PutMode::Create.into())
        .await;
    assert!(
        matches!(again, Err(Error::AlreadyExists { .. })),
        "{again:?}"
    );
    store
        .put_opts(
            &path,
            "mid".into(),
            PutMode::Update(created.clone().into()).into(),
        )
        .await?;
    let stale = store
        .put_opts(&path, "new".into(), PutMode::Update(created.into()).into())
        .await;
    assert!(
        matches!(stale, Err(Error::Precondition { .. })),
        "{stale:?}"
    );

    let parts = [Bytes::from(vec![1; 5 << 20]), Bytes::from(vec![2; 9])];
    let id = store.create_multipart(&path).await?;
    let mut ids = Vec::new();
    for (index, part) in parts.iter().enumerate().rev() {
        let put = store.put_part(&path, &id, index, part.clone().into());
        ids.insert(0, put.await?);
    }
    let seen = store.get(&path).await?.bytes().await?;
    assert_eq!(seen, "mid", "nobody sees an upload that is not complete");
    store.complete_multipart(&path, &id, ids).await?;
    assert_eq!(store.get(&path).await?.bytes().await?, parts.concat());

    let listed = store.list_with_delimiter(Some(&Path::from("t"))).await?;
    assert_eq!(listed.common_prefixes, [Path::from("t/y=1")]);
    store.delete(&path).await?;
    let gone = store.head(&path).await;
    assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
    Ok(())
}

/// What S3 promises besides, and Azure does not.
async fn check_uploads_of_s3(store: Arc<impl ObjectStore + MultipartStore>) -> anyhow::Result<()> {
    let path = Path::from("u");
    let id = store.create_multipart(&path).await?;
    let part = store.put_part(&path, &id, 0, "part".into()).await?;
    store.put(&path, "plain".into()).await?;
    let first = store
        .complete_multipart(&path, &id, vec![part.clone()])
        .await?;
    let second = store.complete_multipart(&path, &id, vec![part]).await?;
    assert_eq!(first.e_tag, second.e_tag, "a completion may be repeated");
    assert_eq!(
        first.e_tag,
        store.head(&path).await?.e_tag,
        "and it replaced the plain object"
    );

    let id = store.create_multipart(&path).await?;
    store.abort_multipart(&path, &id).await?;
    let aborted = store.abort_multipart(&path, &id).await;
    assert!(
        matches!(aborted, Err(Error::NotFound { .. })),
        "{aborted:?}"
    );
    Ok(())
}

#[tokio::test]
async fn our_server_answers_the_protocol() -> anyhow::Result<()> {
    let server = server(Behaviour::default());
    check_protocol(store(&server, 0)).await?;
    check_uploads_of_s3(store(&server, 0)).await
}

#[tokio::test]
async fn moto_answers_the_protocol_as_our_server_does() -> anyhow::Result<()> {
    let Some(moto) = Service::moto()? else {
        return Ok(());
    };
    let store = Arc::new(builder_of(moto.bucket(), moto.environment(), 0).build()?);
    check_protocol(Arc::clone(&store)).await?;
    check_uploads_of_s3(store).await
}

#[tokio::test]
async fn azurite_answers_the_protocol() -> anyhow::Result<()> {
    let Some(azurite) = Service::azurite()? else {
        return Ok(());
    };
    let mut builder = MicrosoftAzureBuilder::new()
        .with_container_name(azurite.bucket())
        .with_client_options(ClientOptions::new().with_allow_http(true));
    for (name, value) in azurite.environment() {
        let key: AzureConfigKey = name.to_lowercase().parse()?;
        builder = builder.with_config(key, value);
    }
    check_protocol(Arc::new(builder.build()?)).await
}

#[tokio::test]
async fn garage_ignores_conditions_and_keeps_one_upload_for_a_key() -> anyhow::Result<()> {
    let Some(garage) = Service::garage()? else {
        return Ok(());
    };
    let store = builder_of(garage.bucket(), garage.environment(), 0).build()?;
    let path = Path::from("a");
    for _ in 0..2 {
        store
            .put_opts(&path, "1".into(), PutMode::Create.into())
            .await?;
    }
    let id = store.create_multipart(&path).await?;
    let part = store.put_part(&path, &id, 0, "part".into()).await?;
    store.put(&path, "plain".into()).await?;
    let complete = store.complete_multipart(&path, &id, vec![part]).await;
    assert!(
        matches!(complete, Err(Error::NotFound { .. })),
        "{complete:?}"
    );
    Ok(())
}
