//! Large files in object stores by several requests at once: one gives a fraction of what the network has. Owns that their
//! parts come in order, one behind the other, and are all of one version of the file.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::common::runtime::SpawnedTask;
use datafusion::object_store::path::Path;
use datafusion::object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, stream};

use super::listing::File;

/// Bytes of a request.
const PART: u64 = 8 << 20;
/// Requests at once for one file, and for all files that are read together.
const MOST_OF_FILE: usize = 4;
const MOST: usize = 8;

/// How far is read ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ahead {
    part: u64,
    requests: usize,
}

impl Ahead {
    /// For so many files that are read at once.
    pub(crate) fn of(readers: usize) -> Self {
        Self {
            part: PART,
            requests: (MOST / readers.max(1)).min(MOST_OF_FILE),
        }
    }

    /// Whether it is worth it for a file: several parts of it are there, and can be asked for.
    pub(crate) fn is_for(&self, file: &File) -> bool {
        let is_whole = file.slice.is_none();
        self.requests > 1 && file.size > 2 * self.part && is_whole && file.has_ranges()
    }

    /// The bytes that may wait to be read, of one file.
    pub(crate) fn memory(&self) -> usize {
        usize::try_from(self.part).map_or(usize::MAX, |part| part.saturating_mul(self.requests))
    }
}

/// A store whose whole files come by several requests.
#[derive(Debug)]
pub(crate) struct AheadStore {
    store: Arc<dyn ObjectStore>,
    ahead: Ahead,
}

impl AheadStore {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, ahead: Ahead) -> Self {
        Self { store, ahead }
    }
}

impl fmt::Display for AheadStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

/// A part, while others are under way; given up with whoever wants it.
async fn part(
    store: Arc<dyn ObjectStore>,
    location: Path,
    options: GetOptions,
    range: Range<u64>,
) -> Result<Bytes> {
    let get = async move {
        let length = range.end - range.start;
        let options = GetOptions {
            range: Some(range.into()),
            ..options
        };
        let bytes = store.get_opts(&location, options).await?.bytes().await?;
        whole(bytes, length, &location)
    };
    SpawnedTask::spawn(get).join().await?
}

/// The bytes, if there are as many as were asked for.
fn whole(bytes: Bytes, length: u64, location: &Path) -> Result<Bytes> {
    match bytes.len() as u64 == length {
        true => Ok(bytes),
        false => Err(Error::Generic {
            store: "parts",
            source: format!("{location}: {} bytes came of {length}", bytes.len()).into(),
        }),
    }
}

#[async_trait]
impl ObjectStore for AheadStore {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.range.is_some() || options.head {
            return self.store.get_opts(location, options).await;
        }
        let Ahead {
            part: step,
            requests,
        } = self.ahead;
        let first = GetOptions {
            range: Some((0..step).into()),
            ..options.clone()
        };
        let first = self.store.get_opts(location, first).await?;
        let (meta, attributes) = (first.meta.clone(), first.attributes.clone());
        let size = meta.size;
        // What has no version cannot be compared; then one request has all of it.
        let Some(version) = meta.e_tag.clone() else {
            return self.store.get_opts(location, options).await;
        };
        let length = step.min(size);
        let of_first = location.clone();
        let first = async move { whole(first.bytes().await?, length, &of_first) };
        let (store, location) = (Arc::clone(&self.store), location.clone());
        let rest = stream::iter((1..size.div_ceil(step)).map(move |number| {
            let options = GetOptions {
                if_match: Some(version.clone()),
                ..options.clone()
            };
            let range = number * step..((number + 1) * step).min(size);
            part(Arc::clone(&store), location.clone(), options, range).boxed()
        }));
        let parts = stream::once(async { first.boxed() }).chain(rest);
        Ok(GetResult {
            payload: GetResultPayload::Stream(parts.buffered(requests).boxed()),
            meta,
            range: 0..size,
            attributes,
        })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.store.get_ranges(location, ranges).await
    }

    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.store.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use datafusion::object_store::ObjectStoreExt;
    use datafusion::object_store::memory::InMemory;
    use tokio::sync::Barrier;

    use super::*;

    /// Wraps a store: so many requests have to be there at once, and behind so many the file is another.
    #[derive(Debug)]
    struct Watched {
        store: InMemory,
        together: Barrier,
        requests: AtomicUsize,
        changes_behind: usize,
    }

    impl fmt::Display for Watched {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.store.fmt(f)
        }
    }

    #[async_trait]
    impl ObjectStore for Watched {
        async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
            let number = self.requests.fetch_add(1, Ordering::Relaxed);
            if number == self.changes_behind {
                self.store.put(location, vec![b'x'; 1000].into()).await?;
            }
            if number > 0 {
                self.together.wait().await;
            }
            self.store.get_opts(location, options).await
        }

        async fn put_opts(&self, l: &Path, p: PutPayload, o: PutOptions) -> Result<PutResult> {
            self.store.put_opts(l, p, o).await
        }

        async fn put_multipart_opts(
            &self,
            location: &Path,
            options: PutMultipartOptions,
        ) -> Result<Box<dyn MultipartUpload>> {
            self.store.put_multipart_opts(location, options).await
        }

        fn delete_stream(
            &self,
            locations: BoxStream<'static, Result<Path>>,
        ) -> BoxStream<'static, Result<Path>> {
            self.store.delete_stream(locations)
        }

        fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
            self.store.list(prefix)
        }

        async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
            self.store.list_with_delimiter(prefix).await
        }

        async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
            self.store.copy_opts(from, to, options).await
        }
    }

    async fn read(part: u64, requests: usize, together: usize, changes: usize) -> Result<Bytes> {
        let store = InMemory::new();
        let bytes: Vec<u8> = (0..1000_u16).map(|at| at.to_le_bytes()[0]).collect();
        let location = Path::from("a/b");
        store.put(&location, bytes.into()).await?;
        let store = Arc::new(Watched {
            store,
            together: Barrier::new(together),
            requests: AtomicUsize::new(0),
            changes_behind: changes,
        });
        let ahead = AheadStore::new(store, Ahead { part, requests });
        ahead.get(&location).await?.bytes().await
    }

    #[tokio::test]
    async fn parts_come_in_order_and_together() {
        let bytes: Vec<u8> = (0..1000_u16).map(|at| at.to_le_bytes()[0]).collect();
        for (part, requests, together) in [
            (1000, 4, 1),
            (5000, 4, 1),
            (999, 4, 1),
            (1, 8, 3),
            // Nine parts behind the first one, three of them at a time.
            (100, 4, 3),
            (7, 3, 2),
        ] {
            let read = read(part, requests, together, usize::MAX).await.unwrap();
            assert!(read == bytes, "{part} {requests}");
        }
    }

    #[tokio::test]
    async fn parts_of_two_versions_are_not_put_together() {
        for changes_behind in [1, 2, 5] {
            let error = read(100, 4, 1, changes_behind).await.unwrap_err();
            assert!(matches!(error, Error::Precondition { .. }), "{error}");
        }
    }
}
