//! Where the parts of a table are in a bucket, and what this process knows of its own work on it. Sends no request but for
//! what it is given.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error as ObjectError, GetResult, ObjectStore};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use url::Url;

use crate::storage::{Bucket, StorageOptions, bucket, fault};
use crate::store::{StoreError, StoreResult, max_bytes, too_many_bytes};

/// Requests of one table that are under way at a time, where many are to be made.
pub(super) const PARALLEL_REQUESTS: usize = 16;
/// Parts of one table that are sent at a time; each holds its bytes in memory.
const PARALLEL_PARTS: usize = 8;

/// What the storage was found to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Properties {
    pub(super) version: u64,
    /// A pending upload survives whatever happens to its key, and finishing it replaces the object there in one step.
    pub(super) uploads_replace: bool,
}

/// A table under a prefix of a bucket, with its control prefix beside it. Clones share what they staged.
#[derive(Debug, Clone)]
pub struct BucketStore {
    pub(super) location: String,
    pub(super) bucket: Arc<Bucket>,
    pub(super) table: Path,
    pub(super) control: Path,
    pub(super) options: StorageOptions,
    pub(super) state: Arc<State>,
}

/// What this process knows of its own work on the table.
#[derive(Debug)]
pub(super) struct State {
    pub(super) properties: OnceLock<Properties>,
    /// Uploads that were begun and not finished, by the name of the attempt.
    pub(super) begun: Mutex<HashMap<String, Vec<(Path, String)>>>,
    /// Attempts of which other processes begin uploads too.
    pub(super) shared: Mutex<HashSet<String>>,
    pub(super) parts: Arc<Semaphore>,
    /// The token of the lease this process took last.
    pub(super) lease: Mutex<Option<String>>,
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

    pub(super) fn shared(&self) -> MutexGuard<'_, HashSet<String>> {
        self.state
            .shared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn store(&self) -> Arc<dyn ObjectStore> {
        self.bucket.object_store()
    }

    fn below(&self, root: &Path, key: &str) -> StoreResult<Path> {
        Path::parse(format!("{root}/{key}")).map_err(|error| StoreError::Unusable {
            location: self.named(root),
            reason: format!("{key:?} cannot be a key: {error}"),
        })
    }

    pub(super) fn control_path(&self, key: &str) -> StoreResult<Path> {
        self.below(&self.control, key)
    }

    pub(super) fn staged_path(&self, key: &str) -> StoreResult<Path> {
        self.below(&self.control, &format!("staging/{key}"))
    }

    pub(super) fn published_path(&self, key: &str) -> StoreResult<Path> {
        self.below(&self.table, key)
    }

    /// The key below the table of an object that readers see; `None` for a hidden one.
    pub(super) fn visible_key(&self, object: &Path) -> Option<String> {
        let parts: Vec<String> = object
            .prefix_match(&self.table)?
            .map(|part| part.as_ref().to_owned())
            .collect();
        // A partition column may be called `_x`: readers do not take its folders for hidden.
        let hidden = |part: &String| part.starts_with(['.', '_']) && !part.contains('=');
        (!parts.is_empty() && !parts.iter().any(hidden)).then(|| parts.join("/"))
    }

    /// An object as messages name it.
    pub(super) fn named(&self, path: &Path) -> String {
        format!("{}{path}", self.bucket.root())
    }

    pub(super) fn fault(
        &self,
        action: &'static str,
        path: &Path,
        error: ObjectError,
    ) -> StoreError {
        fault(action, self.named(path), self.bucket.provider(), error)
    }

    /// The content of a control object, unless it is too large to be ours.
    pub(super) async fn content(
        &self,
        key: &str,
        path: &Path,
        found: GetResult,
    ) -> StoreResult<Bytes> {
        let limit = max_bytes(key);
        if found.meta.size > limit {
            return Err(too_many_bytes(self.named(path), found.meta.size, limit));
        }
        found
            .bytes()
            .await
            .map_err(|error| self.fault("read", path, error))
    }

    pub(super) fn url(&self, path: &Path, folder: bool) -> StoreResult<Url> {
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
}
