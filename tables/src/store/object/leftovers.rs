//! What attempts leave in a bucket: uploads that were begun and not finished, and objects in the staging area. Owns how
//! an upload is known to be ours.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{Error as ObjectError, ObjectStore};
use tracing::warn;

use super::keys::{BucketStore, PARALLEL_REQUESTS};
use crate::parse::attempt_of_file;
use crate::storage::is_missing_bucket;
use crate::store::StoreResult;

impl BucketStore {
    pub(super) fn begun(&self) -> MutexGuard<'_, HashMap<String, Vec<(Path, String)>>> {
        self.state
            .begun
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn forget(&self, path: &Path, id: &str) {
        for uploads in self.begun().values_mut() {
            uploads.retain(|(begun, of)| begun != path || of != id);
        }
    }

    pub(super) async fn drop_upload(&self, path: &Path, id: &str) -> StoreResult<()> {
        let Some(multipart) = self.bucket.multipart() else {
            return Ok(());
        };
        match multipart.abort_multipart(path, &id.to_owned()).await {
            // Dropped before, or by a first attempt whose answer was lost.
            Ok(()) | Err(ObjectError::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.fault("drop the upload to", path, error)),
        }
    }

    pub(super) async fn drop_uploads(&self, uploads: Vec<(Path, String)>) -> StoreResult<()> {
        stream::iter(uploads)
            .map(|(path, id)| async move {
                self.drop_upload(&path, &id).await?;
                self.forget(&path, &id);
                Ok(())
            })
            .buffer_unordered(PARALLEL_REQUESTS)
            .try_collect()
            .await
    }

    /// Unfinished uploads of this table's files (T-5: an upload with another name is somebody else's). A server that
    /// cannot list them is no failure: the bucket's lifecycle rule takes them.
    pub(super) async fn pending(&self) -> StoreResult<Vec<(Path, String)>> {
        let Some(pending) = self.bucket.pending() else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for root in [
            format!("{}/", self.table),
            format!("{}/staging/", self.control),
        ] {
            let listed = match pending.list(&root).await {
                Ok(listed) => listed,
                Err(error) if is_missing_bucket(&error) => {
                    return Err(self.fault("list the uploads of", &self.table, error));
                }
                Err(error) => {
                    warn!(table = self.location, %error, "cannot list unfinished uploads; set a lifecycle rule");
                    return Ok(Vec::new());
                }
            };
            for upload in listed {
                if attempt_of_file(&upload.key).is_some()
                    && let Ok(path) = Path::parse(&upload.key)
                {
                    found.push((path, upload.id));
                }
            }
        }
        Ok(found)
    }

    pub(super) async fn delete_below(&self, folder: &Path) -> StoreResult<()> {
        let store = self.store();
        let paths = store
            .list(Some(folder))
            .map_ok(|meta| meta.location)
            .boxed();
        store
            .delete_stream(paths)
            // Gone already, such as by a first attempt whose answer was lost; the ones after it still have to go.
            .filter(|deleted| {
                let gone = matches!(deleted, Err(ObjectError::NotFound { .. }));
                std::future::ready(!gone)
            })
            .try_for_each(|_| async { Ok(()) })
            .await
            .map_err(|error| self.fault("delete", folder, error))
    }
}
