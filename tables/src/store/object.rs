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
mod lease;
mod leftovers;
mod owner;
mod probe;
mod upload;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{
    Error as ObjectError, GetResult, ObjectStore, ObjectStoreExt, PutMode, PutPayload,
};
use tokio::sync::Semaphore;
use url::Url;

use super::{
    Expected, Lock, PublishedFile, StageTarget, StagedUpload, Store, StoreError, StoreResult,
    max_bytes, too_many_bytes,
};
use crate::parse::attempt_of_file;
use crate::storage::{Bucket, StorageOptions, bucket, fault, is_missing_bucket};
use probe::Properties;
use upload::{Note, ObjectUpload};

/// Requests of one table that are under way at a time, where many are to be made.
const PARALLEL_REQUESTS: usize = 16;
/// Parts of one table that are sent at a time; each holds its bytes in memory.
const PARALLEL_PARTS: usize = 8;

/// A table under a prefix of a bucket, with its control prefix beside it. Clones share what they staged.
#[derive(Debug, Clone)]
pub struct BucketStore {
    location: String,
    bucket: Arc<Bucket>,
    table: Path,
    control: Path,
    options: StorageOptions,
    state: Arc<State>,
}

/// What this process knows of its own work on the table.
#[derive(Debug)]
struct State {
    properties: OnceLock<Properties>,
    /// Uploads that were begun and not finished, by the name of the attempt.
    begun: Mutex<HashMap<String, Vec<(Path, String)>>>,
    /// Attempts of which other processes begin uploads too.
    shared: Mutex<HashSet<String>>,
    parts: Arc<Semaphore>,
    /// The token of the lease this process took last.
    lease: Mutex<Option<String>>,
}

impl BucketStore {
    /// A store for the table at `location`, such as `s3://bucket/prefix/name`. Sends no request.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] for a URL that cannot hold a table, [`StoreError::Object`] without credentials.
    pub fn new(location: &str, options: &StorageOptions) -> StoreResult<Self> {
        let unusable = |reason: String| StoreError::Unusable {
            location: location.to_owned(),
            reason,
        };
        let url = Url::parse(location).map_err(|error| unusable(error.to_string()))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(unusable(
                "a `?` or `#` in the location must be written as %3F or %23".to_owned(),
            ));
        }
        let table = Path::from_url_path(url.path()).map_err(|error| unusable(error.to_string()))?;
        let Some(name) = table.filename().map(str::to_owned) else {
            return Err(unusable(
                "the table needs a name below the bucket, as in s3://bucket/folder/table"
                    .to_owned(),
            ));
        };
        let parent = table
            .as_ref()
            .rsplit_once('/')
            .map_or("", |(parent, _)| parent);
        let control = Path::parse(format!("{parent}/.{name}.spillway"))
            .map_err(|error| unusable(error.to_string()))?;
        Ok(Self {
            location: location.trim_end_matches('/').to_owned(),
            bucket: bucket(&url, options)?,
            table,
            control,
            options: options.clone(),
            state: Arc::new(State {
                properties: OnceLock::new(),
                begun: Mutex::default(),
                shared: Mutex::default(),
                parts: Arc::new(Semaphore::new(PARALLEL_PARTS)),
                lease: Mutex::default(),
            }),
        })
    }

    /// The client of the table's bucket.
    pub fn bucket(&self) -> &Arc<Bucket> {
        &self.bucket
    }

    fn shared(&self) -> MutexGuard<'_, HashSet<String>> {
        self.state
            .shared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self) -> Arc<dyn ObjectStore> {
        self.bucket.object_store()
    }

    fn below(&self, root: &Path, key: &str) -> StoreResult<Path> {
        Path::parse(format!("{root}/{key}")).map_err(|error| StoreError::Unusable {
            location: self.named(root),
            reason: format!("{key:?} cannot be a key: {error}"),
        })
    }

    fn control_path(&self, key: &str) -> StoreResult<Path> {
        self.below(&self.control, key)
    }

    fn staged_path(&self, key: &str) -> StoreResult<Path> {
        self.below(&self.control, &format!("staging/{key}"))
    }

    fn published_path(&self, key: &str) -> StoreResult<Path> {
        self.below(&self.table, key)
    }

    /// The key below the table of an object that readers see; `None` for a hidden one.
    fn visible_key(&self, object: &Path) -> Option<String> {
        let parts: Vec<String> = object
            .prefix_match(&self.table)?
            .map(|part| part.as_ref().to_owned())
            .collect();
        // A partition column may be called `_x`: readers do not take its folders for hidden.
        let hidden = |part: &String| part.starts_with(['.', '_']) && !part.contains('=');
        (!parts.is_empty() && !parts.iter().any(hidden)).then(|| parts.join("/"))
    }

    /// An object as messages name it.
    fn named(&self, path: &Path) -> String {
        format!("{}{path}", self.bucket.root())
    }

    fn fault(&self, action: &'static str, path: &Path, error: ObjectError) -> StoreError {
        fault(action, self.named(path), self.bucket.provider(), error)
    }

    /// The content of a control object, unless it is too large to be ours.
    async fn content(&self, key: &str, path: &Path, found: GetResult) -> StoreResult<Bytes> {
        let limit = max_bytes(key);
        if found.meta.size > limit {
            return Err(too_many_bytes(self.named(path), found.meta.size, limit));
        }
        found
            .bytes()
            .await
            .map_err(|error| self.fault("read", path, error))
    }

    fn url(&self, path: &Path, folder: bool) -> StoreResult<Url> {
        let mut url = self.bucket.root().clone();
        match url.path_segments_mut() {
            Ok(mut segments) => {
                segments
                    .clear()
                    .extend(path.parts().map(|part| part.as_ref().to_owned()));
                if folder {
                    segments.push("");
                }
            }
            Err(()) => {
                return Err(StoreError::Unusable {
                    location: self.location.clone(),
                    reason: "it cannot have keys below it".to_owned(),
                });
            }
        }
        Ok(url)
    }

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
    use super::*;

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
