//! A table that is made once and copied for each point of a fault matrix: a copy of its files is what the same commits
//! would make again, in a hundredth of the time.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::TestResult;

/// Where Linux keeps a filesystem in memory.
const MEMORY: &str = "/dev/shm";
const NAME: &str = "t";

/// A folder with the prepared table and its copies; removed when dropped.
pub(crate) struct Prepared(TempDir);

impl Prepared {
    /// In memory, where this machine allows it: what a matrix asks is what was called and what was not, and the waits
    /// for a disk would be most of its time.
    pub(crate) fn in_memory() -> TestResult<Self> {
        Ok(Self(TempDir::new_in(MEMORY).or_else(|_| TempDir::new())?))
    }

    /// On the filesystem of temporary files.
    pub(crate) fn on_disk() -> TestResult<Self> {
        Ok(Self(TempDir::new()?))
    }

    /// A prepared table that is a copy of another one, to be prepared further.
    pub(crate) fn copied_from(other: &Self) -> TestResult<Self> {
        let copy = Self::in_memory()?;
        copy_folder(&other.place("prepared"), &copy.place("prepared"))?;
        Ok(copy)
    }

    /// The table to prepare.
    pub(crate) fn table(&self) -> PathBuf {
        self.place("prepared").join(NAME)
    }

    fn place(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A copy of the table as it is now, with its control folder. Replaces the copy of that name.
    pub(crate) fn copy(&self, name: &str) -> TestResult<PathBuf> {
        let place = self.place(name);
        self.drop_copy(name)?;
        copy_folder(&self.place("prepared"), &place)?;
        Ok(place.join(NAME))
    }

    fn drop_copy(&self, name: &str) -> TestResult {
        match fs::remove_dir_all(self.place(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

fn copy_folder(from: &Path, to: &Path) -> TestResult {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &copy)?;
        } else {
            fs::copy(entry.path(), copy)?;
        }
    }
    Ok(())
}
