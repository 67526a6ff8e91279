//! The operations of S3, between the protocol (crate `s3s`) and the bucket.
//!
//! Owns what a request means to the bucket and what is said back. What it does not know, it refuses: a condition that
//! is not looked at would be a wrong answer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use s3s::auth::{S3Auth, SecretKey};
use s3s::dto::*;
use s3s::{Body, S3, S3Error, S3Request, S3Response, S3Result, s3_error};

use super::bucket::{Bucket, Condition, Headers, Object as Stored, precondition_failed};
use super::listing::{self, number};
use super::options::S3Options;

/// The only key id and secret.
pub(super) struct OneKey {
    access_key: String,
    secret_key: SecretKey,
}

impl OneKey {
    pub(super) fn new(options: &S3Options) -> Self {
        Self {
            access_key: options.access_key.clone(),
            secret_key: SecretKey::from(options.secret_key.as_str()),
        }
    }
}

#[async_trait::async_trait]
impl S3Auth for OneKey {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key != self.access_key {
            return Err(s3_error!(
                InvalidAccessKeyId,
                "The AWS access key ID you provided does not exist in our records."
            ));
        }
        Ok(self.secret_key.clone())
    }
}

type Answer<T> = S3Result<S3Response<T>>;

/// `If-Match` and `If-None-Match`.
type Conditions<'a> = (Option<&'a ETagCondition>, Option<&'a ETagCondition>);

pub(super) struct Api {
    name: String,
    page: usize,
    bucket: Arc<Mutex<Bucket>>,
}

impl Api {
    pub(super) fn new(options: &S3Options, bucket: Arc<Mutex<Bucket>>) -> Self {
        Self {
            name: options.bucket.clone(),
            page: options.page.clamp(1, 1000),
            bucket,
        }
    }

    /// The bucket, if `name` is its name.
    fn open(&self, name: &str) -> S3Result<MutexGuard<'_, Bucket>> {
        if name != self.name {
            return Err(s3_error!(
                NoSuchBucket,
                "The specified bucket does not exist"
            ));
        }
        Ok(self.bucket.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The object, if the conditions let a request read it.
    fn read(
        &self,
        bucket: &str,
        key: &str,
        timed: bool,
        conditions: Conditions<'_>,
    ) -> S3Result<Stored> {
        if timed {
            return Err(s3_error!(
                NotImplemented,
                "conditions on the time of change"
            ));
        }
        let object = self.open(bucket)?.get(key)?.clone();
        readable(&object, conditions)?;
        Ok(object)
    }

    /// The object that is to be copied, if the conditions let a copy have it: as for a read, but both fail in the same way.
    fn source(
        &self,
        source: &CopySource,
        conditions: Conditions<'_>,
    ) -> S3Result<(Stored, MutexGuard<'_, Bucket>)> {
        let CopySource::Bucket { bucket, key, .. } = source else {
            return Err(s3_error!(NotImplemented, "only bucket/key can be copied"));
        };
        let bucket = self.open(bucket)?;
        let object = bucket.get(key)?.clone();
        readable(&object, conditions).map_err(|_| precondition_failed())?;
        Ok((object, bucket))
    }
}

#[async_trait::async_trait]
impl S3 for Api {
    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> Answer<HeadBucketOutput> {
        drop(self.open(&request.input.bucket)?);
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> Answer<PutObjectOutput> {
        let input = request.input;
        let bytes = whole(input.body).await?;
        let headers = Headers {
            content_type: input.content_type,
            metadata: input.metadata.unwrap_or_default(),
        };
        let condition = Condition {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
        };
        let etag = self
            .open(&input.bucket)?
            .put(&input.key, bytes, headers, &condition)?;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(ETag::Strong(etag)),
            ..PutObjectOutput::default()
        }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> Answer<GetObjectOutput> {
        let input = request.input;
        let timed = input.if_modified_since.is_some() || input.if_unmodified_since.is_some();
        let conditions = (input.if_match.as_ref(), input.if_none_match.as_ref());
        let object = self.read(&input.bucket, &input.key, timed, conditions)?;
        let length = object.bytes.len() as u64;
        let (bytes, content_range) = match input.range {
            None => (object.bytes.clone(), None),
            Some(range) => {
                let range = range.check(length)?;
                let said = format!("bytes {}-{}/{length}", range.start, range.end - 1);
                (slice(&object.bytes, &range)?, Some(said))
            }
        };
        Ok(S3Response::new(GetObjectOutput {
            accept_ranges: Some(String::from("bytes")),
            content_length: Some(number(bytes.len())?),
            body: Some(StreamingBlob::from(Body::from(bytes))),
            content_range,
            content_type: object.headers.content_type,
            metadata: Some(object.headers.metadata),
            e_tag: Some(ETag::Strong(object.etag)),
            last_modified: Some(object.changed.into()),
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> Answer<HeadObjectOutput> {
        let input = request.input;
        let timed = input.if_modified_since.is_some() || input.if_unmodified_since.is_some();
        let conditions = (input.if_match.as_ref(), input.if_none_match.as_ref());
        let object = self.read(&input.bucket, &input.key, timed, conditions)?;
        Ok(S3Response::new(HeadObjectOutput {
            accept_ranges: Some(String::from("bytes")),
            content_length: Some(number(object.bytes.len())?),
            content_type: object.headers.content_type,
            metadata: Some(object.headers.metadata),
            e_tag: Some(ETag::Strong(object.etag)),
            last_modified: Some(object.changed.into()),
            ..HeadObjectOutput::default()
        }))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> Answer<DeleteObjectOutput> {
        let input = request.input;
        let condition = Condition {
            if_match: input.if_match,
            if_none_match: None,
        };
        self.open(&input.bucket)?.delete(&input.key, &condition)?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> Answer<DeleteObjectsOutput> {
        let input = request.input;
        let mut bucket = self.open(&input.bucket)?;
        let mut deleted = Vec::new();
        for object in input.delete.objects {
            bucket.delete(&object.key, &Condition::default())?;
            deleted.push(DeletedObject {
                key: Some(object.key),
                ..DeletedObject::default()
            });
        }
        let quiet = input.delete.quiet.unwrap_or_default();
        Ok(S3Response::new(DeleteObjectsOutput {
            deleted: (!quiet).then_some(deleted),
            ..DeleteObjectsOutput::default()
        }))
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> Answer<CopyObjectOutput> {
        // The protocol crate does not know these two of a copy; AWS does since 2025.
        let condition = Condition {
            if_match: header(&request, "if-match")?,
            if_none_match: header(&request, "if-none-match")?,
        };
        let input = request.input;
        drop(self.open(&input.bucket)?);
        let conditions = (
            input.copy_source_if_match.as_ref(),
            input.copy_source_if_none_match.as_ref(),
        );
        let (object, mut bucket) = self.source(&input.copy_source, conditions)?;
        let etag = bucket.copy(&object, &input.key, &condition)?;
        let changed = bucket.get(&input.key)?.changed;
        Ok(S3Response::new(CopyObjectOutput {
            copy_object_result: Some(CopyObjectResult {
                e_tag: Some(ETag::Strong(etag)),
                last_modified: Some(changed.into()),
                ..CopyObjectResult::default()
            }),
            ..CopyObjectOutput::default()
        }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> Answer<ListObjectsV2Output> {
        let bucket = self.open(&request.input.bucket)?;
        let listed = listing::objects(&bucket, request.input, self.page)?;
        Ok(S3Response::new(listed))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> Answer<CreateMultipartUploadOutput> {
        let input = request.input;
        let headers = Headers {
            content_type: input.content_type,
            metadata: input.metadata.unwrap_or_default(),
        };
        let id = self.open(&input.bucket)?.create_upload(&input.key, headers);
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            ..CreateMultipartUploadOutput::default()
        }))
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> Answer<UploadPartOutput> {
        let input = request.input;
        let bytes = whole(input.body).await?;
        let part = self.open(&input.bucket)?.put_part(
            &input.key,
            &input.upload_id,
            input.part_number,
            bytes,
        )?;
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(ETag::Strong(part.etag)),
            ..UploadPartOutput::default()
        }))
    }

    async fn upload_part_copy(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> Answer<UploadPartCopyOutput> {
        let input = request.input;
        drop(self.open(&input.bucket)?);
        let conditions = (
            input.copy_source_if_match.as_ref(),
            input.copy_source_if_none_match.as_ref(),
        );
        let (object, mut bucket) = self.source(&input.copy_source, conditions)?;
        let bytes = match input.copy_source_range {
            None => object.bytes,
            Some(range) => {
                let range =
                    Range::parse(&range).map_err(|error| s3_error!(error, InvalidArgument))?;
                slice(&object.bytes, &range.check(object.bytes.len() as u64)?)?
            }
        };
        let part = bucket.put_part(&input.key, &input.upload_id, input.part_number, bytes)?;
        Ok(S3Response::new(UploadPartCopyOutput {
            copy_part_result: Some(CopyPartResult {
                e_tag: Some(ETag::Strong(part.etag)),
                last_modified: Some(part.changed.into()),
                ..CopyPartResult::default()
            }),
            ..UploadPartCopyOutput::default()
        }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> Answer<CompleteMultipartUploadOutput> {
        let input = request.input;
        let condition = Condition {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
        };
        let mut named = Vec::new();
        for part in input
            .multipart_upload
            .and_then(|list| list.parts)
            .unwrap_or_default()
        {
            let (Some(number), Some(etag)) = (part.part_number, part.e_tag) else {
                return Err(s3_error!(MalformedXML, "a part has a number and an ETag"));
            };
            named.push((number, etag.into_value()));
        }
        let etag =
            self.open(&input.bucket)?
                .complete(&input.key, &input.upload_id, &named, &condition)?;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(ETag::Strong(etag)),
            ..CompleteMultipartUploadOutput::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> Answer<AbortMultipartUploadOutput> {
        let input = request.input;
        self.open(&input.bucket)?
            .abort(&input.key, &input.upload_id)?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> Answer<ListMultipartUploadsOutput> {
        let bucket = self.open(&request.input.bucket)?;
        let listed = listing::uploads(&bucket, request.input, self.page)?;
        Ok(S3Response::new(listed))
    }

    async fn list_parts(&self, request: S3Request<ListPartsInput>) -> Answer<ListPartsOutput> {
        let bucket = self.open(&request.input.bucket)?;
        let listed = listing::parts(&bucket, request.input, self.page)?;
        Ok(S3Response::new(listed))
    }
}

async fn whole(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let Some(body) = body else {
        return Ok(Bytes::new());
    };
    let chunks: Vec<Bytes> = body
        .try_collect()
        .await
        .map_err(|error| s3_error!(std::io::Error::other(error), IncompleteBody))?;
    let mut bytes = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
    for chunk in chunks {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

/// Whether the conditions of a read let it have `object`.
fn readable(object: &Stored, (if_match, if_none_match): Conditions<'_>) -> S3Result<()> {
    let is = |condition: &ETagCondition| {
        condition
            .as_etag()
            .is_none_or(|etag| etag.value() == object.etag)
    };
    if if_match.is_some_and(|condition| !is(condition)) {
        return Err(precondition_failed());
    }
    if if_none_match.is_some_and(is) {
        return Err(s3_error!(NotModified));
    }
    Ok(())
}

fn header<T>(request: &S3Request<T>, name: &str) -> S3Result<Option<ETagCondition>> {
    request
        .headers
        .get(name)
        .map(|value| ETagCondition::parse_http_header(value.as_bytes()))
        .transpose()
        .map_err(|error| s3_error!(error, InvalidArgument))
}

fn slice(bytes: &Bytes, range: &std::ops::Range<u64>) -> S3Result<Bytes> {
    let start = usize::try_from(range.start).map_err(S3Error::internal_error)?;
    let end = usize::try_from(range.end).map_err(S3Error::internal_error)?;
    Ok(bytes.slice(start..end))
}
