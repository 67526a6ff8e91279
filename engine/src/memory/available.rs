//! What this process may use: the least of the machine's memory, the limits of its control groups, and its own limit on
//! address space.
//!
//! Owns where limits are found: control groups of both versions, also side by side, and every group around the process's
//! own, since any of them may be the narrowest (systemd's `MemoryMax` on a slice, Slurm's job above its step, a pod above its
//! container).

use std::fs;
use std::path::{Component, Path, PathBuf};

/// Bytes that this process may use; `None` where the system does not tell.
pub fn available() -> Option<u64> {
    available_under(Path::new("/"))
}

/// As [`available`], of a system whose files are under `root`.
pub fn available_under(root: &Path) -> Option<u64> {
    let limits = [machine(root), address_space(root)];
    let groups = groups(root).into_iter().flat_map(|group| group.limits());
    limits.into_iter().flatten().chain(groups).min()
}

fn machine(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// `ulimit -v`.
fn address_space(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/self/limits")).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The groups of one hierarchy that this process is in.
#[derive(Debug)]
struct Groups {
    /// Where the hierarchy is mounted.
    mount: PathBuf,
    /// The process's own group.
    own: PathBuf,
    /// Files of a group that hold a limit.
    files: &'static [&'static str],
}

impl Groups {
    fn limits(&self) -> Vec<u64> {
        let around = self
            .own
            .ancestors()
            .take_while(|folder| folder.starts_with(&self.mount));
        around
            .flat_map(|folder| self.files.iter().map(move |file| folder.join(file)))
            // `max` is no number, and no limit.
            .filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok())
            .collect()
    }
}

const FILES_2: &[&str] = &["memory.max", "memory.high"];
const FILES_1: &[&str] = &["memory.limit_in_bytes"];

fn groups(root: &Path) -> Vec<Groups> {
    let text = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mounts = mounts(root);
    text.lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?);
            let (second, files) = match controllers {
                "" => (true, FILES_2),
                of if of.split(',').any(|one| one == "memory") => (false, FILES_1),
                _ => return None,
            };
            let mount = mounts.iter().find(|mount| mount.second == second)?;
            Some(Groups {
                own: mount.folder_of(path),
                mount: mount.at.clone(),
                files,
            })
        })
        .collect()
}

/// A hierarchy as this process sees it.
#[derive(Debug)]
struct Mount {
    second: bool,
    /// The group that is at the mount point.
    group: PathBuf,
    at: PathBuf,
}

impl Mount {
    /// The folder of the group `path`. Of one that is not in sight here, as in a container that sees its own group alone,
    /// the mount point is what there is.
    fn folder_of(&self, path: &str) -> PathBuf {
        let below = Path::new(path).strip_prefix(&self.group);
        let below = below.unwrap_or(Path::new(""));
        let plain = below
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        match plain {
            true => self.at.join(below),
            false => self.at.clone(),
        }
    }
}

fn mounts(root: &Path) -> Vec<Mount> {
    let text = fs::read_to_string(root.join("proc/self/mountinfo")).unwrap_or_default();
    text.lines().filter_map(|line| mount(root, line)).collect()
}

/// `36 35 0:30 /group /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory`
fn mount(root: &Path, line: &str) -> Option<Mount> {
    let (place, kind) = line.split_once(" - ")?;
    let mut kind = kind.split(' ');
    let second = match (kind.next()?, kind.nth(1)?) {
        ("cgroup2", _) => true,
        ("cgroup", options) if options.split(',').any(|option| option == "memory") => false,
        _ => return None,
    };
    let mut place = place.split(' ').skip(3);
    let (group, at) = (place.next()?, place.next()?.replace("\\040", " "));
    Some(Mount {
        second,
        group: PathBuf::from(group),
        at: root.join(at.trim_start_matches('/')),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const UNLIMITED_1: &str = "9223372036854771712\n";
    const MOUNT_2: &str =
        "24 18 0:22 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    /// A system with 8 GiB and these files.
    fn system(files: &[(&str, &str)]) -> u64 {
        let root = tempfile::tempdir().unwrap();
        let memory = (
            "proc/meminfo",
            "MemTotal:        8388608 kB\nMemFree: 1 kB\n",
        );
        for (name, text) in files.iter().chain([&memory]) {
            let file = root.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        available_under(root.path()).unwrap() / MIB
    }

    #[test]
    fn without_limits_it_is_the_memory_of_the_machine() {
        assert_eq!(system(&[]), 8192);
        let unlimited = [
            ("proc/self/cgroup", "0::/user.slice\n"),
            ("proc/self/mountinfo", MOUNT_2),
            ("sys/fs/cgroup/user.slice/memory.max", "max\n"),
            (
                "proc/self/limits",
                "Limit  Soft Limit  Hard Limit  Units\nMax address space   unlimited  unlimited  bytes\n",
            ),
        ];
        assert_eq!(system(&unlimited), 8192);
    }

    #[test]
    fn a_limit_of_any_group_around_this_one_counts() {
        let mut files = vec![
            ("proc/self/cgroup", "0::/a.slice/b.slice/run.scope\n"),
            ("proc/self/mountinfo", MOUNT_2),
            (
                "sys/fs/cgroup/a.slice/b.slice/run.scope/memory.max",
                "max\n",
            ),
            ("sys/fs/cgroup/a.slice/b.slice/memory.max", "2147483648\n"),
            ("sys/fs/cgroup/a.slice/memory.max", "4294967296\n"),
            // Another group's is none of ours.
            ("sys/fs/cgroup/c.slice/memory.max", "1048576\n"),
        ];
        assert_eq!(system(&files), 2048);
        files.push(("sys/fs/cgroup/a.slice/memory.high", "1073741824\n"));
        assert_eq!(system(&files), 1024);
    }

    #[test]
    fn a_container_that_sees_its_own_group_alone_is_limited_at_the_mount_point() {
        for (own, mount) in [
            ("0::/\n", MOUNT_2),
            ("0::/../../docker-1.scope\n", MOUNT_2),
            (
                "0::/docker/1\n",
                "24 18 0:22 /docker/1 /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
            ),
        ] {
            let files = [
                ("proc/self/cgroup", own),
                ("proc/self/mountinfo", mount),
                ("sys/fs/cgroup/memory.max", "536870912\n"),
            ];
            assert_eq!(system(&files), 512, "{own}");
        }
    }

    #[test]
    fn groups_of_the_first_version_are_read_up_to_their_root() {
        let files = [
            (
                "proc/self/cgroup",
                "12:pids:/elsewhere\n9:cpu,memory:/slurm/uid_0/job_7/step_0\n0::/init.scope\n",
            ),
            (
                "proc/self/mountinfo",
                "30 25 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                 33 25 0:29 / /sys/fs/cgroup/cpu,memory rw shared:1 - cgroup cgroup rw,cpu,memory\n",
            ),
            (
                "sys/fs/cgroup/cpu,memory/slurm/uid_0/job_7/step_0/memory.limit_in_bytes",
                UNLIMITED_1,
            ),
            (
                "sys/fs/cgroup/cpu,memory/slurm/uid_0/job_7/memory.limit_in_bytes",
                "805306368\n",
            ),
            (
                "sys/fs/cgroup/cpu,memory/memory.limit_in_bytes",
                UNLIMITED_1,
            ),
            (
                "sys/fs/cgroup/unified/init.scope/memory.max",
                "1073741824\n",
            ),
        ];
        assert_eq!(system(&files), 768);
    }

    #[test]
    fn a_limit_on_address_space_counts() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax address space   1073741824  unlimited  bytes\n";
        assert_eq!(system(&[("proc/self/limits", limits)]), 1024);
    }

    #[test]
    fn this_system_tells() {
        assert!(available().is_some_and(|bytes| bytes > 64 * MIB));
    }
}
