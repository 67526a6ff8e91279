//! Writing one staged file of an object store: parts of one size that leave while the next is encoded. Owns the note
//! that any process can finish the file by.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{Error as ObjectError, MultipartId, ObjectStoreExt, PutPayload};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::keys::BucketStore;
use crate::store::{Expected, StageTarget, StagedUpload, StoreError, StoreResult};

/// Bytes in a part, at least. Servers take no smaller one than 5 MiB, except as the last.
const MIN_PART_BYTES: usize = 8 << 20;
/// Parts of an upload, at most, on every server.
const MAX_PARTS: usize = 10_000;
/// Parts of one file that are under way at a time.
const PARTS_IN_FLIGHT: usize = 4;
/// The largest object that one server-side copy takes, on S3.
pub(super) const MAX_COPY_BYTES: u64 = 5 << 30;

/// How a staged file is completed: the text in the commit record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Note {
    /// An upload to the published key. Its parts, in order.
    Upload { id: String, parts: Vec<String> },
    /// An object in the staging area, to be copied.
    Object { e_tag: Option<String> },
}

impl Note {
    pub(super) fn parse(file: &Expected) -> StoreResult<Self> {
        let damaged = |reason: String| StoreError::Damaged {
            path: file.staged.clone(),
            reason: format!("the note of its upload cannot be read: {reason}"),
        };
        let note: Self =
            serde_json::from_str(&file.upload).map_err(|error| damaged(error.to_string()))?;
        // They go into requests as they are. Azure's uploads have no name of their own, so it may be empty.
        let sane = |text: &String| !text.chars().any(char::is_control);
        match &note {
            Self::Upload { id, parts }
                if !sane(id) || parts.iter().any(|part| part.is_empty() || !sane(part)) =>
            {
                Err(damaged("a name of it is none".to_owned()))
            }
            Self::Upload { parts, .. } if parts.len() > MAX_PARTS => {
                Err(damaged(format!("it has {} parts", parts.len())))
            }
            _ => Ok(note),
        }
    }
}

/// Every part has the same size, and the file may grow to twice what is expected.
fn part_bytes(expected: u64) -> usize {
    let needed = usize::try_from(expected / (MAX_PARTS as u64 / 2)).unwrap_or(usize::MAX);
    needed.max(MIN_PART_BYTES)
}

/// A file on its way: bytes that wait for a part to be full, and parts on the wire.
#[derive(Debug)]
pub(super) struct ObjectUpload {
    store: BucketStore,
    path: Path,
    /// The attempt whose file it is.
    attempt: String,
    /// It becomes an object of its own when it is finished.
    as_object: bool,
    part_bytes: usize,
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
    sent_bytes: u64,
    id: Option<MultipartId>,
    next: usize,
    flying: JoinSet<(usize, Result<PartId, ObjectError>)>,
    landed: BTreeMap<usize, PartId>,
}

impl ObjectUpload {
    pub(super) fn new(
        store: BucketStore,
        path: Path,
        target: &StageTarget,
        as_object: bool,
    ) -> Self {
        let attempt = target.staged.split('/').next().unwrap_or_default();
        // So that dropping the attempt knows that it is this process's.
        store.begun().entry(attempt.to_owned()).or_default();
        Self {
            store,
            path,
            attempt: attempt.to_owned(),
            as_object,
            part_bytes: part_bytes(target.expected_bytes),
            waiting: Vec::new(),
            waiting_bytes: 0,
            sent_bytes: 0,
            id: None,
            next: 0,
            flying: JoinSet::new(),
            landed: BTreeMap::new(),
        }
    }

    fn fault(&self, error: ObjectError) -> StoreError {
        self.store.fault("upload", &self.path, error)
    }

    fn push(&mut self, content: Bytes) {
        self.waiting_bytes += content.len();
        if !content.is_empty() {
            self.waiting.push(content);
        }
    }

    /// The next part, of exactly the part size, or the rest.
    fn cut(&mut self) -> PutPayload {
        let mut missing = self.part_bytes.min(self.waiting_bytes);
        self.waiting_bytes -= missing;
        self.sent_bytes += missing as u64;
        let mut part = Vec::new();
        let mut kept = Vec::new();
        for mut bytes in self.waiting.drain(..) {
            if missing == 0 {
                kept.push(bytes);
                continue;
            }
            let taken = bytes.split_to(missing.min(bytes.len()));
            missing -= taken.len();
            part.push(taken);
            if !bytes.is_empty() {
                kept.push(bytes);
            }
        }
        self.waiting = kept;
        part.into_iter().collect()
    }

    async fn land_one(&mut self) -> StoreResult<()> {
        match self.flying.join_next().await {
            None => Ok(()),
            Some(Ok((index, Ok(part)))) => {
                self.landed.insert(index, part);
                Ok(())
            }
            Some(Ok((_, Err(error)))) => Err(self.fault(error)),
            Some(Err(_)) => Err(StoreError::Interrupted {
                action: "upload a part",
            }),
        }
    }

    async fn send_part(&mut self) -> StoreResult<()> {
        let Some(multipart) = self.store.bucket.multipart().cloned() else {
            return Ok(());
        };
        if self.next >= MAX_PARTS {
            return Err(StoreError::Unusable {
                location: self.store.named(&self.path),
                reason: format!(
                    "the file needs more than {MAX_PARTS} parts of {} bytes; set a smaller target file size",
                    self.part_bytes
                ),
            });
        }
        let id = match &self.id {
            Some(id) => id.clone(),
            None => {
                let begun = multipart.create_multipart(&self.path).await;
                let id = begun.map_err(|error| self.fault(error))?;
                self.store
                    .begun()
                    .entry(self.attempt.clone())
                    .or_default()
                    .push((self.path.clone(), id.clone()));
                self.id.insert(id).clone()
            }
        };
        while self.flying.len() >= PARTS_IN_FLIGHT {
            self.land_one().await?;
        }
        let permit = std::sync::Arc::clone(&self.store.state.parts).acquire_owned();
        let permit = permit.await.map_err(|_| StoreError::Interrupted {
            action: "upload a part",
        })?;
        // No await between the cut and the send: a dropped future must not lose a part.
        let (index, part, path) = (self.next, self.cut(), self.path.clone());
        self.next += 1;
        self.flying.spawn(async move {
            let sent = multipart.put_part(&path, &id, index, part).await;
            drop(permit);
            (index, sent)
        });
        Ok(())
    }

    async fn finish_object(&mut self) -> StoreResult<Note> {
        if self.id.is_none() {
            let content = std::mem::take(&mut self.waiting);
            self.sent_bytes = self.waiting_bytes as u64;
            let payload: PutPayload = content.into_iter().collect();
            let put = self.store.store().put(&self.path, payload).await;
            let put = put.map_err(|error| self.fault(error))?;
            return Ok(Note::Object { e_tag: put.e_tag });
        }
        let (id, parts) = self.finish_parts().await?;
        let e_tag = self
            .store
            .finish_upload(&self.path, &id, &parts, self.sent_bytes, None)
            .await?;
        self.store.forget(&self.path, &id);
        Ok(Note::Object { e_tag })
    }

    async fn finish_parts(&mut self) -> StoreResult<(String, Vec<String>)> {
        // A file without a byte still needs a part.
        if self.waiting_bytes > 0 || self.next == 0 {
            self.send_part().await?;
        }
        while !self.flying.is_empty() {
            self.land_one().await?;
        }
        let id = self.id.clone().unwrap_or_default();
        let parts = std::mem::take(&mut self.landed);
        if parts.len() != self.next {
            return Err(StoreError::Damaged {
                path: self.store.named(&self.path),
                reason: format!("{} of {} parts arrived", parts.len(), self.next),
            });
        }
        let parts = parts.into_values().map(|part| part.content_id).collect();
        Ok((id, parts))
    }
}

#[async_trait]
impl StagedUpload for ObjectUpload {
    async fn write(&mut self, content: Bytes) -> StoreResult<()> {
        self.push(content);
        // In memory there are no parts; otherwise the last part stays until it is known to be the last.
        while self.store.bucket.multipart().is_some() && self.waiting_bytes > self.part_bytes {
            self.send_part().await?;
        }
        if self.as_object && self.sent_bytes > MAX_COPY_BYTES {
            return Err(too_large(&self.store.named(&self.path)));
        }
        Ok(())
    }

    async fn finish(&mut self, rest: Bytes) -> StoreResult<String> {
        self.write(rest).await?;
        let note = if self.as_object {
            self.finish_object().await?
        } else {
            let (id, parts) = self.finish_parts().await?;
            Note::Upload { id, parts }
        };
        serde_json::to_string(&note).map_err(|error| StoreError::Damaged {
            path: self.store.named(&self.path),
            reason: error.to_string(),
        })
    }
}

pub(super) fn too_large(location: &str) -> StoreError {
    StoreError::Unusable {
        location: location.to_owned(),
        reason: "a file that is checked or merged before it is published is copied, and object stores copy at most \
                 5 GiB at once; set a smaller target file size"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_large_enough_for_the_file_and_never_under_the_limit() {
        assert_eq!(part_bytes(1), MIN_PART_BYTES);
        assert_eq!(part_bytes(512 << 20), MIN_PART_BYTES);
        let huge = 1 << 40;
        assert!(part_bytes(huge) as u64 * MAX_PARTS as u64 >= 2 * huge - MAX_PARTS as u64);
    }

    #[test]
    fn a_note_is_text_that_another_process_reads_back() {
        let note = Note::Upload {
            id: "2~x/y+z".to_owned(),
            parts: vec!["\"0123\"".to_owned()],
        };
        let file = Expected {
            staged: "t/rows/a".to_owned(),
            upload: serde_json::to_string(&note).unwrap(),
            bytes: 1,
            sha256: String::new(),
        };
        assert_eq!(Note::parse(&file).unwrap(), note);
        let damaged = Expected {
            upload: "{".to_owned(),
            ..file
        };
        assert!(Note::parse(&damaged).is_err());
    }
}
