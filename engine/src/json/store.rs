//! One part of one file as an object store, whose bytes have been decompressed and checked: the seam at which the engine's
//! readers take them. Owns no files; everything but reading is refused.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::common::DataFusionError;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::object_store::path::Path;
use datafusion::object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use datafusion_datasource::boundary_stream::AlignedBoundaryStream;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

use super::depth::{Depth, TooDeep};

#[derive(Debug)]
pub(super) struct Checked {
    store: Arc<dyn ObjectStore>,
    file: PartitionedFile,
    compression: FileCompressionType,
}

impl Checked {
    /// The part of `file` that its range names, in whole lines.
    pub(super) fn new(
        store: Arc<dyn ObjectStore>,
        file: PartitionedFile,
        compression: FileCompressionType,
    ) -> Self {
        Self {
            store,
            file,
            compression,
        }
    }

    fn range(&self) -> Range<u64> {
        let size = self.file.object_meta.size;
        self.file.range.as_ref().map_or(0..size, |range| {
            let end = |at| u64::try_from(at).unwrap_or_default();
            end(range.start)..end(range.end)
        })
    }

    async fn bytes(&self) -> Result<BoxStream<'static, Result<bytes::Bytes>>> {
        let range = self.range();
        let lines = AlignedBoundaryStream::new(
            Arc::clone(&self.store),
            self.file.object_meta.location.clone(),
            range.start,
            range.end,
            self.file.object_meta.size,
            b'\n',
        )
        .await?;
        let plain = self
            .compression
            .convert_stream(lines.map_err(DataFusionError::from).boxed())
            .map_err(generic)?;
        let mut depth = Depth::default();
        let file = self.file.object_meta.location.to_string();
        let checked = plain.map(move |bytes| {
            let bytes = bytes.map_err(generic)?;
            depth.read(&bytes).map_err(|bytes| {
                let file = file.clone();
                // As text: of errors of executors only the form for debugging gets to the run.
                let source = TooDeep { file, bytes }.to_string().into();
                Error::Generic {
                    store: "JSON",
                    source,
                }
            })?;
            Ok(bytes)
        });
        Ok(checked.boxed())
    }
}

fn generic(error: DataFusionError) -> Error {
    match error {
        DataFusionError::ObjectStore(error) => *error,
        other => Error::Generic {
            store: "JSON",
            source: Box::new(other),
        },
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "checked JSON of {}", self.store)
    }
}

fn refused<T>() -> Result<T> {
    Err(Error::NotImplemented {
        operation: String::from("anything but reading"),
        implementer: String::from("checked JSON"),
    })
}

#[async_trait]
impl ObjectStore for Checked {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        refused()
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        refused()
    }

    async fn get_opts(&self, _: &Path, options: GetOptions) -> Result<GetResult> {
        if options.range.is_some() {
            // Of a compressed file nobody could say where a range is.
            return refused();
        }
        Ok(GetResult {
            payload: GetResultPayload::Stream(self.bytes().await?),
            meta: self.file.object_meta.clone(),
            range: self.range(),
            attributes: datafusion::object_store::Attributes::default(),
        })
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        futures::stream::once(async { refused() }).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        futures::stream::once(async { refused() }).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        refused()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        refused()
    }
}
