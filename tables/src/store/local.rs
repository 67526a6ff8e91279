//! The local filesystem as a [`Store`]: rename makes a file visible, a hard link decides who was first, `flock` says
//! who is alive. Every call runs on the blocking pool, so no runtime worker waits for a disk.

mod durable;
mod files;
mod handles;
mod look;

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use url::Url;

use super::{
    Expected, Lock, PublishedFile, StageTarget, StagedUpload, Store, StoreError, StoreResult,
};
use durable::Durable;
use files::{
    Known, at, blocking, create_folders, create_new, for_each, names_in, parent_of, remove_file,
    remove_folder, sync_folder, up_to, url_of, verify,
};
use handles::{LocalLock, LocalUpload};
use look::{digest_of, files_below};

/// A table in a folder of the local filesystem, with its control folder beside it.
#[derive(Debug, Clone)]
pub struct LocalStore {
    location: String,
    table: PathBuf,
    control: PathBuf,
    durable: Arc<Durable>,
}

impl LocalStore {
    /// A store for the table at `table`, an absolute path with a last component. Touches nothing.
    ///
    /// # Errors
    /// The reason, as text, why there can be no table at that path.
    pub fn new(table: &Path) -> Result<Self, String> {
        let name = table.file_name().and_then(|name| name.to_str());
        let (Some(parent), Some(name), Some(location)) = (table.parent(), name, table.to_str())
        else {
            return Err("the last part of the path must be a name in UTF-8".to_owned());
        };
        let control = parent.join(format!(".{name}.spillway"));
        Ok(Self {
            location: location.to_owned(),
            table: table.to_owned(),
            control,
            durable: Arc::default(),
        })
    }

    fn control_path(&self, key: &str) -> PathBuf {
        self.control.join(key)
    }

    fn staged_path(&self, key: &str) -> PathBuf {
        self.control.join("staging").join(key)
    }

    fn published_path(&self, key: &str) -> PathBuf {
        self.table.join(key)
    }

    /// Writes `content` under a name of its own, durably, and returns that name.
    fn write_aside(&self, content: &[u8]) -> StoreResult<PathBuf> {
        let folder = self.control_path("tmp");
        create_folders(&folder)?;
        let path = folder.join(uuid::Uuid::now_v7().to_string());
        let mut file = create_new(&path)?;
        let written = file.write_all(content).and_then(|()| file.sync_all());
        written.map_err(|error| {
            // Best effort: on a full disk the leftover itself is the problem. `sweep` takes what remains.
            let _ = fs::remove_file(&path);
            at("write", &path, error)
        })?;
        Ok(path)
    }
}

#[async_trait]
impl Store for LocalStore {
    fn location(&self) -> &str {
        &self.location
    }

    fn staged_url(&self, folder: &str) -> StoreResult<Url> {
        url_of(&self.staged_path(folder), true)
    }

    fn published_url(&self, key: &str) -> StoreResult<Url> {
        url_of(&self.published_path(key), false)
    }

    /// A rename replaces.
    fn replaces_in_place(&self, _readable: bool) -> bool {
        true
    }

    async fn prepare(&self) -> StoreResult<()> {
        let (table, control) = (self.table.clone(), self.control.clone());
        blocking("prepare the control folder", move || {
            for folder in ["commits", "intents", "staging", "tmp"] {
                create_folders(&control.join(folder))?;
            }
            sync_folder(parent_of(&control)?)?;
            let device = |path: &Path| {
                fs::metadata(path).map(|metadata| (metadata.dev(), metadata.is_dir()))
            };
            match device(&table) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(at("look at", &table, error)),
                Ok((_, false)) => {
                    return Err(at(
                        "write into",
                        &table,
                        io::ErrorKind::NotADirectory.into(),
                    ));
                }
                Ok((of_table, true)) => {
                    let (of_control, _) =
                        device(&control).map_err(|error| at("look at", &control, error))?;
                    if of_table != of_control {
                        return Err(StoreError::OtherFilesystem {
                            path: table.display().to_string(),
                            control: control.display().to_string(),
                        });
                    }
                }
            }
            // Publishing must not be the first to notice that the table's folder cannot be written.
            // The probe is a folder, because a file would be visible (T-1), and has one name, so that none piles up.
            let probe = table.join(".spillway-probe");
            create_folders(&probe)?;
            fs::remove_dir(&probe).map_err(|error| at("delete", &probe, error))
        })
        .await
    }

    async fn lock(&self) -> StoreResult<Option<Box<dyn Lock>>> {
        let path = self.control_path("lock");
        blocking("take the lock", move || {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path);
            let file = file.map_err(|error| at("open", &path, error))?;
            match file.try_lock() {
                Ok(()) => Ok(Some(Box::new(LocalLock::new(file, path)) as Box<dyn Lock>)),
                Err(TryLockError::WouldBlock) => Ok(None),
                Err(TryLockError::Error(error)) => Err(at("lock", &path, error)),
            }
        })
        .await
    }

    async fn read(&self, key: &str) -> StoreResult<Option<Bytes>> {
        let path = self.control_path(key);
        blocking("read", move || match fs::read(&path) {
            Ok(content) => Ok(Some(content.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at("read", &path, error)),
        })
        .await
    }

    async fn put(&self, key: &str, content: Bytes) -> StoreResult<()> {
        let (store, path) = (self.clone(), self.control_path(key));
        blocking("write", move || {
            let aside = store.write_aside(&content)?;
            let folder = parent_of(&path)?;
            // An attempt's own folder of the staging area.
            fs::create_dir_all(folder).map_err(|error| at("make", folder, error))?;
            fs::rename(&aside, &path).map_err(|error| at("write", &path, error))?;
            sync_folder(folder)
        })
        .await
    }

    async fn put_if_absent(&self, key: &str, content: Bytes) -> StoreResult<bool> {
        let (store, path) = (self.clone(), self.control_path(key));
        blocking("write", move || {
            let aside = store.write_aside(&content)?;
            // A link, unlike a rename, fails if the name is taken; and the name never shows half the content.
            let written = match fs::hard_link(&aside, &path) {
                Ok(()) => sync_folder(parent_of(&path)?)
                    .map(|()| true)
                    .map_err(|error| StoreError::NotDurable {
                        path: path.display().to_string(),
                        source: Box::new(error),
                    }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(at("write", &path, error)),
            };
            // Best effort: it says nothing about what was written. `sweep` takes what remains.
            let _ = fs::remove_file(&aside);
            written
        })
        .await
    }

    async fn make_durable(&self, folder: &str) -> StoreResult<()> {
        let path = self.control_path(folder);
        blocking("sync folder", move || sync_folder(&path)).await
    }

    async fn list(&self, folder: &str) -> StoreResult<Vec<String>> {
        let path = self.control_path(folder);
        blocking("list", move || names_in(&path)).await
    }

    async fn delete(&self, key: &str) -> StoreResult<()> {
        let path = self.control_path(key);
        blocking("delete", move || {
            remove_file(&path)?;
            sync_folder(parent_of(&path)?)
        })
        .await
    }

    async fn stage(&self, target: &StageTarget) -> StoreResult<Box<dyn StagedUpload>> {
        let path = self.staged_path(&target.staged);
        Ok(Box::new(LocalUpload::new(path, &self.durable)))
    }

    async fn seal(&self, files: &[Expected]) -> StoreResult<()> {
        self.durable.settled().await?;
        let (store, files) = (self.clone(), files.to_vec());
        blocking("seal staged files", move || {
            for_each(&files, |file| {
                let path = store.staged_path(&file.staged);
                let known = if store.durable.take(&path) {
                    Known::Durable
                } else {
                    // Another process wrote it: one that was stopped, or one of a cluster.
                    Known::Nothing
                };
                verify(&path, file, known)
            })?;
            let paths: Vec<PathBuf> = files
                .iter()
                .map(|file| store.staged_path(&file.staged))
                .collect();
            let folders: BTreeSet<&Path> = paths
                .iter()
                .filter_map(|path| path.parent())
                .flat_map(|folder| up_to(folder, &store.control))
                .collect();
            let folders: Vec<&Path> = folders.into_iter().collect();
            for_each(&folders, |folder| sync_folder(folder))
        })
        .await
    }

    async fn list_staged(&self) -> StoreResult<Vec<String>> {
        self.list("staging").await
    }

    async fn give_up(&self, folder: &str) -> StoreResult<()> {
        let path = self.staged_path(folder);
        blocking("delete staged files", move || {
            remove_folder(&path)?;
            // The attempt's own, if nothing else is in it any more: the run may have dropped it before.
            drop(fs::remove_dir(parent_of(&path)?));
            Ok(())
        })
        .await
    }

    async fn abort(&self, name: &str) -> StoreResult<()> {
        let path = self.staged_path(name);
        blocking("delete staged files", move || remove_folder(&path)).await
    }

    async fn sweep(&self) -> StoreResult<()> {
        let folder = self.control_path("tmp");
        blocking("delete leftovers", move || {
            for name in names_in(&folder)? {
                remove_file(&folder.join(name))?;
            }
            Ok(())
        })
        .await
    }

    async fn complete(&self, file: &Expected, published: &str) -> StoreResult<()> {
        let (from, to) = (
            self.staged_path(&file.staged),
            self.published_path(published),
        );
        let file = file.clone();
        blocking("publish", move || {
            create_folders(parent_of(&to)?)?;
            match fs::rename(&from, &to) {
                Ok(()) => Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    verify(&to, &file, Known::Synced)
                }
                Err(error) => Err(at("publish", &to, error)),
            }
        })
        .await
    }

    async fn remove(&self, published: &str) -> StoreResult<()> {
        let (table, path) = (self.table.clone(), self.published_path(published));
        blocking("delete", move || {
            remove_file(&path)?;
            // Partition folders that this emptied go too; a folder with anything in it refuses, and stays.
            let folders = parent_of(&path)?;
            for folder in up_to(folders, &table).filter(|folder| *folder != table) {
                if fs::remove_dir(folder).is_err() {
                    break;
                }
            }
            Ok(())
        })
        .await
    }

    async fn settle(&self, folders: &[String]) -> StoreResult<()> {
        let table = self.table.clone();
        let folders: Vec<PathBuf> = folders
            .iter()
            .map(|folder| self.published_path(folder))
            .collect();
        blocking("sync folders", move || {
            let mut all: BTreeSet<&Path> = folders
                .iter()
                .flat_map(|folder| up_to(folder, &table))
                .collect();
            all.insert(parent_of(&table)?);
            let all: Vec<&Path> = all.into_iter().collect();
            for_each(&all, |folder| sync_folder(folder))
        })
        .await
    }

    async fn list_published(&self) -> StoreResult<Vec<PublishedFile>> {
        let table = self.table.clone();
        blocking("list the table", move || files_below(&table)).await
    }

    async fn published_digest(&self, published: &str) -> StoreResult<Option<String>> {
        let path = self.published_path(published);
        blocking("read", move || digest_of(&path)).await
    }

    async fn any_published(&self) -> StoreResult<Option<String>> {
        let table = self.table.clone();
        blocking("look into the table", move || {
            let mut folders = vec![table.clone()];
            while let Some(folder) = folders.pop() {
                for name in names_in(&folder)?
                    .into_iter()
                    .filter(|name| !name.starts_with('.'))
                {
                    let path = folder.join(name);
                    if path.is_dir() {
                        folders.push(path);
                    } else {
                        let key = path.strip_prefix(&table).unwrap_or(&path);
                        return Ok(Some(key.display().to_string()));
                    }
                }
            }
            Ok(None)
        })
        .await
    }
}
