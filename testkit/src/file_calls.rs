//! The calls by which a real process changes files below a folder: counted, and one of them failed, or made the last thing
//! that the process does. Owns the building of `file_calls.c`, which is loaded into that process, and what it reports.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

const SOURCE: &str = include_str!("file_calls.c");
/// `REPORT_BYTES` of the source: eight bytes of the count, then text.
const REPORT_BYTES: usize = 4096;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallFault {
    /// The process is killed (SIGKILL) instead of it.
    Kill,
    /// It does nothing and fails as on a broken disk (`EIO`).
    Eio,
    /// It does nothing and fails as on a full disk (`ENOSPC`).
    Enospc,
}

impl CallFault {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Kill, Self::Eio, Self::Enospc];

    /// As `FILE_CALLS_DO` spells it.
    fn word(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Eio => "5",
            Self::Enospc => "28",
        }
    }
}

/// The library, and the report of the process that it was loaded into last.
#[derive(Debug)]
pub struct FileCalls {
    folder: tempfile::TempDir,
}

impl FileCalls {
    /// Builds the library with the machine's C compiler.
    ///
    /// # Errors
    /// When there is none, or it refuses.
    pub fn build() -> anyhow::Result<Self> {
        let calls = Self {
            folder: tempfile::tempdir()?,
        };
        let source = calls.folder.path().join("file_calls.c");
        std::fs::write(&source, SOURCE)?;
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(calls.library())
            .arg(&source)
            .output()
            .context("cannot run the C compiler `cc`")?;
        ensure!(
            built.status.success(),
            "cc: {}",
            String::from_utf8_lossy(&built.stderr)
        );
        Ok(calls)
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("file_calls.so")
    }

    fn report(&self) -> PathBuf {
        self.folder.path().join("report")
    }

    /// The variables of a process whose calls below these folders are counted anew, and one of which is hit.
    ///
    /// # Errors
    /// When the report cannot be written.
    pub fn watch(
        &self,
        under: &[&Path],
        fault: Option<(CallFault, u64)>,
    ) -> anyhow::Result<Vec<(String, String)>> {
        std::fs::write(self.report(), vec![0; REPORT_BYTES])?;
        let folders: Vec<String> = under
            .iter()
            .map(|folder| folder.display().to_string())
            .collect();
        let mut variables = vec![
            ("LD_PRELOAD", self.library().display().to_string()),
            ("FILE_CALLS_UNDER", folders.join(":")),
            ("FILE_CALLS_REPORT", self.report().display().to_string()),
        ];
        if let Some((fault, at)) = fault {
            variables.push(("FILE_CALLS_AT", at.to_string()));
            variables.push(("FILE_CALLS_DO", fault.word().to_owned()));
        }
        Ok(variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect())
    }

    /// How many calls there were, and which one was hit: its name and its path.
    ///
    /// # Errors
    /// When the report cannot be read.
    pub fn seen(&self) -> anyhow::Result<(u64, Option<String>)> {
        let report = std::fs::read(self.report())?;
        let (count, text) = report.split_first_chunk().context("a short report")?;
        let hit = text.split(|byte| *byte == 0).next().unwrap_or_default();
        let hit = String::from_utf8_lossy(hit).into_owned();
        Ok((u64::from_ne_bytes(*count), (!hit.is_empty()).then_some(hit)))
    }
}
