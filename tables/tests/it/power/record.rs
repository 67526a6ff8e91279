//! The record of what a process did to files: makes the library that writes it (`record.c`), and reads it back.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::TestResult;

/// One step. Files are named by inode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Create {
        inode: u64,
        path: String,
    },
    Write {
        inode: u64,
        offset: u64,
        bytes: Vec<u8>,
    },
    Truncate {
        inode: u64,
        length: u64,
    },
    /// Of a file or a folder.
    Sync {
        inode: u64,
    },
    MakeFolder {
        inode: u64,
        path: String,
    },
    Rename {
        from: String,
        to: String,
    },
    Link {
        from: String,
        to: String,
    },
    Unlink {
        path: String,
    },
    RemoveFolder {
        path: String,
    },
}

/// Compiles the library into `folder`.
pub(crate) fn library(folder: &Path) -> TestResult<PathBuf> {
    let source = folder.join("record.c");
    let library = folder.join("record.so");
    std::fs::write(&source, include_str!("record.c"))?;
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(&source)
        .arg("-ldl")
        .output()?;
    if !made.status.success() {
        return Err(String::from_utf8_lossy(&made.stderr).into());
    }
    Ok(library)
}

/// The variables that make a process record what it does below `root`.
pub(crate) fn recorded(library: &Path, root: &Path, log: &Path) -> Vec<(String, String)> {
    let text = |path: &Path| path.display().to_string();
    vec![
        ("LD_PRELOAD".to_owned(), text(library)),
        ("RECORD_ROOT".to_owned(), text(root)),
        ("RECORD_LOG".to_owned(), text(log)),
    ]
}

/// The steps of a record, with paths below `root`.
pub(crate) fn read(log: &Path, root: &Path) -> TestResult<Vec<Step>> {
    let content = std::fs::read(log)?;
    let mut reader = Reader {
        rest: &content,
        root: format!("{}/", root.display()),
    };
    let mut steps = Vec::new();
    while let Some((what, rest)) = reader.rest.split_first() {
        reader.rest = rest;
        steps.push(match what {
            b'c' => Step::Create {
                inode: reader.number()?,
                path: reader.path()?,
            },
            b'w' => Step::Write {
                inode: reader.number()?,
                offset: reader.number()?,
                bytes: reader.bytes()?.to_vec(),
            },
            b't' => Step::Truncate {
                inode: reader.number()?,
                length: reader.number()?,
            },
            b's' => Step::Sync {
                inode: reader.number()?,
            },
            b'd' => Step::MakeFolder {
                inode: reader.number()?,
                path: reader.path()?,
            },
            b'r' => Step::Rename {
                from: reader.path()?,
                to: reader.path()?,
            },
            b'l' => Step::Link {
                from: reader.path()?,
                to: reader.path()?,
            },
            b'u' => Step::Unlink {
                path: reader.path()?,
            },
            b'x' => Step::RemoveFolder {
                path: reader.path()?,
            },
            other => return Err(format!("a step that the trial does not know: {other}").into()),
        });
    }
    Ok(steps)
}

struct Reader<'a> {
    rest: &'a [u8],
    root: String,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> TestResult<&'a [u8]> {
        let (taken, rest) = (self.rest.split_at_checked(length)).ok_or("the record ends early")?;
        self.rest = rest;
        Ok(taken)
    }

    fn number(&mut self) -> TestResult<u64> {
        Ok(u64::from_ne_bytes(self.take(8)?.try_into()?))
    }

    fn bytes(&mut self) -> TestResult<&'a [u8]> {
        let length = usize::try_from(self.number()?)?;
        self.take(length)
    }

    fn path(&mut self) -> TestResult<String> {
        let path = std::str::from_utf8(self.bytes()?)?;
        let below = path.strip_prefix(&self.root);
        Ok(below
            .ok_or("a path outside the recorded folder")?
            .to_owned())
    }
}
