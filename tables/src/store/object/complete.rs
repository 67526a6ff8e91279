//! Making a staged file visible, in a way that can be repeated: an answer that was lost polls like a failure, so a
//! failure is believed only after looking at what is there.

use std::time::Duration;

use futures::TryStreamExt;
use md5::Md5;
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{Error as ObjectError, ObjectStoreExt};
use sha2::{Digest, Sha256};

use super::keys::BucketStore;
use super::upload::{MAX_COPY_BYTES, Note, too_large};
use crate::causes::causes;
use crate::storage::{COPY_PENDING, is_missing_bucket};
use crate::store::{Expected, StoreError, StoreResult};

/// How often, and how long in between, a copy that the server makes later is looked for.
const COPY_POLLS: usize = 30;
const COPY_POLL_INTERVAL: Duration = Duration::from_secs(2);

impl BucketStore {
    pub(super) async fn put_in_place(&self, file: &Expected, to: &Path) -> StoreResult<()> {
        match Note::parse(file)? {
            Note::Upload { id, parts } => {
                self.finish_upload(to, &id, &parts, file.bytes, Some(&file.sha256))
                    .await?;
                self.forget(to, &id);
                Ok(())
            }
            Note::Object { .. } => {
                let from = self.staged_path(&file.staged)?;
                let Err(error) = self.store().copy(&from, to).await else {
                    return Ok(());
                };
                // The staged object goes only when everything is in place. A server that makes the copy later is given
                // some time; the next run finishes it otherwise.
                let polls = if is_pending(&error) { COPY_POLLS } else { 1 };
                for poll in 1..=polls {
                    let sha256 = Some(file.sha256.as_str());
                    if self.is_there(to, file.bytes, None, sha256).await? {
                        return Ok(());
                    }
                    if poll < polls {
                        tokio::time::sleep(COPY_POLL_INTERVAL).await;
                    }
                }
                Err(self.fault("publish", to, error))
            }
        }
    }

    /// Completes an upload and gives the object's ETag, if it is known. Whatever the storage says, an object that is
    /// provably the upload's is success: the repetition of a completion whose answer was lost finds no upload.
    pub(super) async fn finish_upload(
        &self,
        path: &Path,
        id: &str,
        parts: &[String],
        bytes: u64,
        sha256: Option<&str>,
    ) -> StoreResult<Option<String>> {
        let Some(multipart) = self.bucket.multipart() else {
            return Err(StoreError::Damaged {
                path: self.named(path),
                reason: "it was staged as an upload, which this storage does not have".to_owned(),
            });
        };
        let ids = parts
            .iter()
            .map(|content_id| PartId {
                content_id: content_id.clone(),
            })
            .collect();
        let completed = multipart
            .complete_multipart(path, &id.to_owned(), ids)
            .await;
        match completed {
            Ok(result) => Ok(result.e_tag),
            Err(error) => {
                let e_tag = upload_e_tag(parts);
                if self.is_there(path, bytes, e_tag.as_deref(), sha256).await? {
                    return Ok(e_tag);
                }
                Err(self.fault("publish", path, error))
            }
        }
    }

    /// Whether the object at `path` is the expected one: by its size, and by the ETag of the upload or its digest. An
    /// ETag that differs proves nothing where the server encrypts, so the bytes decide then. Without a digest it is an
    /// object in the staging area.
    async fn is_there(
        &self,
        path: &Path,
        bytes: u64,
        e_tag: Option<&str>,
        sha256: Option<&str>,
    ) -> StoreResult<bool> {
        let found = match self.store().head(path).await {
            Ok(found) => found,
            Err(ObjectError::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(self.fault("look at", path, error)),
        };
        if found.size != bytes {
            return Ok(false);
        }
        let plain = |tag: &str| tag.trim_matches('"').to_owned();
        if let (Some(expected), Some(found)) = (e_tag, &found.e_tag)
            && plain(expected) == plain(found)
        {
            return Ok(true);
        }
        let Some(sha256) = sha256 else {
            // A staged object: its key is this attempt's alone and written once, so the size suffices. Azure's ETags
            // say nothing of the bytes.
            return Ok(true);
        };
        Ok(self.digest(path).await?.as_deref() == Some(sha256))
    }

    /// SHA-256 of an object's bytes, in hexadecimal; `None` if there is none.
    pub(super) async fn digest(&self, path: &Path) -> StoreResult<Option<String>> {
        let failed = |error| self.fault("read back", path, error);
        let mut content = match self.store().get(path).await {
            Ok(found) => found.into_stream(),
            Err(error @ ObjectError::NotFound { .. }) if !is_missing_bucket(&error) => {
                return Ok(None);
            }
            Err(error) => return Err(failed(error)),
        };
        let mut hash = Sha256::new();
        while let Some(bytes) = content.try_next().await.map_err(failed)? {
            hash.update(&bytes);
        }
        Ok(Some(hex::encode(hash.finalize())))
    }

    /// A staged object must have its size before a commit names it, and be small enough to be copied.
    pub(super) async fn check_staged(&self, file: &Expected) -> StoreResult<()> {
        let path = self.staged_path(&file.staged)?;
        if file.bytes > MAX_COPY_BYTES {
            return Err(too_large(&self.named(&path)));
        }
        let damaged = |reason: String| StoreError::Damaged {
            path: self.named(&path),
            reason,
        };
        match self.store().head(&path).await {
            Ok(found) if found.size == file.bytes => Ok(()),
            Ok(found) => Err(damaged(format!(
                "it has {} bytes, {} were written",
                found.size, file.bytes
            ))),
            Err(ObjectError::NotFound { .. }) => Err(damaged("it is gone".to_owned())),
            Err(error) => Err(self.fault("look at", &path, error)),
        }
    }
}

/// Whether the server has taken a copy on and not made it yet.
fn is_pending(error: &ObjectError) -> bool {
    causes(error).any(|cause| cause.to_string().contains(COPY_PENDING))
}

/// The ETag that S3 gives an upload of these parts: the MD5 of their MD5s, and how many there are. `None` where part
/// ids are something else.
fn upload_e_tag(parts: &[String]) -> Option<String> {
    let mut hash = Md5::new();
    for part in parts {
        let digest = hex::decode(part.trim_matches('"')).ok()?;
        if digest.len() != 16 {
            return None;
        }
        hash.update(&digest);
    }
    Some(format!("{}-{}", hex::encode(hash.finalize()), parts.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_e_tag_of_an_upload_is_that_of_s3() {
        // md5("a"), md5("b"), and md5 of both digests.
        let parts = [
            "\"0cc175b9c0f1b6a831c399e269772661\"".to_owned(),
            "92eb5ffee6ae2fec3ad71c777531578f".to_owned(),
        ];
        let mut both = Md5::new();
        both.update(Md5::digest("a"));
        both.update(Md5::digest("b"));
        let expected = format!("{}-2", hex::encode(both.finalize()));
        assert_eq!(upload_e_tag(&parts), Some(expected));
        assert_eq!(upload_e_tag(&["MDAwMQ==".to_owned()]), None);
    }
}
