//! What a storage does that servers do differently: asked once for a table by trying it, and remembered in the control
//! prefix. Owns the refusal of storages on which a commit could not be decided.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error as ObjectError, ObjectStoreExt, PutMode, PutPayload, UpdateVersion};
use tracing::{info, warn};
use uuid::Uuid;

use super::keys::{BucketStore, Properties};
use crate::storage::Provider;
use crate::store::{Store, StoreError, StoreResult};

const KEY: &str = "storage.json";

/// What was found when the table was first used, or what is found now.
///
/// # Errors
/// [`StoreError::Unusable`] where a conditional put is not one.
pub(super) async fn properties(store: &BucketStore) -> StoreResult<Properties> {
    // A file that cannot be read is no reason to stop: asking again is harmless.
    if let Some(content) = store.read(KEY).await?
        && let Ok(found) = serde_json::from_slice::<Properties>(&content)
        && found.version == 1
    {
        return Ok(found);
    }
    let path = store.control_path(&format!("probe/{}", Uuid::new_v4()))?;
    let probed = probe(store, &path).await;
    // Best effort: a probe that stays behind is a few bytes in the control prefix.
    let deleted = store.store().delete(&path).await;
    if let Err(error) = deleted
        && !matches!(error, ObjectError::NotFound { .. })
    {
        warn!(%error, "could not delete the probe");
    }
    let found = probed?;
    info!(
        table = store.location,
        ?found,
        "looked at what the storage does"
    );
    let content = serde_json::to_vec_pretty(&found).map_err(|error| StoreError::Damaged {
        path: store.named(&path),
        reason: error.to_string(),
    })?;
    store.put(KEY, content.into()).await?;
    Ok(found)
}

async fn probe(store: &BucketStore, path: &Path) -> StoreResult<Properties> {
    let failed = |error| store.fault("try", path, error);
    let put = |content: &'static [u8], mode: PutMode| {
        let payload = PutPayload::from_static(content);
        let objects = store.store();
        async move { objects.put_opts(path, payload, mode.into()).await }
    };
    match put(b"first", PutMode::Create).await {
        // Of a first attempt whose answer was lost: the name is nobody else's.
        Ok(_) | Err(ObjectError::AlreadyExists { .. }) => {}
        Err(error) => return Err(failed(error)),
    }
    let ignored = match put(b"second", PutMode::Create).await {
        Err(ObjectError::AlreadyExists { .. }) => {
            let stale = UpdateVersion {
                e_tag: Some("\"00000000000000000000000000000000\"".to_owned()),
                version: Some("1".to_owned()),
            };
            match put(b"third", PutMode::Update(stale)).await {
                Err(ObjectError::Precondition { .. }) => None,
                Ok(_) => Some("If-Match"),
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(_) => Some("If-None-Match"),
        Err(error) => return Err(failed(error)),
    };
    if let Some(header) = ignored {
        return Err(StoreError::Unusable {
            location: store.location.clone(),
            reason: format!(
                "the storage ignores conditional puts ({header}), so two runs could both publish and nothing would \
                 notice; use a storage that honours them (S3, R2, Cloud Storage, Azure, MinIO, SeaweedFS), or a \
                 folder on a filesystem"
            ),
        });
    }
    let uploads_replace = match store.bucket.provider() {
        Provider::Aws => true,
        // There the blocks belong to the name, and a put drops them.
        Provider::Azure => false,
        _ => uploads_replace(store, path).await?,
    };
    Ok(Properties {
        version: 1,
        uploads_replace,
    })
}

/// Begins an upload to a key that has an object, replaces that object, finishes the upload, and looks.
async fn uploads_replace(store: &BucketStore, path: &Path) -> StoreResult<bool> {
    const UPLOADED: &[u8] = b"uploaded";
    let Some(multipart) = store.bucket.multipart() else {
        return Ok(false);
    };
    let failed = |error| store.fault("try an upload to", path, error);
    let id = multipart.create_multipart(path).await.map_err(failed)?;
    let tried = async {
        let part = multipart
            .put_part(path, &id, 0, PutPayload::from_static(UPLOADED))
            .await?;
        let objects = store.store();
        objects
            .put(path, PutPayload::from_static(b"between"))
            .await?;
        let before: Bytes = objects.get(path).await?.bytes().await?;
        multipart.complete_multipart(path, &id, vec![part]).await?;
        let after = objects.get(path).await?.bytes().await?;
        Ok::<bool, ObjectError>(before == "between" && after == UPLOADED)
    };
    match tried.await {
        Ok(replaces) => Ok(replaces),
        Err(error) => {
            // Such as Garage, where a put ends the upload. New names do there.
            info!(%error, "the storage does not keep an upload apart from the object under its key");
            store.drop_upload(path, &id).await?;
            Ok(false)
        }
    }
}
