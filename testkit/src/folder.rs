//! What a folder holds at a moment: to prove that a table was left alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context;

/// The files below a folder with their contents and times of change, as they were when this was made.
#[derive(Clone, PartialEq, Eq)]
pub struct Folder {
    files: BTreeMap<String, (SystemTime, Vec<u8>)>,
}

impl Folder {
    /// Reads all files below `path`; a folder that does not exist holds none.
    ///
    /// # Errors
    /// When something in it cannot be read.
    pub fn of(path: &Path) -> anyhow::Result<Self> {
        let mut files = BTreeMap::new();
        if path.exists() {
            read(path, "", &mut files)?;
        }
        Ok(Self { files })
    }

    /// The files by their path below the folder, with their contents.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files
            .iter()
            .map(|(path, (_, content))| (path.as_str(), content.as_slice()))
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// What is different in `later`, a line for each file; nothing when not even a time of change is.
    pub fn changes(&self, later: &Self) -> Vec<String> {
        let gone = self
            .files
            .keys()
            .filter(|path| !later.files.contains_key(*path))
            .map(|path| format!("{path} is gone"));
        let other = later
            .files
            .iter()
            .filter_map(|(path, new)| match self.files.get(path) {
                None => Some(format!("{path} is new")),
                Some(old) if old.1 != new.1 => Some(format!("{path} has other contents")),
                Some(old) if old.0 != new.0 => Some(format!("{path} was written again")),
                Some(_) => None,
            });
        gone.chain(other).collect()
    }
}

impl std::fmt::Debug for Folder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Contents would drown the message of a failed assertion.
        f.debug_set().entries(self.files.keys()).finish()
    }
}

fn read(
    folder: &Path,
    below: &str,
    files: &mut BTreeMap<String, (SystemTime, Vec<u8>)>,
) -> anyhow::Result<()> {
    for item in
        std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?
    {
        let item = item?;
        let (path, name) = (
            item.path(),
            format!("{below}{}", item.file_name().to_string_lossy()),
        );
        if item.file_type()?.is_dir() {
            read(&path, &format!("{name}/"), files)?;
        } else {
            let content =
                std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            files.insert(name, (item.metadata()?.modified()?, content));
        }
    }
    Ok(())
}
