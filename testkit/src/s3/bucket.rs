//! What the bucket holds: objects, unfinished uploads, and the rules of changing them.
//!
//! Owns the semantics of S3 and of its look-alikes. Every change is one call under one lock, so a condition and the
//! write that depends on it cannot be separated by another request. Requests and replies are the interface's
//! (`api.rs`); nothing here knows of HTTP.

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use md5::{Digest, Md5};
use s3s::dto::ETagCondition;
use s3s::{S3Error, S3Result, s3_error};

use super::options::Behaviour;

/// What S3 asks of every part but the last.
pub(super) const SMALLEST_PART: usize = 5 * 1024 * 1024;

#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    /// Without quotes.
    pub(super) etag: String,
    pub(super) changed: SystemTime,
    pub(super) headers: Headers,
}

/// What a client may say about an object and gets back with it.
#[derive(Debug, Clone, Default)]
pub(super) struct Headers {
    pub(super) content_type: Option<String>,
    pub(super) metadata: HashMap<String, String>,
}

#[derive(Debug, Clone)]
pub(super) struct Upload {
    pub(super) begun: SystemTime,
    headers: Headers,
    pub(super) parts: BTreeMap<i32, Part>,
}

#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) bytes: Bytes,
    /// Without quotes.
    pub(super) etag: String,
    pub(super) changed: SystemTime,
}

/// What must hold of the object that a write replaces.
#[derive(Debug, Default)]
pub(super) struct Condition {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
}

#[derive(Debug, Clone)]
pub(super) struct Bucket {
    behaviour: Behaviour,
    objects: BTreeMap<String, Object>,
    /// By key and upload id, which is the order in which they are listed.
    uploads: BTreeMap<(String, String), Upload>,
    /// Key and ETag of what an upload became, by its id.
    completed: HashMap<String, (String, String)>,
    next_upload: u64,
}

impl Bucket {
    pub(super) fn new(behaviour: Behaviour) -> Self {
        Self {
            behaviour,
            objects: BTreeMap::new(),
            uploads: BTreeMap::new(),
            completed: HashMap::new(),
            next_upload: 1,
        }
    }

    pub(super) fn get(&self, key: &str) -> S3Result<&Object> {
        self.objects
            .get(key)
            .ok_or_else(|| s3_error!(NoSuchKey, "The specified key does not exist."))
    }

    /// The objects whose keys begin with `prefix`, in the order of their keys.
    pub(super) fn objects<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a String, &'a Object)> + 'a {
        self.objects
            .range(prefix.to_owned()..)
            .take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// The unfinished uploads to keys that begin with `prefix`, in the order of keys and ids.
    pub(super) fn uploads<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str, &'a Upload)> + 'a {
        self.uploads
            .iter()
            .filter(move |((key, _), _)| key.starts_with(prefix))
            .map(|((key, id), upload)| (key.as_str(), id.as_str(), upload))
    }

    pub(super) fn put(
        &mut self,
        key: &str,
        bytes: Bytes,
        headers: Headers,
        condition: &Condition,
    ) -> S3Result<String> {
        self.check(key, condition)?;
        let etag = hex::encode(Md5::digest(&bytes));
        self.touched(key);
        self.store(key, bytes, etag.clone(), headers);
        Ok(etag)
    }

    pub(super) fn copy(
        &mut self,
        source: &Object,
        key: &str,
        condition: &Condition,
    ) -> S3Result<String> {
        // A copy of an object that was uploaded in parts gets the ETag of a plain one, as on AWS.
        self.put(key, source.bytes.clone(), source.headers.clone(), condition)
    }

    /// Deletes what may not be there.
    pub(super) fn delete(&mut self, key: &str, condition: &Condition) -> S3Result<()> {
        self.check(key, condition)?;
        self.touched(key);
        self.objects.remove(key);
        Ok(())
    }

    pub(super) fn create_upload(&mut self, key: &str, headers: Headers) -> String {
        if self.behaviour.one_upload_per_key {
            self.drop_uploads(key);
        }
        let id = format!("upload-{:08}", self.next_upload);
        self.next_upload += 1;
        let upload = Upload {
            begun: SystemTime::now(),
            headers,
            parts: BTreeMap::new(),
        };
        self.uploads.insert((key.to_owned(), id.clone()), upload);
        id
    }

    pub(super) fn upload(&self, key: &str, id: &str) -> S3Result<&Upload> {
        self.uploads
            .get(&(key.to_owned(), id.to_owned()))
            .ok_or_else(no_such_upload)
    }

    pub(super) fn put_part(
        &mut self,
        key: &str,
        id: &str,
        number: i32,
        bytes: Bytes,
    ) -> S3Result<Part> {
        if !(1..=10_000).contains(&number) {
            return Err(s3_error!(
                InvalidArgument,
                "Part number must be an integer between 1 and 10000, inclusive"
            ));
        }
        let upload = self
            .uploads
            .get_mut(&(key.to_owned(), id.to_owned()))
            .ok_or_else(no_such_upload)?;
        let part = Part {
            etag: hex::encode(Md5::digest(&bytes)),
            bytes,
            changed: SystemTime::now(),
        };
        upload.parts.insert(number, part.clone());
        Ok(part)
    }

    /// Makes an object of the parts that are named, by number and ETag, and returns its ETag.
    pub(super) fn complete(
        &mut self,
        key: &str,
        id: &str,
        named: &[(i32, String)],
        condition: &Condition,
    ) -> S3Result<String> {
        if let Some((_, etag)) = self.completed.get(id).filter(|(of, _)| of == key)
            && !self.behaviour.completed_uploads_are_forgotten
        {
            return Ok(etag.clone());
        }
        let upload = self.upload(key, id)?;
        let parts = chosen_parts(upload, named)?;
        let (bytes, etag) = join(&parts);
        let headers = upload.headers.clone();
        // The upload outlives a condition that does not hold: the client may abort it, or try again.
        self.check(key, condition)?;
        self.uploads.remove(&(key.to_owned(), id.to_owned()));
        self.completed
            .insert(id.to_owned(), (key.to_owned(), etag.clone()));
        self.store(key, bytes, etag.clone(), headers);
        Ok(etag)
    }

    pub(super) fn abort(&mut self, key: &str, id: &str) -> S3Result<()> {
        self.uploads
            .remove(&(key.to_owned(), id.to_owned()))
            .map(drop)
            .ok_or_else(no_such_upload)
    }

    fn store(&mut self, key: &str, bytes: Bytes, etag: String, headers: Headers) {
        let object = Object {
            bytes,
            etag,
            changed: SystemTime::now(),
            headers,
        };
        self.objects.insert(key.to_owned(), object);
    }

    fn check(&self, key: &str, condition: &Condition) -> S3Result<()> {
        if self.behaviour.conditions_are_ignored {
            return Ok(());
        }
        let existing = self.objects.get(key);
        match &condition.if_none_match {
            Some(ETagCondition::Any) if existing.is_some() => return Err(precondition_failed()),
            Some(ETagCondition::ETag(_)) => {
                return Err(s3_error!(
                    NotImplemented,
                    "If-None-Match of a write must be *"
                ));
            }
            _ => {}
        }
        match (&condition.if_match, existing) {
            (None, _) | (Some(ETagCondition::Any), Some(_)) => Ok(()),
            // Not 412: this is what AWS says, and clients have to know it.
            (Some(_), None) => Err(s3_error!(NoSuchKey, "The specified key does not exist.")),
            (Some(ETagCondition::ETag(etag)), Some(object)) if etag.value() == object.etag => {
                Ok(())
            }
            (Some(ETagCondition::ETag(_)), Some(_)) => Err(precondition_failed()),
        }
    }

    /// What a write of a key does to the uploads that are pending for it.
    fn touched(&mut self, key: &str) {
        if self.behaviour.one_upload_per_key {
            self.drop_uploads(key);
        }
    }

    fn drop_uploads(&mut self, key: &str) {
        self.uploads.retain(|(of, _), _| of != key);
    }
}

/// The parts that a completion names, if they are what it may name.
fn chosen_parts(upload: &Upload, named: &[(i32, String)]) -> S3Result<Vec<Part>> {
    if named.is_empty() {
        return Err(s3_error!(
            MalformedXML,
            "You must specify at least one part"
        ));
    }
    if !named.is_sorted_by(|(left, _), (right, _)| left < right) {
        return Err(s3_error!(
            InvalidPartOrder,
            "The list of parts was not in ascending order."
        ));
    }
    let mut parts = Vec::with_capacity(named.len());
    for (number, etag) in named {
        match upload.parts.get(number) {
            Some(part) if part.etag == *etag => parts.push(part.clone()),
            _ => {
                return Err(s3_error!(
                    InvalidPart,
                    "Part {number} could not be found, or its ETag is another"
                ));
            }
        }
    }
    let but_last = parts.len() - 1;
    if let Some(small) = parts
        .iter()
        .take(but_last)
        .find(|part| part.bytes.len() < SMALLEST_PART)
    {
        return Err(s3_error!(
            EntityTooSmall,
            "A part that is not the last has {} bytes, less than {SMALLEST_PART}",
            small.bytes.len()
        ));
    }
    Ok(parts)
}

/// The bytes of the parts, and the ETag that S3 gives them: the digest of their digests, and their number.
fn join(parts: &[Part]) -> (Bytes, String) {
    let mut digest = Md5::new();
    let mut bytes = BytesMut::with_capacity(parts.iter().map(|part| part.bytes.len()).sum());
    for part in parts {
        digest.update(Md5::digest(&part.bytes));
        bytes.extend_from_slice(&part.bytes);
    }
    let etag = format!("{}-{}", hex::encode(digest.finalize()), parts.len());
    (bytes.freeze(), etag)
}

pub(super) fn precondition_failed() -> S3Error {
    s3_error!(
        PreconditionFailed,
        "At least one of the pre-conditions you specified did not hold"
    )
}

fn no_such_upload() -> S3Error {
    s3_error!(
        NoSuchUpload,
        "The specified multipart upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
    )
}
