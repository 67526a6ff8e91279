//! The lease of a table on an object store: one object, changed only by conditional puts, renewed while its holder
//! lives. Owns who may take it and when; that a paused holder commits nothing is the fence's work (`recover`).
//!
//! | the object says | and | then |
//! |---|---|---|
//! | nothing, or `released` | | taken |
//! | a holder of this machine and boot | that process has ended | taken at once |
//! | a holder | its last sign of life is older than its own `ttl`, by the storage's clock | taken |
//! | a holder | otherwise | refused |
//!
//! The object is never deleted: a delete cannot be conditional, so a late one would hit the next holder's lease.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use object_store::path::Path;
use object_store::{
    Error as ObjectError, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload,
    UpdateVersion,
};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tracing::warn;
use uuid::Uuid;

use super::keys::BucketStore;
use super::owner::Owner;
use crate::parse;
use crate::storage::is_missing_bucket;
use crate::store::{Lock, StoreError, StoreResult};

const KEY: &str = "lock.json";
/// Written only to learn the storage's time.
const CLOCK_KEY: &str = "clock";
/// Object stores tell the time in whole seconds.
const CLOCK_GRAIN: Duration = Duration::from_secs(1);
/// Attempts to change the object while others change it too.
const ATTEMPTS: usize = 5;

/// The leases that this process holds. A lease of this process that is not among them was dropped without being given
/// back.
static HELD: Mutex<Option<HashSet<String>>> = Mutex::new(None);

fn held<T>(change: impl FnOnce(&mut HashSet<String>) -> T) -> T {
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    change(held.get_or_insert_default())
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LockFile {
    version: u64,
    /// Differs every time the lease is taken.
    #[serde(deserialize_with = "parse::line")]
    token: String,
    owner: Owner,
    since: DateTime<Utc>,
    #[serde(deserialize_with = "parse::number")]
    ttl_millis: u64,
    /// Grows with every sign of life.
    #[serde(deserialize_with = "parse::number")]
    renewed: u64,
    released: bool,
}

impl LockFile {
    fn is_free(&self) -> bool {
        self.released
            || self.owner.is_dead()
            || (self.owner.is_this_process() && held(|held| !held.contains(&self.token)))
    }
}

struct Found {
    file: LockFile,
    meta: ObjectMeta,
}

impl Found {
    fn version(&self) -> UpdateVersion {
        UpdateVersion {
            e_tag: self.meta.e_tag.clone(),
            version: self.meta.version.clone(),
        }
    }
}

/// The lock object as its store reaches it.
#[derive(Debug, Clone)]
struct Access {
    store: BucketStore,
    path: Path,
}

impl Access {
    fn new(store: &BucketStore) -> StoreResult<Self> {
        Ok(Self {
            store: store.clone(),
            path: store.control_path(KEY)?,
        })
    }

    fn objects(&self) -> Arc<dyn ObjectStore> {
        self.store.store()
    }

    fn fault(&self, action: &'static str, error: ObjectError) -> StoreError {
        self.store.fault(action, &self.path, error)
    }

    async fn read(&self) -> StoreResult<Option<Found>> {
        let found = match self.objects().get(&self.path).await {
            Ok(found) => found,
            Err(error @ ObjectError::NotFound { .. }) if !is_missing_bucket(&error) => {
                return Ok(None);
            }
            Err(error) => return Err(self.fault("read", error)),
        };
        let meta = found.meta.clone();
        let content = self.store.content(KEY, &self.path, found).await?;
        let file = serde_json::from_slice(&content).map_err(|error| StoreError::Damaged {
            path: self.store.named(&self.path),
            reason: format!("{error}; if no run is alive, delete it"),
        })?;
        Ok(Some(Found { file, meta }))
    }

    /// Writes the object if it is as it was; `None` if it is not.
    async fn write(
        &self,
        file: &LockFile,
        mode: PutMode,
    ) -> Result<Option<UpdateVersion>, ObjectError> {
        let content = serde_json::to_vec_pretty(file).map_err(|error| ObjectError::Generic {
            store: "lease",
            source: error.into(),
        })?;
        let put = self
            .objects()
            .put_opts(&self.path, PutPayload::from(content), mode.into())
            .await;
        match put {
            Ok(put) => Ok(Some(UpdateVersion {
                e_tag: put.e_tag,
                version: put.version,
            })),
            Err(
                ObjectError::AlreadyExists { .. }
                | ObjectError::Precondition { .. }
                | ObjectError::NotFound { .. },
            ) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the holder gave no sign of life for its time, by the storage's own clock.
    async fn is_expired(&self, found: &Found) -> StoreResult<bool> {
        let path = self.store.control_path(CLOCK_KEY)?;
        let failed = |error| self.store.fault("ask the time with", &path, error);
        let objects = self.objects();
        objects
            .put(&path, PutPayload::from_static(b"\n"))
            .await
            .map_err(failed)?;
        let now = objects.head(&path).await.map_err(failed)?.last_modified;
        let silent = (now - found.meta.last_modified)
            .to_std()
            .unwrap_or_default();
        Ok(silent >= Duration::from_millis(found.file.ttl_millis) + CLOCK_GRAIN)
    }
}

/// The token of the lease that is in the bucket; `None` if it was given back.
pub(super) async fn token_in(store: &BucketStore) -> StoreResult<Option<String>> {
    let found = Access::new(store)?.read().await?;
    Ok(found
        .filter(|found| !found.file.released)
        .map(|found| found.file.token))
}

/// Takes the lease; `None` while its holder may be alive.
pub(super) async fn take(store: &BucketStore, ttl: Duration) -> StoreResult<Option<ObjectLease>> {
    let access = Access::new(store)?;
    let ours = LockFile {
        version: 1,
        token: Uuid::new_v4().to_string(),
        owner: Owner::this_process(),
        since: Utc::now(),
        ttl_millis: u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX),
        renewed: 0,
        released: false,
    };
    // Known before it is written, so that no other run of this process takes it for dropped.
    held(|held| held.insert(ours.token.clone()));
    let taken = try_take(&access, &ours).await;
    match taken {
        Ok(Some(version)) => Ok(Some(ObjectLease::new(access, ours, version, ttl))),
        // After an error the lease may be ours without our knowing. It is then free to this process, since it is not
        // held, and to others when its time is over.
        other => {
            held(|held| held.remove(&ours.token));
            other.map(|_| None)
        }
    }
}

async fn try_take(access: &Access, ours: &LockFile) -> StoreResult<Option<UpdateVersion>> {
    for _ in 0..ATTEMPTS {
        let mode = match access.read().await? {
            None => PutMode::Create,
            // Written by a first attempt whose answer was lost.
            Some(found) if found.file.token == ours.token => return Ok(Some(found.version())),
            Some(found) => {
                if !found.file.is_free() && !access.is_expired(&found).await? {
                    return Ok(None);
                }
                if !found.file.released {
                    warn!(
                        table = access.store.location,
                        process = found.file.owner.pid,
                        host = found.file.owner.host,
                        "taking over the lease of a run that is gone"
                    );
                }
                PutMode::Update(found.version())
            }
        };
        let written = access.write(ours, mode).await;
        if let Some(version) = written.map_err(|error| access.fault("take the lease", error))? {
            return Ok(Some(version));
        }
    }
    Ok(None)
}

/// A lease that this process holds, with the task that renews it.
#[derive(Debug)]
pub(super) struct ObjectLease {
    shared: Arc<Shared>,
    token: String,
    renewal: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    access: Access,
    /// One change at a time, each based on the version before.
    current: tokio::sync::Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    file: LockFile,
    version: UpdateVersion,
    lost: bool,
}

impl ObjectLease {
    fn new(access: Access, file: LockFile, version: UpdateVersion, ttl: Duration) -> Self {
        let token = file.token.clone();
        let shared = Arc::new(Shared {
            access,
            current: tokio::sync::Mutex::new(Current {
                file,
                version,
                lost: false,
            }),
        });
        let renewed = Arc::clone(&shared);
        let renewal = tokio::spawn(async move {
            let mut lost = false;
            while !lost {
                tokio::time::sleep(ttl / 3).await;
                lost = renewed.change(|file| file.renewed += 1).await;
            }
        });
        Self {
            shared,
            token,
            renewal,
        }
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }
}

impl Shared {
    /// Changes the object if it is still ours. Gives whether it is lost for good.
    async fn change(&self, change: impl Fn(&mut LockFile)) -> bool {
        let mut current = self.current.lock().await;
        for _ in 0..ATTEMPTS {
            if current.lost {
                return true;
            }
            let mut file = current.file.clone();
            change(&mut file);
            let mode = PutMode::Update(current.version.clone());
            match self.access.write(&file, mode).await {
                Ok(Some(version)) => {
                    current.file = file;
                    current.version = version;
                    return false;
                }
                // Someone else's, or our own change whose answer was lost.
                Ok(None) => match self.access.read().await {
                    Ok(Some(found))
                        if found.file.token == current.file.token && !found.file.released =>
                    {
                        current.version = found.version();
                        current.file = found.file;
                    }
                    Ok(_) => current.lost = true,
                    Err(error) => return self.later(&error),
                },
                Err(error) => return self.later(&error),
            }
        }
        false
    }

    fn later(&self, error: &(dyn std::error::Error + 'static)) -> bool {
        warn!(
            table = self.access.store.location,
            error, "could not renew the lease; trying again"
        );
        false
    }

    async fn release(&self, token: &str) {
        held(|held| held.remove(token));
        self.change(|file| file.released = true).await;
        self.current.lock().await.lost = true;
    }
}

#[async_trait]
impl Lock for ObjectLease {
    fn is_exclusive(&self) -> bool {
        false
    }

    async fn is_held(&self) -> StoreResult<bool> {
        let found = self.shared.access.read().await?;
        Ok(found.is_some_and(|found| found.file.token == self.token && !found.file.released))
    }

    async fn release(&self) -> StoreResult<()> {
        self.renewal.abort();
        self.shared.release(&self.token).await;
        Ok(())
    }
}

impl Drop for ObjectLease {
    fn drop(&mut self) {
        self.renewal.abort();
        if held(|held| held.remove(&self.token))
            && let Ok(runtime) = Handle::try_current()
        {
            let (shared, token) = (Arc::clone(&self.shared), self.token.clone());
            runtime.spawn(async move { shared.release(&token).await });
        }
    }
}
