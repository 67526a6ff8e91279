//! Writing one staged file, and the lock of a table: what a run holds open of the local filesystem.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;

use super::files::blocking;
use super::folder::{at, split};
use super::paths::LocalStore;
use crate::store::{Lock, StagedUpload, StoreResult};

/// Bytes a staged file gathers before it touches the disk, so that a small file costs one system round. Hundreds of files
/// may be open, and what they gather is in no memory pool.
const WRITE_BYTES: usize = 128 << 10;

/// A staged file: gathered in memory up to [`WRITE_BYTES`], then on disk.
#[derive(Debug)]
pub(super) struct LocalUpload {
    store: LocalStore,
    /// In the staging area.
    key: String,
    file: Option<File>,
    pending: Vec<u8>,
    /// A write that failed, or whose future was dropped, leaves the file in an unknown state.
    failed: bool,
}

impl LocalUpload {
    pub(super) fn new(store: LocalStore, key: String) -> Self {
        Self {
            store,
            key,
            file: None,
            pending: Vec::new(),
            failed: false,
        }
    }

    /// Writes what was gathered.
    async fn flush(&mut self) -> StoreResult<File> {
        let path = self.store.staged_path(&self.key);
        if self.failed {
            return Err(at(
                "write",
                &path,
                io::Error::other("an earlier write of this file failed"),
            ));
        }
        self.failed = true;
        let (file, pending) = (self.file.take(), std::mem::take(&mut self.pending));
        let (store, key) = (self.store.clone(), self.key.clone());
        blocking("write", move || {
            let mut file = match file {
                Some(file) => file,
                None => {
                    let (folder, name) = split(&key);
                    let staging = store.make_control()?.make_below("staging")?;
                    staging.make_below(folder)?.create(name)?
                }
            };
            file.write_all(&pending)
                .map_err(|error| at("write", &path, error))?;
            Ok(file)
        })
        .await
    }
}

#[async_trait]
impl StagedUpload for LocalUpload {
    async fn write(&mut self, content: Bytes) -> StoreResult<()> {
        if self.pending.is_empty() && content.len() >= WRITE_BYTES {
            // The encoder's own buffer, which nobody else holds: no copy.
            self.pending = content.into();
        } else {
            self.pending.extend_from_slice(&content);
        }
        if self.pending.len() >= WRITE_BYTES {
            self.file = Some(self.flush().await?);
            self.failed = false;
        }
        Ok(())
    }

    async fn finish(&mut self, rest: Bytes) -> StoreResult<String> {
        self.pending.extend_from_slice(&rest);
        let file = self.flush().await?;
        let path = self.store.staged_path(&self.key);
        self.store.durable.begin(file, path).await;
        // The key says it all.
        Ok(String::new())
    }
}

/// An open, locked file: the system gives the lock back when it is closed, by whatever end of the process.
#[derive(Debug)]
pub(super) struct LocalLock {
    file: File,
    path: PathBuf,
}

impl LocalLock {
    /// `file`, opened at `path`, is locked.
    pub(super) fn new(file: File, path: PathBuf) -> Self {
        Self { file, path }
    }
}

#[async_trait]
impl Lock for LocalLock {
    async fn is_held(&self) -> StoreResult<bool> {
        let ours = self
            .file
            .metadata()
            .map_err(|error| at("look at", &self.path, error))?;
        let path = self.path.clone();
        blocking("check the lock", move || {
            match std::fs::symlink_metadata(&path) {
                Ok(named) => Ok(named.ino() == ours.ino() && named.dev() == ours.dev()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(error) => Err(at("look at", &path, error)),
            }
        })
        .await
    }
}
