//! Makes staged files durable in the background, while the rows of others are still being encoded. Owns which files of
//! this process are on the disk; what else has to be checked before a commit is the store's to know.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::files::SYNC_THREADS;
use super::folder::at;
use crate::store::{StoreError, StoreResult};

/// The files that this process finished. See the module.
#[derive(Debug)]
pub(super) struct Durable {
    /// One for each file that is being synced at once.
    permits: Arc<Semaphore>,
    state: Arc<Mutex<State>>,
}

/// Seconds and nanoseconds.
type Changed = (i64, i64);

#[derive(Debug, Default)]
struct State {
    /// The time of the last change, by inode number; all staged files are of one filesystem. A file that took another's
    /// place has another number, one that was written to another time.
    synced: HashMap<u64, Changed>,
    failed: Option<StoreError>,
}

impl Default for Durable {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(SYNC_THREADS)),
            state: Arc::default(),
        }
    }
}

impl Durable {
    /// Begins to sync a file to which nothing will be added. Waits only while as many as can be are under way.
    ///
    /// The system tells of a failed write only once, to whoever syncs first: so an error is kept for [`Self::settled`].
    /// A dropped future, or an ended run, leaves at most a file that is durable for nothing.
    pub(super) async fn begin(&self, file: File, path: PathBuf) {
        // As it is now: what is done to it while it waits for the disk is a change.
        let finished = file.metadata();
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let state = Arc::clone(&self.state);
        drop(tokio::task::spawn_blocking(move || {
            let synced = file.sync_all().and(finished);
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            match synced {
                Ok(metadata) => drop(state.synced.insert(metadata.ino(), changed(&metadata))),
                Err(error) => drop(state.failed.get_or_insert(at("sync", &path, error))),
            }
            drop(permit);
        }));
    }

    /// Waits for all that was begun.
    ///
    /// # Errors
    /// The first failure since the last call.
    pub(super) async fn settled(&self) -> StoreResult<()> {
        let all = u32::try_from(SYNC_THREADS).unwrap_or(u32::MAX);
        drop(self.permits.acquire_many(all).await);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failed.take().map_or(Ok(()), Err)
    }

    /// Whether this very file was finished and synced by this process, and is as it was. Forgets it.
    pub(super) fn take(&self, file: &File) -> bool {
        let Ok(metadata) = file.metadata() else {
            return false;
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.synced.remove(&metadata.ino()) == Some(changed(&metadata))
    }
}

fn changed(metadata: &Metadata) -> Changed {
    (metadata.ctime(), metadata.ctime_nsec())
}
