//! Folders for the spill files of commands that are no runs of a pipeline: `<state dir>/spill/<id>/`.
//!
//! Owns making and removing them. The command holds a lock in its folder; the system releases it when the process dies, so
//! that `pipelines clean` can tell a leftover from a folder in use.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use engine::private::{create_file, make_folder};

use crate::error::RunError;
use crate::store::RunId;

const LOCK: &str = "lock";

/// A folder of this command's own; removed when dropped.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    _lock: File,
}

/// A folder whose command is gone.
#[derive(Debug)]
pub(crate) struct Leftover {
    /// Where it is.
    pub(crate) folder: PathBuf,
    /// Held while it is removed, so that only one does it.
    _lock: File,
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RunError {
    let path = path.to_path_buf();
    move |source| RunError::Io {
        action,
        path,
        source,
    }
}

fn parent(state_dir: &Path) -> PathBuf {
    state_dir.join("spill")
}

impl Scratch {
    /// Makes the folder.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn make(state_dir: &Path, id: RunId) -> Result<Self, RunError> {
        let folder = parent(state_dir).join(id.to_string());
        make_folder(&folder).map_err(failed("make the folder", &folder))?;
        let path = folder.join(LOCK);
        let lock = create_file(&path).map_err(failed("make", &path))?;
        lock.lock().map_err(failed("lock", &path))?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(path = %self.folder.display(), %error, "the folder for spilling remains");
        }
        // Folders that hold nothing else go too; one that is in use refuses.
        if let Some(spill) = self.folder.parent()
            && fs::remove_dir(spill).is_ok()
            && let Some(state) = spill.parent()
        {
            drop(fs::remove_dir(state));
        }
    }
}

/// Folders that no living command uses.
pub(crate) fn leftovers(state_dir: &Path) -> Result<Vec<Leftover>, RunError> {
    let parent = parent(state_dir);
    let entries = match fs::read_dir(&parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed("list", &parent))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let folder = entry.map_err(failed("list", &parent))?.path();
        let ours = folder.file_name().and_then(|name| name.to_str());
        if ours.is_none_or(|name| name.parse::<RunId>().is_err()) {
            continue;
        }
        let lock = match File::open(folder.join(LOCK)) {
            // Killed between making the folder and the lock, or about to make it: left to the next time.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            lock => lock.map_err(failed("open the lock of", &folder))?,
        };
        match lock.try_lock() {
            Ok(()) => found.push(Leftover {
                folder,
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => return Err(failed("lock", &folder)(source)),
        }
    }
    found.sort_unstable_by(|a, b| a.folder.cmp(&b.folder));
    Ok(found)
}
