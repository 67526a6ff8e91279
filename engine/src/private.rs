//! Folders and files that other users of this machine shall not read: what runs extracted, records of runs, rows that were
//! shuffled or spilled, keys.
//!
//! Owns how they are made and whose folders are trusted. A folder that is there already keeps its permissions, because it may
//! be more than ours; what is made in it is private.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use uuid::Uuid;

const FOLDER: u32 = 0o700;
const FILE: u32 = 0o600;
/// Held by the process whose folder it is.
const LOCK: &str = "lock";

/// Makes a folder for this user alone, with those above it. One that is there must be this user's or root's.
///
/// # Errors
/// When it cannot be made, or is another user's.
pub fn make_folder(path: &Path) -> io::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(FOLDER).create(path);
    made?;
    trust(path)
}

/// Makes a file for this user alone, or empties the one that is there.
///
/// # Errors
/// The system's.
pub fn create_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    open(options, path)
}

/// Opens a file for appending to it, and makes it for this user alone.
///
/// # Errors
/// The system's.
pub fn append_to(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    open(options, path)
}

/// Makes a file for this user alone, or the one that is there this user's alone. That one is not opened: closing it would give
/// back the locks that other users of the file in this process hold (fcntl(2)).
///
/// # Errors
/// The system's.
pub fn keep_file(path: &Path) -> io::Result<()> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE)
        .open(path);
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = fs::metadata(path)?;
            if found.is_file() && found.mode() & 0o777 != FILE && found.uid() == own_user() {
                fs::set_permissions(path, fs::Permissions::from_mode(FILE))?;
            }
            Ok(())
        }
        made => made.map(drop),
    }
}

fn open(mut options: OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.mode(FILE).open(path)?;
    let found = file.metadata()?;
    if found.is_file() && found.mode() & 0o777 != FILE && found.uid() == own_user() {
        file.set_permissions(fs::Permissions::from_mode(FILE))?;
    }
    Ok(file)
}

/// Refuses a folder of another user, who could take away or replace what is in it.
fn trust(path: &Path) -> io::Result<()> {
    let link = fs::symlink_metadata(path)?;
    let folder = fs::metadata(path)?;
    for (found, what) in [(&link, "it"), (&folder, "what it leads to")] {
        let (owner, own) = (found.uid(), own_user());
        if owner != own && owner != 0 {
            let reason = format!(
                "{what} belongs to user {owner}, this process to user {own}; name another folder, or give this one to user \
                 {own}"
            );
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
        }
    }
    Ok(())
}

fn own_user() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// A folder of this process alone, with a name that nobody can know before, removed when it is dropped.
#[derive(Debug)]
pub struct WorkFolder {
    path: PathBuf,
    _lock: File,
}

impl WorkFolder {
    /// Makes one in `parent` whose name begins with `prefix`, and removes those there whose process is gone.
    ///
    /// # Errors
    /// When `parent` cannot be made or is not to be trusted, or the system refuses.
    pub fn make(parent: &Path, prefix: &str) -> io::Result<Self> {
        make_folder(parent)?;
        remove_left_over(parent, prefix)?;
        let path = parent.join(format!("{prefix}{}", Uuid::new_v4().simple()));
        DirBuilder::new().mode(FOLDER).create(&path)?;
        let lock = create_file(&path.join(LOCK))?;
        lock.lock()?;
        Ok(Self { path, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the work folder remains");
        }
    }
}

/// Removes folders of processes that were killed. One without a lock was only just made, or is nearly gone: it is left to the
/// next time.
fn remove_left_over(parent: &Path, prefix: &str) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        let id = entry.file_name();
        let id = id.to_str().and_then(|name| name.strip_prefix(prefix));
        if id.is_none_or(|id| Uuid::try_parse(id).is_err()) {
            continue;
        }
        // Another user's folder of such a name is theirs. A link is not followed.
        let Ok(found) = entry.metadata() else {
            continue;
        };
        if !found.is_dir() || found.uid() != own_user() {
            continue;
        }
        let Ok(lock) = File::open(entry.path().join(LOCK)) else {
            continue;
        };
        match lock.try_lock() {
            Ok(()) => {
                if let Err(error) = fs::remove_dir_all(entry.path()) {
                    tracing::warn!(path = %entry.path().display(), %error, "a folder of an ended process remains");
                }
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn what_is_made_is_this_users_alone_and_what_is_there_keeps_its_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("there");
        fs::create_dir(&there).unwrap();
        fs::set_permissions(&there, fs::Permissions::from_mode(0o755)).unwrap();
        make_folder(&there.join("a/b")).unwrap();
        assert_eq!(mode(&there), 0o755);
        assert_eq!(mode(&there.join("a")), 0o700);
        assert_eq!(mode(&there.join("a/b")), 0o700);
        let file = there.join("file");
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        keep_file(&file).unwrap();
        assert_eq!(
            (mode(&file), fs::read(&file).unwrap()),
            (0o600, b"old".to_vec())
        );
        drop(create_file(&there.join("new")).unwrap());
        assert_eq!(mode(&there.join("new")), 0o600);
    }

    #[test]
    fn a_folder_and_a_link_of_another_user_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (theirs, link) = (folder.path().join("theirs"), folder.path().join("link"));
        fs::create_dir(&theirs).unwrap();
        symlink(&theirs, &link).unwrap();
        make_folder(&link).unwrap();
        let nobody = Some(65_534);
        if std::os::unix::fs::lchown(&link, nobody, None).is_err() {
            eprintln!("SKIPPED: only root can give files away");
            return;
        }
        let error = make_folder(&link).unwrap_err();
        assert!(
            error.to_string().contains("belongs to user 65534"),
            "{error}"
        );
        std::os::unix::fs::chown(&theirs, nobody, None).unwrap();
        let error = WorkFolder::make(&theirs, "x-").unwrap_err();
        assert!(
            error.to_string().contains("belongs to user 65534"),
            "{error}"
        );
    }

    #[test]
    fn a_work_folder_goes_with_its_process_or_with_the_next_one() {
        let parent = tempfile::tempdir().unwrap();
        let names = || fs::read_dir(parent.path()).unwrap().count();
        let first = WorkFolder::make(parent.path(), "executor-").unwrap();
        let second = WorkFolder::make(parent.path(), "executor-").unwrap();
        assert_eq!((names(), mode(first.path())), (2, 0o700));
        drop(first);
        assert_eq!(names(), 1);
        // As a killed process leaves it.
        let dead = parent
            .path()
            .join(format!("executor-{}", Uuid::new_v4().simple()));
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        fs::write(dead.join("rows"), "rows").unwrap();
        let foreign = parent.path().join("executor-mine");
        fs::create_dir(&foreign).unwrap();
        let third = WorkFolder::make(parent.path(), "executor-").unwrap();
        assert!(!dead.exists());
        assert!(foreign.is_dir() && second.path().is_dir() && third.path().is_dir());
    }
}
