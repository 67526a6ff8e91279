//! What dead runs left in the state folder: work folders that no run can go on with, and folders for spilling whose command is
//! gone. Owns what counts as a leftover there; a table's are `tables`'.

use std::path::{Path, PathBuf};

use chrono::Utc;

use crate::error::RunError;
use crate::scratch::{Leftover, leftovers};
use crate::store::{
    Owner, Processes, RunId, RunReader, RunState, RunStore, SqliteRunStore, StoreError,
};

/// A folder of the state folder that nobody needs, or one that somebody does.
#[derive(Debug)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes of all its files.
    pub bytes: u64,
    /// Why it may go, or must stay.
    pub reason: &'static str,
}

/// What is in a state folder. Folders of commands that are gone are locked until this is dropped, so that only one removes
/// them.
#[derive(Debug)]
pub struct Cleanup {
    /// Nobody needs them.
    pub go: Vec<Folder>,
    /// Somebody does.
    pub stay: Vec<Folder>,
    _locked: Vec<Leftover>,
}

impl Cleanup {
    /// Looks; changes nothing.
    ///
    /// # Errors
    /// [`RunError::Io`] when the folder cannot be listed, [`RunError::Store`] when the run store cannot be read.
    pub async fn find(state_dir: &Path) -> Result<Self, RunError> {
        let (mut go, stay) = work_folders(state_dir).await?;
        let locked = leftovers(state_dir)?;
        go.extend(locked.iter().map(|leftover| Folder {
            bytes: size_of(&leftover.folder),
            path: leftover.folder.clone(),
            reason: "spill files of a command that is gone",
        }));
        Ok(Self {
            go,
            stay,
            _locked: locked,
        })
    }

    /// Removes what nobody needs.
    ///
    /// # Errors
    /// [`RunError::Io`] for the first folder that cannot be removed; those before it are gone.
    pub fn remove(&self) -> Result<(), RunError> {
        for folder in &self.go {
            std::fs::remove_dir_all(&folder.path).map_err(|source| RunError::Io {
                action: "remove",
                path: folder.path.clone(),
                source,
            })?;
        }
        Ok(())
    }
}

/// Work folders of runs: those that no run can go on with, and the others.
async fn work_folders(state_dir: &Path) -> Result<(Vec<Folder>, Vec<Folder>), RunError> {
    let folder = state_dir.join("runs");
    let failed = |source| RunError::Io {
        action: "list",
        path: folder.clone(),
        source,
    };
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok((Vec::new(), Vec::new()));
        }
        entries => entries.map_err(failed)?,
    };
    let store = SqliteRunStore::open_existing(&state_dir.join("state.db")).await?;
    let processes = Processes::of_this_machine()?;
    let (mut go, mut stay) = (Vec::new(), Vec::new());
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort_unstable();
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(id) = name.and_then(|name| name.parse::<RunId>().ok()) else {
            continue;
        };
        let (needed, reason) = match &store {
            Some(store) => needed(store, id, &processes).await?,
            None => (false, UNKNOWN),
        };
        let folder = Folder {
            bytes: size_of(&path),
            path,
            reason,
        };
        if needed { &mut stay } else { &mut go }.push(folder);
    }
    if let Some(store) = store {
        // Else the process may end before the database's own files are gone, and looking would leave a trace.
        store.close().await;
    }
    Ok((go, stay))
}

const UNKNOWN: &str = "the run store does not know its run";

/// Whether a run goes on from its work folder, or can.
async fn needed(
    store: &SqliteRunStore,
    id: RunId,
    processes: &Processes,
) -> Result<(bool, &'static str), RunError> {
    let run = match store.run(&id.to_string()).await {
        Err(StoreError::NotFound { .. }) => return Ok((false, UNKNOWN)),
        run => run?,
    };
    let now = Utc::now();
    let state = run.observed_state(&|owner: &Owner| processes.is_alive(owner, now));
    if state == RunState::Running {
        return Ok((true, "its run is at work"));
    }
    if !state.is_resumable() {
        return Ok((false, "its run has published"));
    }
    let resumable = store.find_resumable(&run.identity).await?;
    Ok(match resumable {
        Some(newest) if newest.id == id => (true, "the same request goes on from it"),
        _ => (false, "a newer run of the same request took its place"),
    })
}

/// Bytes of all files below; what cannot be looked at counts nothing.
fn size_of(folder: &Path) -> u64 {
    let mut bytes = 0;
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                Ok(metadata) => bytes += metadata.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}
