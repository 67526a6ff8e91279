//! The local filesystem as a [`Store`]: rename makes a file visible, a hard link decides who was first, `flock` says
//! who is alive. Every call runs on the blocking pool, so no runtime worker waits for a disk.

mod durable;
mod files;
mod folder;
mod handles;
mod listing;
mod paths;

use std::collections::BTreeSet;
use std::fs::TryLockError;
use std::io;
use std::os::unix::fs::MetadataExt;

use async_trait::async_trait;
use bytes::Bytes;
use url::Url;

use super::{
    Expected, Lock, PublishedFile, StageTarget, StagedUpload, Store, StoreError, StoreResult,
    max_bytes,
};
use files::{
    Known, blocking, content_of, create_folders, for_each, parent_of, remove_folder, sync_folder,
    url_of, verify,
};
use folder::{Folder, at, split};
use handles::{LocalLock, LocalUpload};
use listing::{any_below, digest_of, files_below};

pub use paths::LocalStore;

/// A folder that is made in the table and removed at once.
const PROBE: &str = ".spillway-probe";

#[async_trait]
impl Store for LocalStore {
    fn location(&self) -> &str {
        &self.location
    }

    fn staged_url(&self, folder: &str) -> StoreResult<Url> {
        // Whoever opens the URL would follow links; so there are none on the way.
        self.staged_folder(folder)?;
        url_of(&self.staged_path(folder), true)
    }

    fn published_url(&self, key: &str) -> StoreResult<Url> {
        self.published_file(key)?;
        url_of(&self.table.join(key), false)
    }

    /// A rename replaces.
    fn replaces_in_place(&self, _readable: bool) -> bool {
        true
    }

    async fn prepare(&self) -> StoreResult<()> {
        let store = self.clone();
        blocking("prepare the control folder", move || {
            let control = store.make_control()?;
            for folder in ["commits", "intents", "tmp"] {
                control.make_below(folder)?;
            }
            control.make_private("staging")?;
            control.sync()?;
            sync_folder(parent_of(&store.control)?)?;
            let Some(table) = Folder::open(&store.table)? else {
                return Ok(());
            };
            if table.metadata()?.dev() != control.metadata()?.dev() {
                return Err(StoreError::OtherFilesystem {
                    path: store.table.display().to_string(),
                    control: store.control.display().to_string(),
                });
            }
            // Publishing must not be the first to notice that the table's folder cannot be written.
            // The probe is a folder, because a file would be visible (T-1), and has one name, so that none piles up.
            table.make_below(PROBE)?;
            table.remove_empty(PROBE).map(drop)
        })
        .await
    }

    async fn lock(&self) -> StoreResult<Option<Box<dyn Lock>>> {
        let store = self.clone();
        blocking("take the lock", move || {
            let control = store.make_control()?;
            let file = control.lock_file("lock")?;
            let path = control.path_of("lock");
            match file.try_lock() {
                Ok(()) => {
                    // A holder that died may have decided without making it durable. What is read from here on stays.
                    control.make_below("commits")?.sync()?;
                    Ok(Some(Box::new(LocalLock::new(file, path)) as Box<dyn Lock>))
                }
                Err(TryLockError::WouldBlock) => Ok(None),
                Err(TryLockError::Error(error)) => Err(at("lock", &path, error)),
            }
        })
        .await
    }

    async fn read(&self, key: &str) -> StoreResult<Option<Bytes>> {
        let (store, key) = (self.clone(), key.to_owned());
        blocking("read", move || {
            let (folder, name) = split(&key);
            let Some(folder) = store.control_folder(folder)? else {
                return Ok(None);
            };
            match folder.file(name)? {
                Some(file) => content_of(file, &folder.path_of(name), max_bytes(&key)).map(Some),
                None => Ok(None),
            }
        })
        .await
    }

    async fn put(&self, key: &str, content: Bytes) -> StoreResult<()> {
        let (store, key) = (self.clone(), key.to_owned());
        blocking("write", move || {
            let control = store.make_control()?;
            let (tmp, aside) = store.write_aside(&control, &content)?;
            let (folder, name) = split(&key);
            // An attempt's own folder of the staging area.
            let folder = control.make_below(folder)?;
            if !tmp.rename(&aside, &folder, name)? {
                let path = tmp.path_of(&aside);
                return Err(at("write", &path, io::ErrorKind::NotFound.into()));
            }
            folder.sync()
        })
        .await
    }

    async fn put_if_absent(&self, key: &str, content: Bytes) -> StoreResult<bool> {
        let (store, key) = (self.clone(), key.to_owned());
        blocking("write", move || {
            let control = store.make_control()?;
            let (tmp, aside) = store.write_aside(&control, &content)?;
            let (folder, name) = split(&key);
            let folder = control.make_below(folder)?;
            // A link, unlike a rename, fails if the name is taken; and the name never shows half the content.
            let linked = tmp.link(&aside, &folder, name);
            let written = match linked {
                Ok(true) => folder
                    .sync()
                    .map(|()| true)
                    .map_err(|error| StoreError::NotDurable {
                        path: folder.path_of(name).display().to_string(),
                        source: Box::new(error),
                    }),
                not => not,
            };
            // Best effort: it says nothing about what was written. `sweep` takes what remains.
            let _ = tmp.remove_file(&aside);
            written
        })
        .await
    }

    async fn make_durable(&self, folder: &str) -> StoreResult<()> {
        let (store, folder) = (self.clone(), folder.to_owned());
        blocking("sync folder", move || {
            match store.control_folder(&folder)? {
                Some(folder) => folder.sync(),
                None => Ok(()),
            }
        })
        .await
    }

    async fn list(&self, folder: &str) -> StoreResult<Vec<String>> {
        let (store, folder) = (self.clone(), folder.to_owned());
        blocking("list", move || match store.control_folder(&folder)? {
            Some(folder) => folder.names(),
            None => Ok(Vec::new()),
        })
        .await
    }

    async fn delete(&self, key: &str) -> StoreResult<()> {
        let (store, key) = (self.clone(), key.to_owned());
        blocking("delete", move || {
            let (folder, name) = split(&key);
            let Some(folder) = store.control_folder(folder)? else {
                return Ok(());
            };
            folder.remove_file(name)?;
            folder.sync()
        })
        .await
    }

    async fn stage(&self, target: &StageTarget) -> StoreResult<Box<dyn StagedUpload>> {
        Ok(Box::new(LocalUpload::new(
            self.clone(),
            target.staged.clone(),
        )))
    }

    async fn seal(&self, files: &[Expected]) -> StoreResult<()> {
        self.durable.settled().await?;
        let (store, files) = (self.clone(), files.to_vec());
        blocking("seal staged files", move || {
            let Some(control) = store.control()? else {
                let path = &store.control;
                return Err(at("open folder", path, io::ErrorKind::NotFound.into()));
            };
            for_each(&files, |file| {
                let path = store.staged_path(&file.staged);
                let (folder, name) = split(&file.staged);
                let found = match store.staged_folder(folder)? {
                    Some(folder) => folder.file(name)?,
                    None => None,
                };
                let known = match &found {
                    Some(found) if store.durable.take(found) => Known::Durable,
                    // Another process wrote it: one that was stopped, or one of a cluster.
                    _ => Known::Nothing,
                };
                verify(found, &path, file, known)
            })?;
            let keys: Vec<String> = files
                .iter()
                .map(|file| format!("staging/{}", file.staged))
                .collect();
            // The control folder itself is durable since it was prepared.
            let folders: BTreeSet<&str> = keys.iter().flat_map(|key| folders_of(key)).collect();
            let folders: Vec<&str> = folders.into_iter().collect();
            for_each(&folders, |folder| sync_below(&control, folder))
        })
        .await
    }

    async fn list_staged(&self) -> StoreResult<Vec<String>> {
        self.list("staging").await
    }

    async fn give_up(&self, folder: &str) -> StoreResult<()> {
        let (store, key) = (self.clone(), folder.to_owned());
        blocking("delete staged files", move || {
            let (attempt, name) = split(&key);
            let Some(folder) = store.staged_folder(attempt)? else {
                return Ok(());
            };
            remove_folder(&folder, name)?;
            // The attempt's own, if nothing else is in it any more: the run may have dropped it before.
            let (above, attempt) = split(attempt);
            match store.staged_folder(above)? {
                Some(staging) if !attempt.is_empty() => staging.remove_empty(attempt).map(drop),
                _ => Ok(()),
            }
        })
        .await
    }

    async fn abort(&self, name: &str) -> StoreResult<()> {
        let (store, name) = (self.clone(), name.to_owned());
        blocking("delete staged files", move || {
            match store.staged_folder("")? {
                Some(staging) => remove_folder(&staging, &name),
                None => Ok(()),
            }
        })
        .await
    }

    async fn sweep(&self) -> StoreResult<()> {
        let store = self.clone();
        blocking("delete leftovers", move || {
            let Some(folder) = store.control_folder("tmp")? else {
                return Ok(());
            };
            // Of our naming only: each is named by a UUID.
            for name in folder.names()? {
                if uuid::Uuid::parse_str(&name).is_ok() {
                    folder.remove_file(&name)?;
                }
            }
            Ok(())
        })
        .await
    }

    async fn complete(&self, file: &Expected, published: &str) -> StoreResult<()> {
        let (store, file, key) = (self.clone(), file.clone(), published.to_owned());
        blocking("publish", move || {
            let (partition, name) = split(&key);
            create_folders(&store.table)?;
            let table = Folder::open(&store.table)?
                .ok_or_else(|| at("open", &store.table, io::ErrorKind::NotFound.into()))?;
            let (staged_in, staged_name) = split(&file.staged);
            if let Some(staged) = store.staged_folder(staged_in)?
                // A link would be published as one.
                && staged.file(staged_name)?.is_some()
                && staged.rename(staged_name, &table.make_below(partition)?, name)?
            {
                return Ok(());
            }
            let found = match table.below(partition)? {
                Some(folder) => folder.file(name)?,
                None => None,
            };
            verify(found, &store.table.join(&key), &file, Known::Synced)
        })
        .await
    }

    async fn remove(&self, published: &str) -> StoreResult<()> {
        let (store, key) = (self.clone(), published.to_owned());
        blocking("delete", move || {
            let (mut partition, name) = split(&key);
            let Some(table) = store.table_folder("")? else {
                return Ok(());
            };
            if let Some(folder) = table.below(partition)? {
                folder.remove_file(name)?;
            }
            // Partition folders that this emptied go too; a folder with anything in it refuses, and stays.
            while !partition.is_empty() {
                let (above, name) = split(partition);
                match table.below(above)? {
                    Some(folder) if folder.remove_empty(name)? => partition = above,
                    _ => break,
                }
            }
            Ok(())
        })
        .await
    }

    async fn settle(&self, folders: &[String]) -> StoreResult<()> {
        let (store, folders) = (self.clone(), folders.to_vec());
        blocking("sync folders", move || {
            let table = store.table_folder("")?;
            let all: BTreeSet<&str> = folders
                .iter()
                .flat_map(|folder| {
                    std::iter::successors(Some(folder.as_str()), |folder| {
                        (!folder.is_empty()).then(|| split(folder).0)
                    })
                })
                .collect();
            let all: Vec<&str> = all.into_iter().collect();
            if let Some(table) = &table {
                for_each(&all, |folder| sync_below(table, folder))?;
            }
            sync_folder(parent_of(&store.table)?)
        })
        .await
    }

    async fn list_published(&self) -> StoreResult<Vec<PublishedFile>> {
        let store = self.clone();
        blocking("list the table", move || match store.table_folder("")? {
            Some(table) => files_below(&table),
            None => Ok(Vec::new()),
        })
        .await
    }

    async fn published_digest(&self, published: &str) -> StoreResult<Option<String>> {
        let (store, key) = (self.clone(), published.to_owned());
        blocking("read", move || match store.published_file(&key)? {
            Some(file) => digest_of(file, &store.table.join(&key)).map(Some),
            None => Ok(None),
        })
        .await
    }

    async fn any_published(&self) -> StoreResult<Option<String>> {
        let store = self.clone();
        blocking("look into the table", move || {
            let Some(table) = store.table_folder("")? else {
                return Ok(None);
            };
            any_below(&table)
        })
        .await
    }
}

/// The folders of a key below the one that it is in, without that one.
fn folders_of(key: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(split(key).0), |folder| Some(split(folder).0))
        .take_while(|folder| !folder.is_empty())
}

/// Makes what happened in a folder durable; one that a removal emptied and took away has nothing left to make so.
fn sync_below(root: &Folder, key: &str) -> StoreResult<()> {
    match root.below(key)? {
        Some(folder) => folder.sync(),
        None => Ok(()),
    }
}
