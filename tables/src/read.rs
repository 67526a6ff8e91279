//! A table for who reads it: which commit is read, and that all of its files are there. Owns which commits can be read; how
//! files are decoded is the reader's.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use url::Url;

use crate::error::{Error, Result};
use crate::log::{self, Commit, DataFile, Newest};
use crate::table::Table;

/// How long a commit that is decided may take to be carried out.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause between two looks at one.
const PAUSE: Duration = Duration::from_millis(100);
/// How often a look that a commit overtook is taken again.
const ATTEMPTS: usize = 3;

impl Table {
    /// The commit that a reader gets: the newest one, or an earlier one as long as no later one took a file of it away.
    /// All of its files are in place, with the sizes that the log says; whatever else is there is none of the table's. Takes
    /// no lease and writes nothing. A commit that is being carried out is waited for, some seconds.
    ///
    /// # Errors
    /// [`Error::NoTable`], [`Error::NoVersion`] and [`Error::VersionGone`]; [`Error::NotInPlace`] for a commit that nobody
    /// carries out, [`Error::FilesLost`] where files are not what the log says; those of [`Table::current`].
    pub async fn readable(&self, version: Option<u64>) -> Result<Commit> {
        let mut attempt = 1;
        loop {
            let newest = self.carried_out().await?;
            let commit = self.version(version, newest).await?;
            let found = self.require_files(&commit).await;
            let overtaken = log::newest(self.store.as_ref()).await? != Some(newest);
            if found.is_ok() || !overtaken || attempt == ATTEMPTS {
                return found.map(|()| commit);
            }
            attempt += 1;
        }
    }

    /// Where a published file is.
    ///
    /// # Errors
    /// [`Error::Store`] for one that cannot be named.
    pub fn url_of(&self, file: &DataFile) -> Result<Url> {
        Ok(self.store.published_url(&file.path)?)
    }

    /// The newest commit, once its files are in place.
    async fn carried_out(&self) -> Result<Newest> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let newest = log::newest(self.store.as_ref()).await?;
            let newest = newest.ok_or_else(|| self.no_table())?;
            if newest.done {
                return Ok(newest);
            }
            if Instant::now() > deadline {
                return Err(Error::NotInPlace {
                    table: self.location().to_owned(),
                    number: newest.number,
                });
            }
            sleep(PAUSE).await;
        }
    }

    /// The state that is asked for, if all of it is in the newest one still.
    async fn version(&self, version: Option<u64>, newest: Newest) -> Result<Commit> {
        let store = self.store.as_ref();
        let current = log::read_state(store, newest.number).await?;
        let current = current.ok_or_else(|| self.no_table())?;
        let Some(number) = version.filter(|number| *number != newest.number) else {
            return Ok(current);
        };
        let state = match number {
            number if (1..newest.number).contains(&number) => {
                log::read_state(store, number).await?
            }
            _ => None,
        };
        let state = state.ok_or_else(|| Error::NoVersion {
            table: self.location().to_owned(),
            version: number,
            newest: newest.number,
        })?;
        let kept: HashSet<(&str, &str)> = current.files.iter().map(identity).collect();
        let mut gone = state
            .files
            .iter()
            .filter(|file| !kept.contains(&identity(file)));
        match gone.next() {
            None => Ok(state),
            Some(first) => Err(Error::VersionGone {
                table: self.location().to_owned(),
                version: number,
                newest: newest.number,
                files: 1 + gone.count() as u64,
                example: first.path.clone(),
            }),
        }
    }

    async fn require_files(&self, commit: &Commit) -> Result<()> {
        if commit.files.is_empty() {
            return Ok(());
        }
        let published = self.store.list_published().await?;
        let there: HashMap<&str, u64> = published
            .iter()
            .map(|file| (file.key.as_str(), file.bytes))
            .collect();
        let is_lost = |file: &&DataFile| there.get(file.path.as_str()) != Some(&file.bytes);
        let mut lost = commit.files.iter().filter(is_lost);
        match lost.next() {
            None => Ok(()),
            Some(first) => Err(Error::FilesLost {
                table: self.location().to_owned(),
                number: commit.number,
                files: 1 + lost.count() as u64,
                example: first.path.clone(),
            }),
        }
    }

    fn no_table(&self) -> Error {
        Error::NoTable {
            table: self.location().to_owned(),
        }
    }
}

/// What a file is known by: another one may have its name.
fn identity(file: &DataFile) -> (&str, &str) {
    (&file.path, &file.sha256)
}
