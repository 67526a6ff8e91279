//! One process from its start to its end: how long it took and how much memory it held, seen from outside.

use std::fs::File;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

/// How often memory is looked at. The kernel's high-water mark only grows, so nothing before the last look is missed.
const PERIOD: Duration = Duration::from_millis(5);

/// A process that ended.
#[derive(Debug)]
pub(crate) struct Measured {
    /// From before it was started until after it was reaped.
    pub(crate) wall: Duration,
    /// Processor time of the process, as last seen (`utime` and `stime`), in hundredths of a second.
    pub(crate) cpu: Duration,
    /// The kernel's high-water mark of resident memory (`VmHWM`), bytes.
    pub(crate) peak: u64,
    /// The most anonymous memory that was seen (`RssAnon`): heaps and stacks, without the mapped binary, bytes.
    pub(crate) peak_anonymous: u64,
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

#[derive(Debug, Default)]
struct Peaks {
    cpu: Duration,
    resident: u64,
    anonymous: u64,
}

impl Measured {
    /// Itself, if the process succeeded.
    pub(crate) fn succeeded(self) -> anyhow::Result<Self> {
        ensure!(
            self.status.success(),
            "the process ended with {}:\n{}",
            self.status,
            self.stderr
        );
        Ok(self)
    }
}

/// Runs `binary` in `folder` with nothing in its environment but `PATH` and `variables`.
pub(crate) fn run(
    binary: &Path,
    arguments: &[&str],
    folder: &Path,
    variables: &[(&str, &str)],
) -> anyhow::Result<Measured> {
    // Files, because nobody has to read them while the process runs.
    let (stdout, stderr) = (folder.join("stdout"), folder.join("stderr"));
    let create = |path: &Path| {
        File::create(path).with_context(|| format!("cannot write {}", path.display()))
    };
    let begun = Instant::now();
    let mut child = Command::new(binary)
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(create(&stdout)?)
        .stderr(create(&stderr)?)
        .spawn()
        .with_context(|| format!("cannot start {}", binary.display()))?;
    let ended = AtomicBool::new(false);
    let process = format!("/proc/{}", child.id());
    let (status, wall, peaks) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&process, &ended));
        let status = child.wait();
        let wall = begun.elapsed();
        ended.store(true, Ordering::Release);
        watcher.thread().unpark();
        (status, wall, watcher.join().unwrap_or_default())
    });
    Ok(Measured {
        wall,
        cpu: peaks.cpu,
        peak: peaks.resident,
        peak_anonymous: peaks.anonymous,
        status: status.context("cannot wait for the process")?,
        stdout: std::fs::read_to_string(&stdout)?,
        stderr: std::fs::read_to_string(&stderr)?,
    })
}

fn watch(process: &str, ended: &AtomicBool) -> Peaks {
    let mut peaks = Peaks::default();
    let (status_file, stat_file) = (format!("{process}/status"), format!("{process}/stat"));
    while !ended.load(Ordering::Acquire) {
        // The name, the second field, may hold anything, in parentheses.
        if let Ok(stat) = std::fs::read_to_string(&stat_file)
            && let Some((_, fields)) = stat.rsplit_once(") ")
        {
            let ticks = fields.split(' ').skip(11).take(2);
            let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
            peaks.cpu = peaks.cpu.max(Duration::from_millis(ticks * 10));
        }
        if let Ok(status) = std::fs::read_to_string(&status_file) {
            let bytes = |name: &str| {
                let value = status.lines().find_map(|line| line.strip_prefix(name))?;
                Some(
                    value
                        .trim()
                        .strip_suffix("kB")?
                        .trim()
                        .parse::<u64>()
                        .ok()?
                        * 1024,
                )
            };
            peaks.resident = peaks.resident.max(bytes("VmHWM:").unwrap_or(0));
            peaks.anonymous = peaks.anonymous.max(bytes("RssAnon:").unwrap_or(0));
        }
        std::thread::park_timeout(PERIOD);
    }
    peaks
}

/// What the binary says of itself.
pub(crate) fn version(binary: &Path) -> anyhow::Result<String> {
    let output = Command::new(binary)
        .arg("--version")
        .output()
        .context("cannot ask the binary for its version")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
