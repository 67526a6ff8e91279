//! Parquet files, whose schemas nest no deeper than their reader can stand. Owns the place where that is looked at: what every
//! object store of a session gives of the end of a file. Reading metadata is the Parquet crate's, which does it by recursion.

mod schema;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::object_store::path::Path;
use datafusion::object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, RenameOptions, Result,
};
use futures::stream::BoxStream;
use futures::{StreamExt, stream};

use self::schema::{Unreadable, look};

/// The length of the metadata and the four letters, at the end of each file.
const TAIL: u64 = 8;

/// A range that ends with the file and is no longer than this is the reader's first look at it: it asks for half of that.
const FIRST_LOOK: u64 = 1 << 20;

/// A store whose Parquet files have been looked at before their metadata is given out.
#[derive(Debug)]
pub(crate) struct Shallow {
    store: Arc<dyn ObjectStore>,
}

impl Shallow {
    pub(crate) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }

    /// Looks at the metadata of a file, if `bytes`, which end at `end`, are its last.
    async fn check(&self, file: &Path, end: u64, bytes: &[u8]) -> Result<()> {
        let Some((before, tail)) = bytes.split_last_chunk::<8>() else {
            return Ok(());
        };
        let [a, b, c, d, letters @ ..] = tail;
        if letters != b"PAR1" {
            return Ok(());
        }
        let length = u64::from(u32::from_le_bytes([*a, *b, *c, *d]));
        let Some(start) = end.checked_sub(TAIL + length) else {
            // Longer than the file: the reader says so.
            return Ok(());
        };
        let looked = match usize::try_from(length)
            .ok()
            .filter(|&length| length <= before.len())
        {
            Some(length) => look(&before[before.len() - length..]),
            None => look(&self.store.get_range(file, start..start + length).await?),
        };
        match looked {
            Ok(()) => Ok(()),
            // Values of a column may end with these letters too.
            Err(_) if self.store.head(file).await?.size != end => Ok(()),
            Err(why) => Err(refused(file, why)),
        }
    }
}

fn refused(file: &Path, why: Unreadable) -> Error {
    Error::Generic {
        store: "Parquet",
        source: format!("{file}: {why}").into(),
    }
}

impl fmt::Display for Shallow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

/// Whether a reader that asks for this may be after the metadata.
fn may_be_metadata(asked: &GetRange, given: &Range<u64>, size: u64) -> bool {
    given.end == size
        && given.end - given.start >= TAIL
        && (given.end - given.start <= FIRST_LOOK || matches!(asked, GetRange::Suffix(_)))
}

#[async_trait]
impl ObjectStore for Shallow {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let asked = options.range.clone();
        let given = self.store.get_opts(location, options).await?;
        if !asked.is_some_and(|asked| may_be_metadata(&asked, &given.range, given.meta.size)) {
            return Ok(given);
        }
        let (meta, range, attributes) = (
            given.meta.clone(),
            given.range.clone(),
            given.attributes.clone(),
        );
        let bytes = given.bytes().await?;
        self.check(location, range.end, &bytes).await?;
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::iter([Ok(bytes)]).boxed()),
            meta,
            range,
            attributes,
        })
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[Range<u64>],
    ) -> Result<Vec<bytes::Bytes>> {
        let given = self.store.get_ranges(location, ranges).await?;
        for (range, bytes) in ranges.iter().zip(&given) {
            self.check(location, range.end, bytes).await?;
        }
        Ok(given)
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

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.store.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests;
