//! The client of one bucket: behind two traits, because uploads that another process finishes need `MultipartStore`, which
//! a plain `ObjectStore` cannot be turned into.

use std::fmt;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::multipart::MultipartStore;
use url::Url;

use super::pending::PendingUploads;
use super::provider::Provider;
use super::traffic::{Counters, StorageTraffic};

/// The client of one bucket or container. Cheap to share; requests of all its users are counted together.
pub struct Bucket {
    pub(super) provider: Provider,
    /// Scheme and authority, as sessions register stores.
    pub(super) root: Url,
    pub(super) store: Arc<dyn ObjectStore>,
    /// `None` where uploads cannot be finished by another process.
    pub(super) multipart: Option<Arc<dyn MultipartStore>>,
    /// `None` where unfinished uploads cannot be listed, or go by themselves.
    pub(super) pending: Option<PendingUploads>,
    pub(super) counters: Arc<Counters>,
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
