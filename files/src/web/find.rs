//! From a location to a file on a web server. Owns which addresses name one.

use std::sync::Arc;

use datafusion::object_store::{ObjectStore, ObjectStoreExt};
use url::{Position, Url};

use super::fault::told;
use super::key::Key;
use crate::error::ReadError;

/// A file that was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// Its key, which says what was seen of it.
    pub(crate) key: String,
    /// Bytes; 0 if the server does not say.
    pub(crate) size: u64,
    /// Whether there are any, as far as the server says.
    pub(crate) may_have_bytes: bool,
    /// When it was changed, nanoseconds since 1970.
    pub(crate) modified: i64,
}

/// The file at an address.
///
/// # Errors
/// When the address is none of one file, or the server does not give it.
pub(crate) async fn find(
    location: &str,
    url: &Url,
    store: &Arc<dyn ObjectStore>,
) -> Result<Found, ReadError> {
    let refused =
        |problem: &str, help: &str| Err(ReadError::of_file(location, problem).with_help(help));
    if !url.username().is_empty() || url.password().is_some() {
        return refused(
            "the address names a user",
            "leave it out: what a server wants to see of one is in the variable PIPELINES_STORAGE_HTTP_HEADERS",
        );
    }
    if url.fragment().is_some() {
        return refused(
            "what is behind `#` is not sent to a server",
            "write `%23` for it",
        );
    }
    // As written: some of them are others in a URL.
    let path = location.split('?').next().unwrap_or_default();
    if path.contains(['*', '[', '{']) || path.ends_with('/') && url.query().is_none() {
        return refused(
            "a web server cannot be asked which files it has",
            "name each of them, as in `[\"https://host/a.csv\", \"https://host/b.csv\"]`",
        );
    }
    // The first `/` is between the server and its files.
    let target = &url[Position::BeforePath..];
    let bare = Key {
        target: target.strip_prefix('/').unwrap_or(target).to_owned(),
        seen: None,
    };
    let key = bare.path();
    let key = key.map_err(|error| ReadError::of_file(location, error.to_string()))?;
    let meta = store.head(&key).await.map_err(|error| {
        let what = told(&error).map(str::to_owned);
        ReadError::of_file(location, what.unwrap_or_else(|| error.to_string()))
    })?;
    let seen = Key::parse(meta.location.as_ref()).seen;
    Ok(Found {
        key: meta.location.to_string(),
        size: meta.size,
        may_have_bytes: seen.is_none_or(|seen| seen.length != Some(0)),
        modified: meta.last_modified.timestamp_nanos_opt().unwrap_or_default(),
    })
}
