//! A web server as an object store that can be read. Owns which bytes of which version are asked for; they come as a
//! [`Reading`].

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::DateTime;
use datafusion::object_store::path::Path;
use datafusion::object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use tables::StorageOptions;
use url::Url;

use super::fault::Failure;
use super::key::Key;
use super::reading::Reading;
use super::server::Server;
use crate::error::ReadError;

/// The files of one web server.
pub struct WebStore(Arc<Server>);

impl WebStore {
    /// The server of `url`, as variables say that servers are asked. No request is sent.
    ///
    /// # Errors
    /// When a variable has a value that cannot be used.
    pub fn new(url: &Url, options: &StorageOptions) -> std::result::Result<Self, ReadError> {
        Server::new(url, options).map(|server| Self(Arc::new(server)))
    }
}

impl fmt::Debug for WebStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for WebStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebStore({})", self.0.root)
    }
}

fn only_read<T>() -> Result<T> {
    Err(Error::NotSupported {
        source: "files on a web server can only be read".into(),
    })
}

#[async_trait]
impl ObjectStore for WebStore {
    /// The key of the file says which version of it is read, and the answer's has one if the asked one has not.
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let key = Key::parse(location.as_ref());
        let server = &self.0;
        let (seen, modified) = match key.seen {
            Some(seen) if !options.head => (seen, 0),
            known => {
                let (seen, modified) = server.look(&key.target).await?;
                if known.is_some_and(|known| known != seen) {
                    let changed = Failure::Changed("it has changed".to_owned());
                    return Err(changed.of_store(&server.address(&key.target), 1));
                }
                (seen, modified)
            }
        };
        let key = Key {
            seen: Some(seen.clone()),
            ..key
        };
        let meta = ObjectMeta {
            location: key.path()?,
            last_modified: DateTime::from_timestamp_nanos(modified),
            size: seen.length.unwrap_or_default(),
            e_tag: seen.version.clone(),
            version: None,
        };
        options.check_preconditions(&meta)?;
        let range = match (&options.range, seen.length) {
            (None, length) => 0..length.unwrap_or_default(),
            (Some(range), Some(length)) => {
                range.as_range(length).map_err(|error| Error::Generic {
                    store: "HTTP",
                    source: Box::new(error),
                })?
            }
            (Some(GetRange::Bounded(range)), None) => range.clone(),
            (Some(_), None) => {
                let what =
                    "the server does not say how long it is, so that its end cannot be asked for";
                return Err(
                    Failure::Lasting(what.to_owned()).of_store(&server.address(&key.target), 1)
                );
            }
        };
        let payload = match options.head {
            true => stream::empty().boxed(),
            false => {
                let until = (options.range.is_some() || seen.length.is_some()).then_some(range.end);
                Reading::begin(Arc::clone(server), key.target, seen, range.start, until)
                    .await?
                    .into_stream()
            }
        };
        Ok(GetResult {
            payload: GetResultPayload::Stream(payload),
            meta,
            range,
            attributes: Attributes::default(),
        })
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        only_read()
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        only_read()
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        stream::once(async { only_read() }).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::once(async { only_read() }).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        only_read()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        only_read()
    }
}
