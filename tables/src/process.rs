//! Processes of this machine, through Linux's `/proc`: how one is told from every other that has or had its number, and
//! whether it still lives. What follows from that is decided by who asks.

use std::io;
use std::path::{Path, PathBuf};

/// What is known of a process could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The process file system is missing or closed to us.
    #[error(
        "cannot read {path}, which tells this process from others; runs need Linux with /proc mounted"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file does not have the form that Linux documents in proc(5).
    #[error("cannot understand {path}: it does not have the fields described in proc(5)")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

/// The processes that this one can see.
#[derive(Debug, Clone)]
pub struct ProcessTable {
    proc: PathBuf,
    host: String,
    boot: Option<String>,
    pid_space: Option<String>,
}

impl ProcessTable {
    /// Looks at this machine.
    ///
    /// # Errors
    /// [`ProcessError::Unreadable`] where there is no `/proc`.
    pub fn of_this_machine() -> Result<Self, ProcessError> {
        Self::under(Path::new("/proc"))
    }

    fn under(proc: &Path) -> Result<Self, ProcessError> {
        let line = |path: &str| Ok(read(&proc.join(path))?.trim().to_owned());
        let pid_space = std::fs::read_link(proc.join("self/ns/pid"));
        Ok(Self {
            proc: proc.to_owned(),
            host: line("sys/kernel/hostname")?,
            boot: line("sys/kernel/random/boot_id").ok(),
            pid_space: pid_space.ok().map(|link| link.display().to_string()),
        })
    }

    /// The machine's name, for people.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The running boot of the machine. Some sandboxes do not tell.
    pub fn boot(&self) -> Option<&str> {
        self.boot.as_deref()
    }

    /// The space of process numbers: containers of one machine number their processes apart. Some sandboxes do not tell.
    pub fn pid_space(&self) -> Option<&str> {
        self.pid_space.as_deref()
    }

    /// This process: its number, and when it began.
    ///
    /// # Errors
    /// [`ProcessError`] when `/proc` cannot be read or understood.
    pub fn current(&self) -> Result<(u32, u64), ProcessError> {
        let path = self.proc.join("self/stat");
        let stat = Stat::parse(&read(&path)?).ok_or(ProcessError::Malformed { path })?;
        Ok((stat.pid, stat.began))
    }

    /// When the process with this number began, in the kernel's ticks since the boot: numbers are given again. `None` when it
    /// has ended, also if its parent did not take notice yet.
    ///
    /// # Errors
    /// [`ProcessError`] where that cannot be told from here.
    pub fn began(&self, pid: u32) -> Result<Option<u64>, ProcessError> {
        let path = self.proc.join(pid.to_string()).join("stat");
        match read(&path) {
            Ok(stat) => {
                let stat = Stat::parse(&stat).ok_or(ProcessError::Malformed { path })?;
                Ok((!stat.ended).then_some(stat.began))
            }
            // Where /proc is mounted with `hidepid`, other users' processes look as if they were not there; process 1, which
            // always is, then is not seen either.
            Err(hidden) if !self.proc.join("1").exists() => Err(hidden),
            Err(ProcessError::Unreadable { source, path })
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Err(ProcessError::Unreadable { path, source })
            }
            Err(_) => Ok(None),
        }
    }
}

fn read(path: &Path) -> Result<String, ProcessError> {
    // A process may give itself a name that is not UTF-8; the fields behind it are digits.
    std::fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .map_err(|source| ProcessError::Unreadable {
            path: path.to_owned(),
            source,
        })
}

/// What `/proc/<pid>/stat` says that matters here.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    pid: u32,
    /// It ended and only waits for its parent to take notice.
    ended: bool,
    /// Clock ticks between the machine's boot and the start of the process.
    began: u64,
}

impl Stat {
    /// The name in parentheses may itself hold spaces and parentheses, so fields count from the last one.
    fn parse(stat: &str) -> Option<Self> {
        let (pid, _) = stat.split_once(' ')?;
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split_ascii_whitespace();
        let state = fields.next()?;
        Some(Self {
            pid: pid.parse().ok()?,
            ended: matches!(state, "Z" | "X" | "x"),
            // The state is the third field and the start time the twenty-second.
            began: fields.nth(18)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a (b) c) d) S 1 42 42 0 -1 4194304 121 0 0 0 0 0 0 0 20 0 1 0 148163 3133440 418\n";
        assert_eq!(
            Stat::parse(stat),
            Some(Stat {
                pid: 42,
                ended: false,
                began: 148_163
            })
        );
        assert_eq!(Stat::parse("42 (short) S 1"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn a_machine_without_proc_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let error = ProcessTable::under(folder.path()).unwrap_err().to_string();
        assert!(
            error.ends_with("runs need Linux with /proc mounted"),
            "{error}"
        );
    }

    #[test]
    fn nothing_is_known_of_a_process_that_is_hidden() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("sys/kernel")).unwrap();
        std::fs::write(folder.path().join("sys/kernel/hostname"), "here\n").unwrap();
        let processes = ProcessTable::under(folder.path()).unwrap();
        assert!(processes.began(2).is_err());
        std::fs::create_dir(folder.path().join("1")).unwrap();
        assert_eq!(processes.began(2).unwrap(), None, "it has ended");
    }
}
