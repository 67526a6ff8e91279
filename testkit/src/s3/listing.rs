//! Listings of objects, uploads and parts, page by page.
//!
//! Owns which items a page has and where the next begins. What is listed is the bucket's.

use s3s::dto::*;
use s3s::{S3Error, S3Result, s3_error};

use super::bucket::Bucket;

/// A page of the objects, at most `largest` of them.
pub(super) fn objects(
    bucket: &Bucket,
    input: ListObjectsV2Input,
    largest: usize,
) -> S3Result<ListObjectsV2Output> {
    let prefix = input.prefix.clone().unwrap_or_default();
    let after = match &input.continuation_token {
        Some(token) => untoken(token)?,
        None => input.start_after.clone().unwrap_or_default(),
    };
    let page = page(
        bucket.objects(&prefix),
        |(key, _)| key.as_str(),
        &prefix,
        input.delimiter.as_deref(),
        &after,
        most(input.max_keys, largest)?,
    );
    let count = i32::try_from(page.items.len()).map_err(S3Error::internal_error)?;
    let (mut contents, mut prefixes) = (Vec::new(), Vec::new());
    for item in page.items {
        match item {
            Item::Prefix(prefix) => prefixes.push(CommonPrefix {
                prefix: Some(prefix),
            }),
            Item::Key((key, object)) => contents.push(Object {
                key: Some(key.clone()),
                size: Some(number(object.bytes.len())?),
                e_tag: Some(ETag::Strong(object.etag.clone())),
                last_modified: Some(object.changed.into()),
                ..Object::default()
            }),
        }
    }
    Ok(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(prefix.clone()),
        delimiter: input.delimiter,
        start_after: input.start_after,
        continuation_token: input.continuation_token,
        max_keys: input.max_keys,
        key_count: Some(count),
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page.next.map(hex::encode),
        contents: Some(contents),
        common_prefixes: Some(prefixes),
        ..ListObjectsV2Output::default()
    })
}

/// A page of the unfinished uploads, at most `largest` of them.
pub(super) fn uploads(
    bucket: &Bucket,
    input: ListMultipartUploadsInput,
    largest: usize,
) -> S3Result<ListMultipartUploadsOutput> {
    if input.delimiter.is_some() {
        return Err(s3_error!(NotImplemented, "uploads by common prefix"));
    }
    let prefix = input.prefix.clone().unwrap_or_default();
    // Without an id, the marker means: after all uploads of that key.
    let after = input
        .key_marker
        .clone()
        .map(|key| (key, input.upload_id_marker.clone()));
    let is_after = |key: &str, id: &str| match &after {
        None => true,
        Some((marker, None)) => key > marker.as_str(),
        Some((marker, Some(marked))) => (key, id) > (marker.as_str(), marked.as_str()),
    };
    let mut rest = bucket
        .uploads(&prefix)
        .filter(|(key, id, _)| is_after(key, id))
        .peekable();
    let uploads: Vec<MultipartUpload> = rest
        .by_ref()
        .take(most(input.max_uploads, largest)?)
        .map(|(key, id, upload)| MultipartUpload {
            key: Some(key.to_owned()),
            upload_id: Some(id.to_owned()),
            initiated: Some(upload.begun.into()),
            ..MultipartUpload::default()
        })
        .collect();
    let truncated = rest.peek().is_some();
    let last = uploads.last().filter(|_| truncated);
    Ok(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        prefix: Some(prefix.clone()),
        key_marker: input.key_marker,
        upload_id_marker: input.upload_id_marker,
        is_truncated: Some(truncated),
        next_key_marker: last.and_then(|upload| upload.key.clone()),
        next_upload_id_marker: last.and_then(|upload| upload.upload_id.clone()),
        max_uploads: input.max_uploads,
        uploads: Some(uploads),
        ..ListMultipartUploadsOutput::default()
    })
}

/// A page of the parts of an upload, at most `largest` of them.
pub(super) fn parts(
    bucket: &Bucket,
    input: ListPartsInput,
    largest: usize,
) -> S3Result<ListPartsOutput> {
    let upload = bucket.upload(&input.key, &input.upload_id)?;
    let after = input.part_number_marker.unwrap_or(0);
    let mut rest = upload
        .parts
        .iter()
        .filter(|(number, _)| **number > after)
        .peekable();
    let mut parts = Vec::new();
    for (part_number, part) in rest.by_ref().take(most(input.max_parts, largest)?) {
        parts.push(Part {
            part_number: Some(*part_number),
            e_tag: Some(ETag::Strong(part.etag.clone())),
            size: Some(number(part.bytes.len())?),
            last_modified: Some(part.changed.into()),
            ..Part::default()
        });
    }
    let truncated = rest.peek().is_some();
    Ok(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        part_number_marker: input.part_number_marker,
        is_truncated: Some(truncated),
        next_part_number_marker: parts
            .last()
            .filter(|_| truncated)
            .and_then(|part| part.part_number),
        max_parts: input.max_parts,
        parts: Some(parts),
        ..ListPartsOutput::default()
    })
}

fn most(asked: Option<i32>, largest: usize) -> S3Result<usize> {
    let asked = asked.map_or(Ok(largest), usize::try_from);
    Ok(asked
        .map_err(|error| s3_error!(error, InvalidArgument))?
        .min(largest))
}

fn untoken(token: &str) -> S3Result<String> {
    let wrong = || s3_error!(InvalidArgument, "The continuation token is incorrect");
    let bytes = hex::decode(token).map_err(|_| wrong())?;
    String::from_utf8(bytes).map_err(|_| wrong())
}

/// An item of a listing.
#[derive(Debug, PartialEq, Eq)]
enum Item<T> {
    /// One thing with its key.
    Key(T),
    /// All keys that begin with this, which ends in the delimiter.
    Prefix(String),
}

/// One page.
#[derive(Debug)]
struct Page<T> {
    items: Vec<Item<T>>,
    /// Where the page after this begins: after the item of this name. `None` when this is the last.
    next: Option<String>,
}

/// The page of at most `most` items that begins after the name `after`.
///
/// `things` come by key, which `key` tells, all of them below `prefix`. Keys that have `delimiter` after the prefix are
/// one item together.
fn page<T>(
    things: impl Iterator<Item = T>,
    key: impl Fn(&T) -> &str,
    prefix: &str,
    delimiter: Option<&str>,
    after: &str,
    most: usize,
) -> Page<T> {
    let mut items: Vec<Item<T>> = Vec::new();
    let mut last = String::new();
    if most == 0 {
        return Page { items, next: None };
    }
    for thing in things {
        let name = key(&thing);
        let common = delimiter
            .filter(|delimiter| !delimiter.is_empty())
            .and_then(|delimiter| {
                let rest = name.get(prefix.len()..)?;
                let at = rest.find(delimiter)?;
                name.get(..prefix.len() + at + delimiter.len())
            })
            .map(str::to_owned);
        let name = common.clone().unwrap_or_else(|| name.to_owned());
        // A prefix that was the last item of the page before is not begun again by its next key.
        if name.as_str() <= after || (common.is_some() && name == last) {
            continue;
        }
        if items.len() == most {
            return Page {
                items,
                next: Some(last),
            };
        }
        items.push(match common {
            Some(common) => Item::Prefix(common),
            None => Item::Key(thing),
        });
        last = name;
    }
    Page { items, next: None }
}

pub(super) fn number(length: usize) -> S3Result<i64> {
    i64::try_from(length).map_err(S3Error::internal_error)
}
