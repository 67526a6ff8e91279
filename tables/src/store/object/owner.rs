//! Who this process is, so that another one can tell whether it is still alive: the boot of the machine, the space of
//! process numbers, the number, and when the process began.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::parse;

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
        let text = |path: &str| {
            fs::read_to_string(path)
                .ok()
                .map(|text| text.trim().to_owned())
        };
        let pid = std::process::id();
        Self {
            pid,
            host: text("/proc/sys/kernel/hostname"),
            boot: text("/proc/sys/kernel/random/boot_id"),
            pid_space: fs::read_link("/proc/self/ns/pid")
                .ok()
                .map(|link| link.display().to_string()),
            begun: began(pid),
        }
    }

    /// Whether the process is known to have ended. `false` also where that cannot be known from here.
    pub(super) fn is_dead(&self) -> bool {
        let here = Self::this_process();
        let known = self.boot.is_some() && self.pid_space.is_some() && self.begun.is_some();
        known
            && self.boot == here.boot
            && self.pid_space == here.pid_space
            && began(self.pid) != self.begun
    }

    /// Whether it is this very process.
    pub(super) fn is_this_process(&self) -> bool {
        self.begun.is_some() && *self == Self::this_process()
    }
}

/// When a living process began. A process that has ended but was not waited for has no begin.
fn began(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything; the state is the first field after it, the begin the 20th.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    if matches!(fields.next(), Some("Z" | "X") | None) {
        return None;
    }
    fields.nth(18)?.parse().ok()
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
            begun: began(child.id()),
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
