//! A folder that is open, and the file operations below it. Owns that no step leaves it: every name is one segment, and is
//! looked up in the open folder above it without following a symbolic link, so that nothing which is put in the way,
//! before or meanwhile, leads a write, a rename or a removal elsewhere. Knows no tables.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{Mode, SFlag, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

use crate::store::{StoreError, StoreResult};

/// What the process's umask leaves of these is what new files and folders get.
const FILE_MODE: Mode = Mode::from_bits_truncate(0o666);
const FOLDER_MODE: Mode = Mode::from_bits_truncate(0o777);
const PRIVATE_MODE: Mode = Mode::from_bits_truncate(0o700);
/// A tree that goes deeper was not made by this program.
const MAX_DEPTH: usize = 64;

/// The error of an operation at a path.
pub(super) fn at(action: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::from_io(action, path.display(), source)
}

/// An open folder. Its path is for messages.
#[derive(Debug)]
pub(super) struct Folder {
    opened: File,
    path: PathBuf,
}

/// What a name in a folder is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    /// A file, a link, or anything else, with its size.
    File(u64),
}

impl Folder {
    /// Opens a folder that the user named: links in its path are the user's. `None` if there is none.
    pub(super) fn open(path: &Path) -> StoreResult<Option<Self>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        match open(path, flags, Mode::empty()) {
            Ok(opened) => Ok(Some(Self {
                opened: opened.into(),
                path: path.to_owned(),
            })),
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(at("open folder", path, error.into())),
        }
    }

    /// The folder at a relative key, itself for `""`; `None` if there is none.
    pub(super) fn below(&self, key: &str) -> StoreResult<Option<Self>> {
        let mut folder = self.again()?;
        for name in names_of(key) {
            match folder.child(name)? {
                Some(child) => folder = child,
                None => return Ok(None),
            }
        }
        Ok(Some(folder))
    }

    /// As [`Folder::below`], making what is not there.
    pub(super) fn make_below(&self, key: &str) -> StoreResult<Self> {
        let mut folder = self.again()?;
        for name in names_of(key) {
            folder = folder.make_child(name, FOLDER_MODE)?;
        }
        Ok(folder)
    }

    /// Makes a folder into which only its user may look: rows that are not published yet are nobody else's business. The
    /// files in it are as the umask says, because they are published by renaming. A folder that is there keeps its
    /// permissions: users who share a table have given it theirs.
    pub(super) fn make_private(&self, name: &str) -> StoreResult<Self> {
        self.make_child(name, PRIVATE_MODE)
    }

    fn again(&self) -> StoreResult<Self> {
        let opened = self.opened.try_clone();
        Ok(Self {
            opened: opened.map_err(|error| at("open", &self.path, error))?,
            path: self.path.clone(),
        })
    }

    fn make_child(&self, name: &str, mode: Mode) -> StoreResult<Self> {
        loop {
            if let Some(child) = self.child(name)? {
                return Ok(child);
            }
            match mkdirat(&self.opened, self.named(name)?, mode) {
                // Another writer of this run may have been first; or one that ended took it away since.
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(self.fault("create folder", name, error)),
            }
        }
    }

    fn child(&self, name: &str) -> StoreResult<Option<Self>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(&self.opened, self.named(name)?, flags, Mode::empty()) {
            Ok(opened) => Ok(Some(Self {
                opened: opened.into(),
                path: self.path.join(name),
            })),
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(self.fault("open folder", name, error)),
        }
    }

    /// Opens a file to read it; `None` if there is none.
    pub(super) fn file(&self, name: &str) -> StoreResult<Option<File>> {
        // A pipe would wait for its other end.
        match self.open_file(name, OFlag::O_RDONLY | OFlag::O_NONBLOCK) {
            Ok(file) => Ok(Some(file)),
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes a file to write it. There must be none.
    pub(super) fn create(&self, name: &str) -> StoreResult<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
        self.open_file(name, flags)
    }

    /// Opens a file to lock it, making it if need be.
    pub(super) fn lock_file(&self, name: &str) -> StoreResult<File> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NONBLOCK;
        self.open_file(name, flags)
    }

    fn open_file(&self, name: &str, flags: OFlag) -> StoreResult<File> {
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let action = if flags.contains(OFlag::O_CREAT) {
            "create"
        } else {
            "open"
        };
        let file = match openat(&self.opened, self.named(name)?, flags, FILE_MODE) {
            Ok(opened) => File::from(opened),
            Err(error) => return Err(self.fault(action, name, error)),
        };
        let metadata = file.metadata();
        let metadata = metadata.map_err(|error| at("look at", &self.path_of(name), error))?;
        if !metadata.is_file() {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
            return Err(at(action, &self.path_of(name), source));
        }
        Ok(file)
    }

    /// Gives a file another name, in one step, replacing a file of that name. `false` if there is no such file.
    pub(super) fn rename(&self, name: &str, to: &Self, to_name: &str) -> StoreResult<bool> {
        let (from, target) = (self.named(name)?, to.named(to_name)?);
        match renameat(&self.opened, from, &to.opened, target) {
            Ok(()) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(error) => Err(to.fault("put in place", to_name, error)),
        }
    }

    /// Gives a file a second name; `false` if that is taken.
    pub(super) fn link(&self, name: &str, to: &Self, to_name: &str) -> StoreResult<bool> {
        let (from, target) = (self.named(name)?, to.named(to_name)?);
        match linkat(&self.opened, from, &to.opened, target, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::EEXIST) => Ok(false),
            Err(error) => Err(to.fault("write", to_name, error)),
        }
    }

    /// Removes a file, or a link itself; one that is not there is no error.
    pub(super) fn remove_file(&self, name: &str) -> StoreResult<()> {
        match unlinkat(&self.opened, self.named(name)?, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(self.fault("delete", name, error)),
        }
    }

    /// Removes an empty folder; `false` if it is not there, is not empty, or is none.
    pub(super) fn remove_empty(&self, name: &str) -> StoreResult<bool> {
        let removed = unlinkat(&self.opened, self.named(name)?, UnlinkatFlags::RemoveDir);
        Ok(removed.is_ok())
    }

    /// Removes a folder with all that is in it, as far as it is there. Links go as links.
    pub(super) fn remove_tree(&self, name: &str) -> StoreResult<()> {
        self.named(name)?;
        self.remove_any(&OsString::from(name), MAX_DEPTH)
    }

    fn remove_any(&self, name: &OsString, depth: usize) -> StoreResult<()> {
        let shown = name.to_string_lossy();
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let folder = match openat(&self.opened, name.as_os_str(), flags, Mode::empty()) {
            Ok(opened) => Self {
                opened: opened.into(),
                path: self.path.join(name),
            },
            Err(Errno::ENOENT) => return Ok(()),
            Err(Errno::ENOTDIR | Errno::ELOOP) => {
                return match unlinkat(&self.opened, name.as_os_str(), UnlinkatFlags::NoRemoveDir) {
                    Ok(()) | Err(Errno::ENOENT) => Ok(()),
                    Err(error) => Err(self.fault("delete", &shown, error)),
                };
            }
            Err(error) => return Err(self.fault("delete", &shown, error)),
        };
        let Some(depth) = depth.checked_sub(1) else {
            return Err(self.fault("delete", &shown, Errno::ENAMETOOLONG));
        };
        for inner in folder.raw_names()? {
            folder.remove_any(&inner, depth)?;
        }
        match unlinkat(&self.opened, name.as_os_str(), UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(self.fault("delete", &shown, error)),
        }
    }

    /// The names in the folder, in order.
    pub(super) fn names(&self) -> StoreResult<Vec<String>> {
        let names = self.raw_names()?;
        let mut names: Vec<String> = names
            .into_iter()
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    fn raw_names(&self) -> StoreResult<Vec<OsString>> {
        let failed = |error: Errno| at("list", &self.path, error.into());
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        // Opened anew, because reading moves the place of a folder.
        let mut listed = Dir::openat(&self.opened, ".", flags, Mode::empty()).map_err(failed)?;
        let mut names = Vec::new();
        for entry in listed.iter() {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                names.push(OsString::from_vec(name.to_vec()));
            }
        }
        Ok(names)
    }

    /// What a name is of; `None` if it is not there.
    pub(super) fn kind(&self, name: &str) -> StoreResult<Option<Kind>> {
        match fstatat(&self.opened, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(found) if is(found.st_mode, SFlag::S_IFDIR) => Ok(Some(Kind::Folder)),
            Ok(found) => Ok(Some(Kind::File(u64::try_from(found.st_size).unwrap_or(0)))),
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(self.fault("look at", name, error)),
        }
    }

    /// Makes names that came, went and changed in it durable.
    pub(super) fn sync(&self) -> StoreResult<()> {
        self.opened
            .sync_all()
            .map_err(|error| at("sync folder", &self.path, error))
    }

    pub(super) fn metadata(&self) -> StoreResult<fs::Metadata> {
        let metadata = self.opened.metadata();
        metadata.map_err(|error| at("look at", &self.path, error))
    }

    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A name, if it is one segment that leads nowhere else.
    fn named<'a>(&self, name: &'a str) -> StoreResult<&'a str> {
        if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
            return Err(StoreError::Unusable {
                location: self.path.display().to_string(),
                reason: format!("{name:?} is not the name of a file in it"),
            });
        }
        Ok(name)
    }

    /// Says of a link that it is one: the system's own words are of too many levels of links.
    fn fault(&self, action: &'static str, name: &str, error: Errno) -> StoreError {
        let path = self.path.join(name);
        let is_link = || {
            fstatat(self.opened.as_fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW)
                .is_ok_and(|found| is(found.st_mode, SFlag::S_IFLNK))
        };
        if matches!(error, Errno::ELOOP | Errno::ENOTDIR) && is_link() {
            return StoreError::Link {
                path: path.display().to_string(),
            };
        }
        at(action, &path, error.into())
    }
}

fn is(mode: u32, kind: SFlag) -> bool {
    SFlag::from_bits_truncate(mode) & SFlag::S_IFMT == kind
}

fn names_of(key: &str) -> impl Iterator<Item = &str> {
    key.split('/').filter(move |_| !key.is_empty())
}

/// The folder and the name of a key.
pub(super) fn split(key: &str) -> (&str, &str) {
    key.rsplit_once('/').unwrap_or(("", key))
}
