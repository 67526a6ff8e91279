//! Clients of object stores: from a URL and the standard variables of each cloud to a client, with every request counted.
//! Whoever makes [`StorageOptions`] has clients and counts of their own, which all clones share. Owns which
//! schemes are understood; knows no tables.
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

mod bucket;
mod classify;
mod clients;
mod environment;
pub(crate) mod fault;
mod options;
mod pending;
mod provider;
mod traffic;

use std::sync::{Arc, PoisonError};

use object_store::RetryConfig;
use url::Url;

use crate::store::StoreResult;

pub use bucket::Bucket;
pub use environment::EnvironmentVariables;
pub use fault::ObjectFault;
pub use options::StorageOptions;
pub use provider::Provider;
pub use traffic::{BucketTraffic, Prices, StorageTraffic};

pub(crate) use classify::{fault, is_missing_bucket};
pub(crate) use traffic::COPY_PENDING;

/// Whether a location is on an object store that [`bucket`] can open.
pub fn is_object_store(location: &str) -> bool {
    location
        .split_once("://")
        .is_some_and(|(scheme, _)| clients::SCHEMES.contains(&scheme))
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

/// How often, and for how long, a request to the server of `root` is sent again, whatever it speaks.
///
/// # Errors
/// [`crate::StoreError::Unusable`] when a variable has a value that cannot be used.
pub fn retries(root: &Url, options: &StorageOptions) -> StoreResult<RetryConfig> {
    options.check(root)?;
    clients::retries(root, options)
}
