//! The file operations under the local store: each names the path it failed at. Knows no tables and no keys.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use url::Url;

use super::folder::{Folder, at};
use crate::store::{Expected, StoreError, StoreResult, too_many_bytes};

/// Threads that verify and sync staged files, or sync folders. They wait for the disk rather than compute, and the more
/// wait together, the fewer journal writes the filesystem makes.
pub(super) const SYNC_THREADS: usize = 16;
/// Bytes that are read at once to verify a file.
const READ_BYTES: usize = 1 << 20;

/// Runs file operations on the blocking pool.
pub(super) async fn blocking<T: Send + 'static>(
    action: &'static str,
    work: impl FnOnce() -> StoreResult<T> + Send + 'static,
) -> StoreResult<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(StoreError::Interrupted { action }),
    }
}

pub(super) fn create_folders(path: &Path) -> StoreResult<()> {
    fs::create_dir_all(path).map_err(|error| at("create folder", path, error))
}

/// Makes a folder with those above it, so that they are there after a power failure too: what is in a folder is lost
/// with its name.
pub(super) fn create_durably(path: &Path) -> StoreResult<()> {
    let made: Vec<&Path> = path
        .ancestors()
        .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        .collect();
    create_folders(path)?;
    for folder in made.into_iter().rev() {
        sync_folder(parent_of(folder)?)?;
    }
    Ok(())
}

/// The whole content of an open control file, which must not have more bytes than `limit`.
pub(super) fn content_of(file: File, path: &Path, limit: u64) -> StoreResult<Bytes> {
    let unread = |error| at("read", path, error);
    let bytes = file.metadata().map_err(unread)?.len();
    let mut content = Vec::new();
    if bytes <= limit {
        // It may grow meanwhile.
        let mut file = file.take(limit + 1);
        file.read_to_end(&mut content).map_err(unread)?;
    }
    let bytes = bytes.max(content.len() as u64);
    if bytes > limit {
        return Err(too_many_bytes(path.display().to_string(), bytes, limit));
    }
    Ok(content.into())
}

pub(super) fn sync_folder(path: &Path) -> StoreResult<()> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    match synced {
        // A folder that a removal emptied and took away has nothing left to make durable.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|error| at("sync folder", path, error)),
    }
}

pub(super) fn parent_of(path: &Path) -> StoreResult<&Path> {
    path.parent().ok_or_else(|| {
        at(
            "find the folder of",
            path,
            io::ErrorKind::InvalidInput.into(),
        )
    })
}

/// What is known of a file before it is compared with what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// This process wrote it and synced it, and nobody changed it since: its size says whether it is whole.
    Durable,
    /// It was durable before it was named in a commit: its bytes are compared.
    Synced,
    /// Nothing: it is synced, and its bytes are compared.
    Nothing,
}

/// Compares a file, opened at `path` if it is there, with what was written, as far as `known` leaves it open.
pub(super) fn verify(
    file: Option<File>,
    path: &Path,
    expected: &Expected,
    known: Known,
) -> StoreResult<()> {
    let damaged = |reason: String| StoreError::Damaged {
        path: path.display().to_string(),
        reason,
    };
    let Some(mut file) = file else {
        return Err(damaged("it is gone".to_owned()));
    };
    if known == Known::Nothing {
        file.sync_all().map_err(|error| at("sync", path, error))?;
    }
    let bytes = file
        .metadata()
        .map_err(|error| at("look at", path, error))?
        .len();
    if bytes != expected.bytes {
        return Err(damaged(format!(
            "it has {bytes} bytes, {} were written",
            expected.bytes
        )));
    }
    if known == Known::Durable {
        return Ok(());
    }
    let mut hash = Sha256::new();
    let mut buffer = vec![0; READ_BYTES.min(usize::try_from(bytes).unwrap_or(READ_BYTES).max(1))];
    loop {
        match file
            .read(&mut buffer)
            .map_err(|error| at("read", path, error))?
        {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    let found = hex::encode(hash.finalize());
    if found != expected.sha256 {
        return Err(damaged(format!(
            "its sha-256 is {found}, {} was written",
            expected.sha256
        )));
    }
    Ok(())
}

/// Applies `work` to every item on a few threads; the first error is the result.
pub(super) fn for_each<T: Sync>(
    items: &[T],
    work: impl Fn(&T) -> StoreResult<()> + Sync,
) -> StoreResult<()> {
    let next = AtomicUsize::new(0);
    let run = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(item)?;
        }
        Ok(())
    };
    if items.len() < 2 {
        return run();
    }
    thread::scope(|scope| {
        let threads: Vec<_> = (0..SYNC_THREADS.min(items.len()))
            .map(|_| scope.spawn(run))
            .collect();
        let mut result = Ok(());
        for thread in threads {
            let ended = thread.join().unwrap_or(Err(StoreError::Interrupted {
                action: "sync files",
            }));
            result = result.and(ended);
        }
        result
    })
}

pub(super) fn url_of(path: &Path, folder: bool) -> StoreResult<Url> {
    let url = if folder {
        Url::from_directory_path(path)
    } else {
        Url::from_file_path(path)
    };
    url.map_err(|()| at("make a URL of", path, io::ErrorKind::InvalidInput.into()))
}

/// A writer in another process notices within this time that its run is over.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause before a folder is removed again.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Removes a folder with all that is in it; one that is not there is no error. A writer of a run that died may put files
/// into it meanwhile, until it notices that what it looks for is gone.
pub(super) fn remove_folder(folder: &Folder, name: &str) -> StoreResult<()> {
    let deadline = Instant::now() + SHUTDOWN_TIMEOUT;
    loop {
        match folder.remove_tree(name) {
            Err(StoreError::Io { source, .. })
                if source.kind() == io::ErrorKind::DirectoryNotEmpty
                    && Instant::now() < deadline =>
            {
                // On the blocking pool.
                thread::park_timeout(POLL_INTERVAL);
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_somebody_writes_into_goes_once_he_stops() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("rows");
        fs::create_dir(&folder).unwrap();
        let begun = Instant::now();
        let written = thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut written = 0;
                while begun.elapsed() < 3 * POLL_INTERVAL
                    && File::create(folder.join(written.to_string())).is_ok()
                {
                    written += 1;
                }
                written
            });
            while fs::read_dir(&folder).unwrap().next().is_none() {
                thread::yield_now();
            }
            let above = Folder::open(home.path()).unwrap().unwrap();
            remove_folder(&above, "rows").unwrap();
            writer.join().unwrap()
        });
        assert!(written > 0);
        assert!(!folder.exists());
    }
}
