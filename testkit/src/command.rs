//! Running a binary of the product to its end, in a folder and an environment of its own.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::process::{Child, Outcome};

/// A folder of its own in which a binary is run, with nothing of this machine's settings in its environment.
#[derive(Debug)]
pub struct Workspace {
    folder: tempfile::TempDir,
    binary: PathBuf,
    variables: BTreeMap<String, String>,
}

impl Workspace {
    /// A fresh folder for the binary at `binary` (`env!("CARGO_BIN_EXE_…")`).
    ///
    /// # Errors
    /// When no temporary folder can be made.
    pub fn new(binary: impl Into<PathBuf>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        Ok(Self {
            folder,
            binary: binary.into(),
            variables: BTreeMap::new(),
        })
    }

    /// The same on a filesystem in memory, where this machine has one: for tests that are about what is done to files, and
    /// not about how long a disk takes.
    ///
    /// # Errors
    /// When no temporary folder can be made.
    pub fn in_memory(binary: impl Into<PathBuf>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Ok(Self {
            folder: folder.context("cannot make a temporary folder")?,
            binary: binary.into(),
            variables: BTreeMap::new(),
        })
    }

    /// The folder, which is the command's working directory.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Sets a variable for every later command.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.insert(String::from(name), value.into());
        self
    }

    /// Sets a variable for every later command; the same as [`Workspace::with`] once the workspace is in use.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.variables.insert(String::from(name), value.into());
    }

    /// Writes a file into the folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.path().join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Runs the binary to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> anyhow::Result<Outcome> {
        self.run_with(&[], arguments)
    }

    /// Runs the binary to its end, with variables for this time only.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run_with<S: AsRef<OsStr>>(
        &self,
        variables: &[(String, String)],
        arguments: impl IntoIterator<Item = S>,
    ) -> anyhow::Result<Outcome> {
        let output = self
            .command(arguments)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .output()
            .context("cannot start the binary")?;
        Ok(Outcome {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Starts the binary and leaves it running.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> anyhow::Result<Child> {
        Child::start(self.command(arguments))
    }

    fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("NO_COLOR", "1")
            .envs(&self.variables)
            .stdin(Stdio::null());
        command
    }
}
