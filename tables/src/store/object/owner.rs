//! The holder of a lease, as it is written down for others. How processes are told apart is `process`'s.

use serde::{Deserialize, Serialize};

use crate::parse;
use crate::process::ProcessTable;

/// A process, as the holder of a lease is named. Fields are `None` where the system does not tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owner {
    pub(super) pid: u32,
    /// The machine's name; for people.
    #[serde(default, deserialize_with = "parse::optional_line")]
    pub(super) host: Option<String>,
    /// The running boot of the machine.
    #[serde(default, deserialize_with = "parse::optional_line")]
    boot: Option<String>,
    /// Containers of one machine number their processes apart.
    #[serde(default, deserialize_with = "parse::optional_line")]
    pid_space: Option<String>,
    /// When the process began, in the kernel's ticks: numbers are given again.
    begun: Option<u64>,
}

impl Owner {
    pub(super) fn this_process() -> Self {
        let seen = ProcessTable::of_this_machine().ok();
        let current = seen.as_ref().and_then(|seen| seen.current().ok());
        let known = |fact: fn(&ProcessTable) -> Option<&str>| {
            let fact = seen.as_ref().and_then(fact);
            fact.map(str::to_owned)
        };
        Self {
            pid: current.map_or_else(std::process::id, |(pid, _)| pid),
            host: known(|seen| Some(seen.host())),
            boot: known(ProcessTable::boot),
            pid_space: known(ProcessTable::pid_space),
            begun: current.map(|(_, begun)| begun),
        }
    }

    /// Whether the process is known to have ended. `false` also where that cannot be known from here.
    pub(super) fn is_dead(&self) -> bool {
        let Ok(here) = ProcessTable::of_this_machine() else {
            return false;
        };
        let known = self.boot.is_some() && self.pid_space.is_some() && self.begun.is_some();
        known
            && self.boot.as_deref() == here.boot()
            && self.pid_space.as_deref() == here.pid_space()
            && here.began(self.pid).is_ok_and(|begun| begun != self.begun)
    }

    /// Whether it is this very process.
    pub(super) fn is_this_process(&self) -> bool {
        self.begun.is_some() && *self == Self::this_process()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_alive_until_it_ends_and_another_with_its_number_is_not_it() {
        let this = Owner::this_process();
        assert!(this.is_this_process() && !this.is_dead());
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let owner = Owner {
            pid: child.id(),
            begun: ProcessTable::of_this_machine()
                .unwrap()
                .began(child.id())
                .unwrap(),
            ..this.clone()
        };
        assert!(owner.begun.is_some() && !owner.is_dead());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(owner.is_dead());
        let earlier = Owner {
            begun: this.begun.map(|begun| begun - 1),
            ..this
        };
        assert!(earlier.is_dead(), "the number was given again");
        let elsewhere = Owner {
            boot: Some("another".to_owned()),
            ..owner
        };
        assert!(!elsewhere.is_dead(), "nothing is known of other machines");
    }
}
