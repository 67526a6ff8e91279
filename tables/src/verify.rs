//! Comparing what is there with what the log says. Owns the comparison; repairs nothing.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::log::{self, DataFile};
use crate::maintenance;
use crate::table::Table;

/// How often a look that a commit overtook is taken again.
const ATTEMPTS: usize = 3;

/// What a verification found. The first three lists are in the order of their paths.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verification {
    /// The commit that was compared with.
    pub commit: u64,
    /// Files in the log.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether the bytes were read and their SHA-256 compared.
    pub digests: bool,
    /// Files of the log that are not there.
    pub missing: Vec<String>,
    /// Files that are there with another size or digest.
    pub different: Vec<DifferentFile>,
    /// Visible files that the log does not name: readers of the folder read their rows too.
    pub foreign: Vec<String>,
    /// A commit that is decided and not carried out to its end: files may be missing or left over because of it.
    pub unfinished: Option<u64>,
}

/// A file that is not what the log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DifferentFile {
    /// Relative to the table.
    pub path: String,
    /// The difference.
    pub reason: String,
}

impl Verification {
    /// Whether the table is exactly what its log says.
    pub fn is_clean(&self) -> bool {
        self.missing.is_empty()
            && self.different.is_empty()
            && self.foreign.is_empty()
            && self.unfinished.is_none()
    }
}

impl Table {
    /// Compares the visible files with the newest commit: that each is there with its size and, if `digests` is set,
    /// with its SHA-256 (which reads every byte), and that there are no others. Takes no lease and writes nothing; when a
    /// commit is made meanwhile, it looks again.
    ///
    /// # Errors
    /// [`crate::Error::NoTable`], those of [`Table::current`], and [`crate::Error::Store`] if the storage cannot be read.
    pub async fn verify(&self, digests: bool) -> Result<Verification> {
        let mut attempt = 1;
        loop {
            let before = log::newest(self.store.as_ref()).await?;
            let found = self.compare(digests).await?;
            let after = log::newest(self.store.as_ref()).await?;
            if before == after || attempt == ATTEMPTS {
                return Ok(Verification {
                    unfinished: after
                        .filter(|newest| !newest.done)
                        .map(|newest| newest.number),
                    ..found
                });
            }
            attempt += 1;
        }
    }

    async fn compare(&self, digests: bool) -> Result<Verification> {
        let commit = maintenance::current(self).await?;
        let mut there: BTreeMap<String, u64> = self
            .store
            .list_published()
            .await?
            .into_iter()
            .map(|file| (file.key, file.bytes))
            .collect();
        let mut found = Verification {
            commit: commit.number,
            files: commit.totals.files,
            bytes: commit.totals.bytes,
            digests,
            ..Verification::default()
        };
        for file in &commit.files {
            match there.remove(&file.path) {
                None => found.missing.push(file.path.clone()),
                Some(bytes) if bytes != file.bytes => found.different.push(DifferentFile {
                    path: file.path.clone(),
                    reason: format!("it has {bytes} bytes, the log says {}", file.bytes),
                }),
                Some(_) if digests => self.compare_digest(file, &mut found).await?,
                Some(_) => {}
            }
        }
        found.foreign = there.into_keys().collect();
        Ok(found)
    }

    async fn compare_digest(&self, file: &DataFile, found: &mut Verification) -> Result<()> {
        match self.store.published_digest(&file.path).await? {
            None => found.missing.push(file.path.clone()),
            Some(digest) if digest != file.sha256 => found.different.push(DifferentFile {
                path: file.path.clone(),
                reason: format!("its sha-256 is {digest}, the log says {}", file.sha256),
            }),
            Some(_) => {}
        }
        Ok(())
    }
}
