//! Who works on a run, and whether that process still lives.
//!
//! Owns the description of an owner, and how long one counts as alive that cannot be looked at. How processes are told
//! apart is `tables`'. Does not own what follows from it: the store asks, through [`OwnerAlive`], and decides within its
//! transaction.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tables::{ProcessError, ProcessTable};

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

/// The processes that this one can see, as owners.
#[derive(Debug, Clone)]
pub struct Processes {
    table: ProcessTable,
    /// The boot and the process-id namespace. Process ids mean the same only where both are equal. Some sandboxes have
    /// neither of these two. Start times then decide alone, which is right as long as the machine is not restarted.
    place: String,
}

impl Processes {
    /// Looks at this machine.
    ///
    /// # Errors
    /// [`ProcessError::Unreadable`] where there is no `/proc`.
    pub fn of_this_machine() -> Result<Self, ProcessError> {
        let table = ProcessTable::of_this_machine()?;
        let boot = table.boot().unwrap_or_default();
        let place = format!("{boot}/{}", table.pid_space().unwrap_or_default());
        Ok(Self { table, place })
    }

    /// This process as an owner, heard of at `at`. Its `process` is made of the machine's boot, the
    /// process-id namespace and the time at which the process started, so that neither a reused process
    /// id nor one seen from another container is taken for it.
    ///
    /// # Errors
    /// [`ProcessError`] when `/proc` cannot be read or understood.
    pub fn current(&self, at: DateTime<Utc>) -> Result<Owner, ProcessError> {
        let (pid, began) = self.table.current()?;
        Ok(Owner {
            host: self.table.host().to_owned(),
            pid,
            process: format!("{}/{began}", self.place),
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
        match self.table.began(owner.pid) {
            Ok(began) => began.is_some_and(|began| began.to_string() == started),
            Err(_) => in_lease,
        }
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
        let began = processes.table.began(pid).unwrap().unwrap();
        Owner {
            pid,
            process: format!("{}/{began}", processes.place),
            ..processes.current(now()).unwrap()
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
}
