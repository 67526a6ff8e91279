//! Clients of object stores: from a URL and the standard variables of each cloud to a client, with every request counted.
//! Whoever makes [`StorageOptions`] has clients and counts of their own, which all clones share. Owns which variables and schemes are understood; knows no tables.
//!
//! | URL | storage | variables |
//! |---|---|---|
//! | `s3://bucket/…`, `s3a://` | S3 and what speaks it | `AWS_*` |
//! | `gs://bucket/…` | Google Cloud Storage | `GOOGLE_*` |
//! | `az://container/…`, `abfs[s]://` | Azure Blob Storage | `AZURE_*` |
//! | `memory:///…`, `memory://name/…` | the memory of this process | – |
//!
//! `PIPELINES_STORAGE_MAX_RETRIES` and `PIPELINES_STORAGE_RETRY_TIMEOUT` (seconds) say for all of them how often, and for
//! how long, a request is sent again that did not come through or met a fault of the server.
//!
//! The concrete client is kept behind two traits, because uploads that another process finishes need `MultipartStore`,
//! which a plain `ObjectStore` cannot be turned into.

mod clients;
mod fault;
mod pending;
mod traffic;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::ObjectStore;
use object_store::multipart::MultipartStore;
use url::Url;

use crate::store::{StoreError, StoreResult};

pub use fault::ObjectFault;
pub use traffic::{BucketTraffic, Prices, StorageTraffic};

pub(crate) use fault::{fault, is_missing_bucket};
pub(crate) use pending::PendingUploads;
pub(crate) use traffic::{COPY_PENDING, Counters};

/// How long a table's lease on an object store lasts without a sign of life.
const LOCK_TTL: Duration = Duration::from_secs(60);

/// How object stores are reached, and the clients that were made so: all clones share them, with their connections,
/// credentials and counts.
#[derive(Clone)]
pub struct StorageOptions {
    variables: BTreeMap<String, String>,
    /// Variables of storage whose values are no text.
    unreadable: BTreeSet<String>,
    lock_ttl: Duration,
    buckets: Arc<Mutex<HashMap<String, Arc<Bucket>>>>,
}

impl Default for StorageOptions {
    /// Without any variable: the local filesystem, and the memory of this process.
    fn default() -> Self {
        Self::from_variables([])
    }
}

impl StorageOptions {
    /// These variables, named as in the environment; those that do not begin with `AWS_`, `AZURE_`, `GOOGLE_` or
    /// `PIPELINES_STORAGE_` are dropped.
    pub fn from_variables(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            variables: variables
                .into_iter()
                .filter(|(name, value)| is_of_storage(name) && !value.is_empty())
                .collect(),
            unreadable: BTreeSet::new(),
            lock_ttl: LOCK_TTL,
            buckets: Arc::default(),
        }
    }

    /// The variables of an environment, as [`StorageOptions::from_variables`] takes them.
    pub fn from_environment(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let (mut texts, mut unreadable) = (Vec::new(), Vec::new());
        for (name, value) in variables {
            // No variable of storage has a name that is not Unicode.
            let Ok(name) = name.into_string() else {
                continue;
            };
            match value.into_string() {
                Ok(value) => texts.push((name, value)),
                Err(_) => unreadable.push(name),
            }
        }
        Self::from_variables(texts).with_unreadable(unreadable)
    }

    /// With the names of variables whose values are no text: where one of them is of storage, no bucket is opened.
    #[must_use]
    pub fn with_unreadable(mut self, names: impl IntoIterator<Item = String>) -> Self {
        let names = names.into_iter().filter(|name| is_of_storage(name));
        self.unreadable = names.collect();
        self
    }

    /// The requests so far by these clients, by bucket. Empty while no bucket was opened: the local filesystem costs no
    /// requests.
    pub fn traffic(&self) -> Vec<BucketTraffic> {
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<BucketTraffic> = buckets
            .values()
            .filter(|bucket| bucket.provider != Provider::Memory)
            .map(|bucket| BucketTraffic {
                bucket: bucket.root.to_string(),
                provider: bucket.provider,
                traffic: bucket.traffic(),
            })
            .collect();
        all.sort_by(|a, b| a.bucket.cmp(&b.bucket));
        all
    }

    /// How long the lease of a table lasts without a sign of life. It is renewed three times as often. Default: 60 s.
    /// Object stores tell the time in whole seconds, so shorter than 2 s makes no sense.
    #[must_use]
    pub fn with_lock_ttl(mut self, ttl: Duration) -> Self {
        self.lock_ttl = ttl;
        self
    }

    pub(crate) fn lock_ttl(&self) -> Duration {
        self.lock_ttl
    }

    /// Refuses variables of storage that are no text.
    fn check(&self, root: &Url) -> StoreResult<()> {
        match self.unreadable.first() {
            None => Ok(()),
            Some(name) => Err(StoreError::Unusable {
                location: root.to_string(),
                reason: format!("the environment variable {name} has a value that is not Unicode"),
            }),
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    fn is_set(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.get(name).is_some())
    }
}

/// Names only: values are secrets.
impl fmt::Debug for StorageOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageOptions")
            .field("variables", &self.variables.keys().collect::<Vec<_>>())
            .field("lock_ttl", &self.lock_ttl)
            .finish()
    }
}

/// Whose storage it is: decides on prices, advice, and what may be assumed of uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    /// Amazon S3 itself.
    Aws,
    /// Cloudflare R2.
    R2,
    /// Another server that speaks S3, by its own endpoint.
    S3Compatible,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
    /// The memory of this process.
    Memory,
}

/// The client of one bucket or container. Cheap to share; requests of all its users are counted together.
pub struct Bucket {
    provider: Provider,
    /// Scheme and authority, as sessions register stores.
    root: Url,
    store: Arc<dyn ObjectStore>,
    /// `None` where uploads cannot be finished by another process.
    multipart: Option<Arc<dyn MultipartStore>>,
    /// `None` where unfinished uploads cannot be listed, or go by themselves.
    pending: Option<PendingUploads>,
    counters: Arc<Counters>,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket")
            .field("provider", &self.provider)
            .field("root", &self.root.as_str())
            .finish_non_exhaustive()
    }
}

impl Bucket {
    /// Whose storage it is.
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// Scheme and bucket, such as `s3://lake`: under this URL sessions register the store.
    pub fn root(&self) -> &Url {
        &self.root
    }

    /// The store of the whole bucket, for sessions.
    pub fn object_store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store)
    }

    /// Requests so far, by all users of the bucket in this process.
    pub fn traffic(&self) -> StorageTraffic {
        self.counters.snapshot()
    }

    pub(crate) fn multipart(&self) -> Option<&Arc<dyn MultipartStore>> {
        self.multipart.as_ref()
    }

    pub(crate) fn pending(&self) -> Option<&PendingUploads> {
        self.pending.as_ref()
    }
}

/// Whether a location is on an object store that [`bucket`] can open.
pub fn is_object_store(location: &str) -> bool {
    location
        .split_once("://")
        .is_some_and(|(scheme, _)| clients::SCHEMES.contains(&scheme))
}

/// Whether a variable of the environment says how storages are reached.
fn is_of_storage(name: &str) -> bool {
    ["AWS_", "AZURE_", "GOOGLE_", "PIPELINES_STORAGE_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// The client of the bucket that `url` is in; made at the first call, shared by all later ones with the same options.
/// No request is sent.
///
/// # Errors
/// [`crate::StoreError::Object`] when there are no credentials, [`crate::StoreError::Unusable`] when a variable has a value
/// that cannot be used.
pub fn bucket(url: &Url, options: &StorageOptions) -> StoreResult<Arc<Bucket>> {
    let root = clients::root(url)?;
    let mut buckets = options
        .buckets
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(bucket) = buckets.get(root.as_str()) {
        return Ok(Arc::clone(bucket));
    }
    options.check(&root)?;
    let name = root.to_string();
    let bucket = Arc::new(clients::build(root, options)?);
    buckets.insert(name, Arc::clone(&bucket));
    Ok(bucket)
}
