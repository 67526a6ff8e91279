//! Object stores as a [`Store`]: S3, Google Cloud Storage, Azure, memory. An unfinished upload is the staging area, a
//! conditional put decides who was first, a lease says who is alive. Owns the layout in the bucket.
//!
//! ```text
//! <prefix>/<name>/k=v/part-00000-<token>.parquet    published; before that an unfinished upload to that key
//! <prefix>/.<name>.spillway/commits|intents/…       control
//! <prefix>/.<name>.spillway/staging/<token>/…       staged files that checks or a merge read first: copied, then gone
//! <prefix>/.<name>.spillway/lock.json               the lease (`lease`)
//! <prefix>/.<name>.spillway/storage.json            what this storage was found to do (`probe`)
//! ```
//!
//! Every put and every completion is durable when it returns, so there is nothing to settle.

mod complete;
mod keys;
mod lease;
mod leftovers;
mod owner;
mod probe;
mod upload;

use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{Error as ObjectError, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use url::Url;

use super::{Expected, Lock, PublishedFile, StageTarget, StagedUpload, Store, StoreResult};
use crate::parse::attempt_of_file;
use crate::storage::is_missing_bucket;
use keys::PARALLEL_REQUESTS;
use upload::{Note, ObjectUpload};

pub use keys::BucketStore;

impl BucketStore {
    /// Whether the lease that this store took is still the one in the bucket.
    async fn has_lease(&self) -> StoreResult<bool> {
        let ours = self
            .state
            .lease
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match ours {
            Some(token) => Ok(lease::token_in(self).await? == Some(token)),
            None => Ok(false),
        }
    }
}

#[async_trait]
impl Store for BucketStore {
    fn location(&self) -> &str {
        &self.location
    }

    fn staged_url(&self, folder: &str) -> StoreResult<Url> {
        self.url(&self.staged_path(folder)?, true)
    }

    fn published_url(&self, key: &str) -> StoreResult<Url> {
        self.url(&self.published_path(key)?, false)
    }

    fn object_store(&self) -> Option<(Url, Arc<dyn ObjectStore>)> {
        Some((self.bucket.root().clone(), self.store()))
    }

    fn replaces_in_place(&self, readable: bool) -> bool {
        // A copy replaces in one step everywhere; finishing an upload does where it was found to.
        readable
            || self.bucket.multipart().is_none()
            || self
                .state
                .properties
                .get()
                .is_some_and(|properties| properties.uploads_replace)
    }

    fn parallel_partitions(&self) -> usize {
        PARALLEL_REQUESTS
    }

    async fn prepare(&self) -> StoreResult<()> {
        if self.state.properties.get().is_none() {
            let found = probe::properties(self).await?;
            // Another call may have been first; both found the same.
            let _ = self.state.properties.set(found);
        }
        Ok(())
    }

    async fn lock(&self) -> StoreResult<Option<Box<dyn Lock>>> {
        let Some(lease) = lease::take(self, self.options.lock_ttl()).await? else {
            return Ok(None);
        };
        *self
            .state
            .lease
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(lease.token().to_owned());
        Ok(Some(Box::new(lease)))
    }

    async fn read(&self, key: &str) -> StoreResult<Option<Bytes>> {
        let path = self.control_path(key)?;
        match self.store().get(&path).await {
            Ok(found) => self.content(key, &path, found).await.map(Some),
            Err(error @ ObjectError::NotFound { .. }) if !is_missing_bucket(&error) => Ok(None),
            Err(error) => Err(self.fault("read", &path, error)),
        }
    }

    async fn put(&self, key: &str, content: Bytes) -> StoreResult<()> {
        let path = self.control_path(key)?;
        self.store()
            .put(&path, content.into())
            .await
            .map(drop)
            .map_err(|error| self.fault("write", &path, error))
    }

    async fn put_if_absent(&self, key: &str, content: Bytes) -> StoreResult<bool> {
        let path = self.control_path(key)?;
        let payload = PutPayload::from(content);
        match self
            .store()
            .put_opts(&path, payload, PutMode::Create.into())
            .await
        {
            Ok(_) => Ok(true),
            Err(ObjectError::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(self.fault("write", &path, error)),
        }
    }

    async fn list(&self, folder: &str) -> StoreResult<Vec<String>> {
        let path = self.control_path(folder)?;
        let listed = self
            .store()
            .list_with_delimiter(Some(&path))
            .await
            .map_err(|error| self.fault("list", &path, error))?;
        let objects = listed.objects.iter().map(|object| &object.location);
        Ok(objects
            .chain(&listed.common_prefixes)
            .filter_map(|path| path.filename().map(str::to_owned))
            .collect())
    }

    async fn delete(&self, key: &str) -> StoreResult<()> {
        let path = self.control_path(key)?;
        match self.store().delete(&path).await {
            Ok(()) | Err(ObjectError::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.fault("delete", &path, error)),
        }
    }

    async fn stage(&self, target: &StageTarget) -> StoreResult<Box<dyn StagedUpload>> {
        let as_object = target.readable || self.bucket.multipart().is_none();
        let path = if as_object {
            self.staged_path(&target.staged)?
        } else {
            self.published_path(&target.published)?
        };
        Ok(Box::new(ObjectUpload::new(
            self.clone(),
            path,
            target,
            as_object,
        )))
    }

    /// An object is asked for its size. Of an upload the storage acknowledged every part, which is all that can be known
    /// before it is finished.
    async fn seal(&self, files: &[Expected]) -> StoreResult<()> {
        stream::iter(files.to_vec())
            .map(|file| async move {
                match Note::parse(&file)? {
                    Note::Upload { .. } => Ok(()),
                    Note::Object { .. } => self.check_staged(&file).await,
                }
            })
            .buffer_unordered(PARALLEL_REQUESTS)
            .try_collect()
            .await
    }

    async fn list_staged(&self) -> StoreResult<Vec<String>> {
        self.list("staging").await
    }

    fn others_stage(&self, name: &str) {
        self.shared().insert(name.to_owned());
    }

    async fn give_up(&self, folder: &str) -> StoreResult<()> {
        let name = folder.split('/').next().unwrap_or_default();
        let ours = self.begun().remove(name).unwrap_or_default();
        self.drop_uploads(ours).await?;
        self.delete_below(&self.staged_path(folder)?).await
    }

    async fn abort(&self, name: &str) -> StoreResult<()> {
        let shared = self.shared().remove(name);
        let ours = self.begun().get(name).cloned();
        // Of an attempt whose uploads are all known there is nothing to look for: one of this process alone, unless a
        // request of it was ever repeated.
        let look = shared
            || ours.as_ref().is_none_or(|uploads| !uploads.is_empty())
            || self.bucket.traffic().retried > 0;
        self.drop_uploads(ours.unwrap_or_default()).await?;
        if look {
            // A begin that was answered twice has an upload that nobody knows.
            let mut pending = self.pending().await?;
            pending.retain(|(path, _)| attempt_of_file(path.as_ref()) == Some(name));
            self.drop_uploads(pending).await?;
        }
        self.delete_below(&self.staged_path(name)?).await?;
        self.begun().remove(name);
        Ok(())
    }

    /// Uploads of attempts that are over. They are listed first and the lease is looked at then, so that none of a run
    /// that took the lease meanwhile is among them.
    async fn sweep(&self) -> StoreResult<()> {
        let pending = self.pending().await?;
        if pending.is_empty() || !self.has_lease().await? {
            return Ok(());
        }
        self.drop_uploads(pending).await
    }

    async fn complete(&self, file: &Expected, published: &str) -> StoreResult<()> {
        self.put_in_place(file, &self.published_path(published)?)
            .await
    }

    async fn remove(&self, published: &str) -> StoreResult<()> {
        let path = self.published_path(published)?;
        match self.store().delete(&path).await {
            Ok(()) | Err(ObjectError::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.fault("delete", &path, error)),
        }
    }

    async fn settle(&self, _folders: &[String]) -> StoreResult<()> {
        Ok(())
    }

    async fn list_published(&self) -> StoreResult<Vec<PublishedFile>> {
        let store = self.store();
        let mut listed = store.list(Some(&self.table));
        let failed = |error| self.fault("list", &self.table, error);
        let mut files = Vec::new();
        while let Some(object) = listed.try_next().await.map_err(failed)? {
            if let Some(key) = self.visible_key(&object.location) {
                files.push(PublishedFile {
                    key,
                    bytes: object.size,
                });
            }
        }
        Ok(files)
    }

    async fn published_digest(&self, published: &str) -> StoreResult<Option<String>> {
        let path = self.published_path(published)?;
        self.digest(&path).await
    }

    async fn any_published(&self) -> StoreResult<Option<String>> {
        let store = self.store();
        let mut listed = store.list(Some(&self.table));
        let failed = |error| self.fault("list", &self.table, error);
        while let Some(object) = listed.try_next().await.map_err(failed)? {
            let key = self.visible_key(&object.location);
            if key.is_some() {
                return Ok(key);
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use object_store::path::Path;

    use super::*;
    use crate::storage::StorageOptions;

    #[test]
    fn a_table_has_its_control_prefix_beside_it_and_keys_survive_as_urls() {
        let store = BucketStore::new(
            "memory://names/lake/events/",
            &StorageOptions::from_variables([]),
        )
        .unwrap();
        assert_eq!(store.location(), "memory://names/lake/events");
        assert_eq!(store.control.as_ref(), "lake/.events.spillway");
        let key = "city=a%2Fb c/part-00000-0123456789ab.parquet";
        let url = store.published_url(key).unwrap();
        assert_eq!(
            Path::from_url_path(url.path()).unwrap(),
            store.published_path(key).unwrap()
        );
        assert!(
            store
                .staged_url("t/rows")
                .unwrap()
                .path()
                .ends_with("/t/rows/")
        );
    }

    #[test]
    fn a_location_without_a_name_is_refused() {
        for location in ["memory:///", "memory://names", "memory://names/t?x=1"] {
            let made = BucketStore::new(location, &StorageOptions::from_variables([]));
            assert!(made.is_err(), "{location}");
        }
    }
}
