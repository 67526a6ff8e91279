//! Clients of object stores: from a URL and the standard environment of each cloud to a client that is shared by the
//! whole process, with every request counted. Owns which variables and schemes are understood; knows no tables.
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

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::ObjectStore;
use object_store::multipart::MultipartStore;
use url::Url;

use crate::store::StoreResult;

pub use fault::ObjectFault;
pub use traffic::{BucketTraffic, Prices, StorageTraffic};

pub(crate) use fault::{fault, is_missing_bucket};
pub(crate) use pending::PendingUploads;
pub(crate) use traffic::{COPY_PENDING, Counters};

/// How long a table's lease on an object store lasts without a sign of life.
const LOCK_TTL: Duration = Duration::from_secs(60);

/// How object stores are reached: the variables of the environment, given once, so that nothing else reads them.
#[derive(Clone, PartialEq, Eq)]
pub struct StorageOptions {
    variables: BTreeMap<String, String>,
    lock_ttl: Duration,
}

impl StorageOptions {
    /// The variables of this process whose names begin with `AWS_`, `AZURE_`, `GOOGLE_` or `PIPELINES_STORAGE_`.
    pub fn from_environment() -> Self {
        Self::from_variables(std::env::vars())
    }

    /// These variables; others than those of the clouds and of storage are dropped. Names are as in the environment.
    pub fn from_variables(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let of_storage = |name: &str| {
            ["AWS_", "AZURE_", "GOOGLE_", "PIPELINES_STORAGE_"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
        };
        Self {
            variables: variables
                .into_iter()
                .filter(|(name, value)| of_storage(name) && !value.is_empty())
                .collect(),
            lock_ttl: LOCK_TTL,
        }
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

type Cache = HashMap<(String, BTreeMap<String, String>), Arc<Bucket>>;

/// Clients by bucket and variables. One client has one pool of connections and one set of credentials.
static BUCKETS: Mutex<Option<Cache>> = Mutex::new(None);

/// The client of the bucket that `url` is in; made at the first call, shared by all later ones with the same options.
/// No request is sent.
///
/// # Errors
/// [`crate::StoreError::Object`] when there are no credentials, or a variable has a value that cannot be used.
pub fn bucket(url: &Url, options: &StorageOptions) -> StoreResult<Arc<Bucket>> {
    let root = clients::root(url)?;
    let key = (root.to_string(), options.variables.clone());
    let mut buckets = BUCKETS.lock().unwrap_or_else(PoisonError::into_inner);
    let cache = buckets.get_or_insert_default();
    if let Some(bucket) = cache.get(&key) {
        return Ok(Arc::clone(bucket));
    }
    let bucket = Arc::new(clients::build(root, options)?);
    cache.insert(key, Arc::clone(&bucket));
    Ok(bucket)
}

/// The requests of this process so far, by bucket. Take one at the start of a run and give it to
/// [`StorageTraffic::since`] at the end. Empty while no bucket was opened: the local filesystem costs no requests.
pub fn traffic() -> Vec<BucketTraffic> {
    let buckets = BUCKETS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut all: Vec<BucketTraffic> = buckets
        .iter()
        .flat_map(HashMap::values)
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
