//! From a location, as users write it, to the storage of a table. Touches nothing there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use url::Url;

use crate::error::{Error, Result};
use crate::storage::{self, StorageOptions};
use crate::store::{BucketStore, LocalStore, Store, StoreError};

/// The storage of the table at a path, a `file://` URL, or the URL of an object store.
///
/// # Errors
/// As [`crate::Table::open`].
pub(crate) fn open_store(location: &str, options: &StorageOptions) -> Result<Arc<dyn Store>> {
    let refuse = |reason: &str| Error::UnsupportedLocation {
        location: location.to_owned(),
        reason: reason.to_owned(),
    };
    let path = match location.split_once("://") {
        Some(("file", _)) => {
            let url = Url::parse(location).map_err(|error| refuse(&error.to_string()))?;
            url.to_file_path()
                .map_err(|()| refuse("a file URL names no host, as in file:///data/events"))?
        }
        Some(_) if storage::is_object_store(location) => {
            let store = BucketStore::new(location, options).map_err(|error| match error {
                StoreError::Unusable { reason, .. } => refuse(&reason),
                error => error.into(),
            })?;
            return Ok(Arc::new(store));
        }
        Some(_) => {
            return Err(refuse(
                "give a path, or a URL that begins with file://, s3://, gs://, az://, abfss:// or memory://",
            ));
        }
        None if location.trim().is_empty() => return Err(refuse("it is empty")),
        None => Path::new(location).to_owned(),
    };
    let absolute = std::path::absolute(&path).map_err(|error| refuse(&error.to_string()))?;
    // Drops a trailing slash, so that `events/` and `events` are one table with one lease.
    let absolute: PathBuf = absolute.components().collect();
    let store = LocalStore::new(&absolute).map_err(|reason| refuse(&reason))?;
    Ok(Arc::new(store))
}
