//! Where the parts of a table are on the local filesystem: its folder, and the control folder beside it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::durable::Durable;
use super::files::{create_durably, parent_of};
use super::folder::{Folder, at, split};
use crate::store::StoreResult;

/// A table in a folder of the local filesystem, with its control folder beside it.
#[derive(Debug, Clone)]
pub struct LocalStore {
    pub(super) location: String,
    pub(super) table: PathBuf,
    pub(super) control: PathBuf,
    pub(super) durable: Arc<Durable>,
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

    pub(super) fn staged_path(&self, key: &str) -> PathBuf {
        self.control.join("staging").join(key)
    }

    /// The control folder. Unlike the table's, which the user names, it is ours alone, and no link to elsewhere.
    pub(super) fn control(&self) -> StoreResult<Option<Folder>> {
        let Some(parent) = Folder::open(parent_of(&self.control)?)? else {
            return Ok(None);
        };
        parent.below(&self.control_name())
    }

    pub(super) fn control_name(&self) -> String {
        let name = self.control.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// The control folder, which is made if need be, with the folders above it.
    pub(super) fn make_control(&self) -> StoreResult<Folder> {
        create_durably(parent_of(&self.control)?)?;
        let parent = parent_of(&self.control)?;
        let opened = Folder::open(parent)?;
        let opened = opened.ok_or_else(|| at("open", parent, io::ErrorKind::NotFound.into()))?;
        opened.make_below(&self.control_name())
    }

    /// A folder of the control folder; `None` if it is not there.
    pub(super) fn control_folder(&self, key: &str) -> StoreResult<Option<Folder>> {
        match self.control()? {
            Some(control) => control.below(key),
            None => Ok(None),
        }
    }

    /// A folder of the staging area; `None` if it is not there.
    pub(super) fn staged_folder(&self, key: &str) -> StoreResult<Option<Folder>> {
        match self.control_folder("staging")? {
            Some(staging) => staging.below(key),
            None => Ok(None),
        }
    }

    /// A folder of the table; `None` if it is not there.
    pub(super) fn table_folder(&self, key: &str) -> StoreResult<Option<Folder>> {
        match Folder::open(&self.table)? {
            Some(table) => table.below(key),
            None => Ok(None),
        }
    }

    pub(super) fn published_file(&self, key: &str) -> StoreResult<Option<File>> {
        let (folder, name) = split(key);
        match self.table_folder(folder)? {
            Some(folder) => folder.file(name),
            None => Ok(None),
        }
    }

    /// Writes `content` under a name of its own, durably, and returns that name with its folder.
    pub(super) fn write_aside(
        &self,
        control: &Folder,
        content: &[u8],
    ) -> StoreResult<(Folder, String)> {
        let folder = control.make_below("tmp")?;
        let name = uuid::Uuid::now_v7().to_string();
        let mut file = folder.create(&name)?;
        let written = file.write_all(content).and_then(|()| file.sync_all());
        if let Err(error) = written {
            // Best effort: on a full disk the leftover itself is the problem. `sweep` takes what remains.
            drop(folder.remove_file(&name));
            return Err(at("write", &folder.path_of(&name), error));
        }
        Ok((folder, name))
    }
}
