//! The Launchpad fake as a process of its own, so that its memory and its time are not the run's.

use std::path::Path;

use testkit::{Child, Workspace};

/// The member whose bugs the fake generates.
pub(crate) const MEMBER: &str = "ada-example";

/// A fake that serves until it is dropped.
#[derive(Debug)]
pub(crate) struct Service {
    root: String,
    _process: Child,
    _folder: Workspace,
}

impl Service {
    /// Starts one with `bugs` bugs and further arguments.
    pub(crate) fn start(binary: &Path, bugs: u32, further: &[&str]) -> anyhow::Result<Self> {
        let folder = Workspace::new(binary)?;
        let bugs = bugs.to_string();
        let mut process =
            folder.start(["launchpad-standin", "--bugs", &bugs].iter().chain(further))?;
        let root = process.first_line()?;
        Ok(Self {
            root,
            _process: process,
            _folder: folder,
        })
    }

    /// Its address.
    pub(crate) fn root(&self) -> &str {
        &self.root
    }
}
