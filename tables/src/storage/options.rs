//! How object stores are reached: the variables of an environment, as data, and the clients that were made by them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use url::Url;

use super::bucket::Bucket;
use super::environment::EnvironmentVariables;
use super::provider::Provider;
use super::traffic::BucketTraffic;
use crate::store::{StoreError, StoreResult};

/// How long a table's lease on an object store lasts without a sign of life.
const LOCK_TTL: Duration = Duration::from_secs(60);

/// How object stores are reached, and the clients that were made so: all clones share them, with their connections,
/// credentials and counts.
#[derive(Clone)]
pub struct StorageOptions {
    pub(super) variables: BTreeMap<String, String>,
    /// Variables of storage whose values are no text.
    unreadable: BTreeSet<String>,
    lock_ttl: Duration,
    pub(super) buckets: Arc<Mutex<HashMap<String, Arc<Bucket>>>>,
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

    /// The variables of an environment, as [`StorageOptions::from_variables`] takes them: where one of storage is no text, no
    /// bucket is opened.
    pub fn from_environment(environment: &EnvironmentVariables) -> Self {
        let unreadable = environment.unreadable().iter();
        Self {
            unreadable: unreadable
                .filter(|name| is_of_storage(name))
                .cloned()
                .collect(),
            ..Self::from_variables(environment.texts().clone())
        }
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
    pub(super) fn check(&self, root: &Url) -> StoreResult<()> {
        match self.unreadable.first() {
            None => Ok(()),
            Some(name) => Err(StoreError::Unusable {
                location: root.to_string(),
                reason: format!("the environment variable {name} has a value that is not Unicode"),
            }),
        }
    }

    /// The value of a variable, for clients that are made elsewhere.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.get(name)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    pub(super) fn is_set(&self, names: &[&str]) -> bool {
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

/// Whether a variable of the environment says how storages are reached.
fn is_of_storage(name: &str) -> bool {
    ["AWS_", "AZURE_", "GOOGLE_", "PIPELINES_STORAGE_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}
