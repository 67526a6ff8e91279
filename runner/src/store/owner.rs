//! Who works on a run, and whether that process still lives.
//!
//! Owns the description of an owner and the judgement on Linux. Does not own what follows from it: the
//! store asks, through [`OwnerAlive`], and decides within its transaction.

use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// How often an owner says that it is alive: several times within [`LEASE`], so that one late heartbeat
/// does not cost the run.
pub const HEARTBEAT_INTERVAL: std::time::Duration = std::time::Duration::from_secs(10);

/// How long an owner that cannot be looked at directly counts as alive after its last heartbeat.
pub const LEASE: TimeDelta = TimeDelta::seconds(60);

/// The process that works on a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The machine's host name, for people to read.
    pub host: String,
    /// The process id on that machine.
    pub pid: u32,
    /// Tells this process from every other that has or had the same id: see [`Processes::current`].
    pub process: String,
    /// When it last said that it was alive.
    pub heartbeat_at: DateTime<Utc>,
}

/// Judges whether an owner is alive. It is called while the store holds its write lock: it must be quick
/// and must not call the store.
pub type OwnerAlive<'a> = dyn Fn(&Owner) -> bool + Send + Sync + 'a;

/// The facts about this process could not be read.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
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

/// The processes that this one can see, through Linux's `/proc`.
#[derive(Debug, Clone)]
pub struct Processes {
    proc: PathBuf,
    host: String,
    /// The boot and the process-id namespace. Process ids mean the same only where both are equal.
    place: String,
}

impl Processes {
    /// Looks at this machine.
    ///
    /// # Errors
    /// [`OwnerError::Unreadable`] where there is no `/proc`.
    pub fn of_this_machine() -> Result<Self, OwnerError> {
        Self::under(Path::new("/proc"))
    }

    fn under(proc: &Path) -> Result<Self, OwnerError> {
        let host = read(&proc.join("sys/kernel/hostname"))?.trim().to_owned();
        // Some sandboxes have neither of these two. Start times then decide alone, which is right as long
        // as the machine is not restarted.
        let boot = read(&proc.join("sys/kernel/random/boot_id")).unwrap_or_default();
        let namespace = std::fs::read_link(proc.join("self/ns/pid")).unwrap_or_default();
        Ok(Self {
            proc: proc.to_owned(),
            host,
            place: format!("{}/{}", boot.trim(), namespace.display()),
        })
    }

    /// This process as an owner, heard of at `at`. Its `process` is made of the machine's boot, the
    /// process-id namespace and the time at which the process started, so that neither a reused process
    /// id nor one seen from another container is taken for it.
    ///
    /// # Errors
    /// [`OwnerError`] when `/proc` cannot be read or understood.
    pub fn current(&self, at: DateTime<Utc>) -> Result<Owner, OwnerError> {
        let path = self.proc.join("self/stat");
        let stat = read(&path)?;
        let process = ProcessStat::parse(&stat).ok_or(OwnerError::Malformed { path })?;
        Ok(Owner {
            host: self.host.clone(),
            pid: process.pid,
            process: format!("{}/{}", self.place, process.started),
            heartbeat_at: at,
        })
    }

    /// Whether the owner is alive at `now`. Where its process id means here what it meant there, the
    /// process is looked at; otherwise (another machine, another container, before the last restart) it
    /// counts as alive until [`LEASE`] has passed since its last heartbeat.
    #[must_use]
    pub fn is_alive(&self, owner: &Owner, now: DateTime<Utc>) -> bool {
        let in_lease = now - owner.heartbeat_at < LEASE;
        let Some((place, started)) = owner.process.rsplit_once('/') else {
            return in_lease;
        };
        if place != self.place {
            return in_lease;
        }
        let path = self.proc.join(owner.pid.to_string()).join("stat");
        match read(&path) {
            Ok(stat) => ProcessStat::parse(&stat)
                .is_some_and(|process| !process.ended && process.started == started),
            // Where /proc is mounted with `hidepid`, other users' processes look as if they were not
            // there; process 1, which always is, then is not seen either.
            Err(_) if !self.proc.join("1").exists() => in_lease,
            Err(OwnerError::Unreadable { source, .. })
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                in_lease
            }
            Err(_) => false,
        }
    }
}

fn read(path: &Path) -> Result<String, OwnerError> {
    // A process may give itself a name that is not UTF-8; the fields behind it are digits.
    std::fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .map_err(|source| OwnerError::Unreadable {
            path: path.to_owned(),
            source,
        })
}

/// What `/proc/<pid>/stat` says that matters here.
#[derive(Debug, PartialEq, Eq)]
struct ProcessStat<'a> {
    pid: u32,
    /// It ended and only waits for its parent to take notice.
    ended: bool,
    /// Clock ticks between the machine's boot and the start of the process.
    started: &'a str,
}

impl<'a> ProcessStat<'a> {
    /// The name in parentheses may itself hold spaces and parentheses, so fields count from the last one.
    fn parse(stat: &'a str) -> Option<Self> {
        let (pid, _) = stat.split_once(' ')?;
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split_ascii_whitespace();
        let state = fields.next()?;
        // The state is the third field and the start time the twenty-second.
        let started = fields.nth(18)?;
        Some(Self {
            pid: pid.parse().ok()?,
            ended: matches!(state, "Z" | "X" | "x"),
            started,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).unwrap()
    }

    fn sleeping_child() -> Child {
        Command::new("sleep")
            .arg("600")
            .stdin(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn owner_of(processes: &Processes, pid: u32) -> Owner {
        let stat = read(&processes.proc.join(pid.to_string()).join("stat")).unwrap();
        let started = ProcessStat::parse(&stat).unwrap().started.to_owned();
        Owner {
            host: processes.host.clone(),
            pid,
            process: format!("{}/{started}", processes.place),
            heartbeat_at: now(),
        }
    }

    #[test]
    fn this_process_is_alive_however_old_its_heartbeat() {
        let processes = Processes::of_this_machine().unwrap();
        let owner = processes.current(now()).unwrap();
        assert_eq!(owner.pid, std::process::id());
        assert!(processes.is_alive(&owner, now() + TimeDelta::days(30)));
    }

    #[test]
    fn a_process_that_took_over_the_id_is_not_the_owner() {
        let processes = Processes::of_this_machine().unwrap();
        let mut owner = processes.current(now()).unwrap();
        owner.process.push('7');
        assert!(!processes.is_alive(&owner, now()));
    }

    #[test]
    fn a_killed_process_is_dead_before_and_after_its_parent_takes_notice() {
        let processes = Processes::of_this_machine().unwrap();
        let mut child = sleeping_child();
        let owner = owner_of(&processes, child.id());
        assert!(processes.is_alive(&owner, now()));

        child.kill().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while processes.is_alive(&owner, now()) {
            assert!(Instant::now() < deadline, "the killed child stays alive");
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(!processes.is_alive(&owner, now()));
    }

    #[test]
    fn an_owner_elsewhere_lives_as_long_as_its_lease() {
        let processes = Processes::of_this_machine().unwrap();
        let mut owner = processes.current(now()).unwrap();
        owner.process = "another-boot/pid:[1]/100".to_owned();
        assert!(processes.is_alive(&owner, now() + LEASE - TimeDelta::seconds(1)));
        assert!(!processes.is_alive(&owner, now() + LEASE));
    }

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a (b) c) d) S 1 42 42 0 -1 4194304 121 0 0 0 0 0 0 0 20 0 1 0 148163 3133440 418\n";
        assert_eq!(
            ProcessStat::parse(stat),
            Some(ProcessStat {
                pid: 42,
                ended: false,
                started: "148163"
            })
        );
        assert_eq!(ProcessStat::parse("42 (short) S 1"), None);
        assert_eq!(ProcessStat::parse(""), None);
    }

    #[test]
    fn a_machine_without_proc_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let error = Processes::under(folder.path()).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("runs need Linux with /proc mounted"),
            "{error}"
        );
    }
}
