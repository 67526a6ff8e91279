//! A cluster on this machine, for trying it out: a scheduler and executors as processes of their own, which end with the
//! one that started them, and speak with it and each other by certificates that were made for them. Owns where their binaries
//! are looked for and what they are told.

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::authority::issue;
use super::client::Cluster;
use super::error::ClusterError;
use crate::private;

/// What is given instead of an address to have a cluster started.
pub const EMBEDDED: &str = "embedded";

/// The exit code of an executor that passed its memory ceiling, as that of a run.
pub const EXHAUSTED: i32 = 8;

/// How many executors are started.
const EXECUTORS: usize = 2;
/// How long they may take to find each other.
const START_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A scheduler and two executors on free ports of this machine. They are killed when this is dropped.
#[derive(Debug)]
pub struct EmbeddedCluster {
    cluster: Cluster,
    _scheduler: Child,
    executors: Mutex<Vec<Child>>,
}

impl EmbeddedCluster {
    /// Starts the binaries `scheduler` and `executor` that are beside this program's, with `memory` bytes for the pools of
    /// all executors together, and waits until they found each other. `folder` takes their work and their logs.
    ///
    /// # Errors
    /// [`ClusterError::Embedded`].
    pub async fn start(folder: &Path, memory: usize) -> Result<Self, ClusterError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let certificates = folder.join("certificates");
        let tls = issue(&certificates).map_err(|error| failed(error.to_string()))?;
        let certificates = certificates.display().to_string();
        let [scheduler_port, executor_ports @ ..] = free_ports()?;
        let arguments = [
            ("--bind", format!("127.0.0.1:{scheduler_port}")),
            ("--tls", certificates.clone()),
            ("--work-dir", folder.display().to_string()),
        ];
        let mut scheduler = start("scheduler", folder, &arguments)?;
        let mut executors = Vec::new();
        let executor_memory = memory / EXECUTORS;
        let deadline = Instant::now() + START_TIMEOUT;
        let address = format!("127.0.0.1:{scheduler_port}");
        let cluster = loop {
            match Cluster::connect(&address, Some(&tls)).await {
                Ok(cluster) => break cluster,
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => sleep(POLL_INTERVAL).await,
            }
            running([&mut scheduler], folder)?;
        };
        for ports in executor_ports.chunks(2) {
            let arguments = [
                ("--scheduler-port", scheduler_port.to_string()),
                ("--port", ports[0].to_string()),
                ("--grpc-port", ports[1].to_string()),
                ("--tls", certificates.clone()),
                ("--vcores", cores.div_ceil(EXECUTORS).to_string()),
                ("--memory-bytes", executor_memory.to_string()),
                ("--work-dir", folder.display().to_string()),
            ];
            executors.push(start("executor", folder, &arguments)?);
        }
        while cluster.executors().await?.len() < EXECUTORS {
            running(executors.iter_mut().chain([&mut scheduler]), folder)?;
            if Instant::now() > deadline {
                return Err(failed(format!(
                    "the executors did not find the scheduler within {} s; {} has their logs",
                    START_TIMEOUT.as_secs(),
                    folder.display()
                )));
            }
            sleep(POLL_INTERVAL).await;
        }
        Ok(Self {
            cluster,
            _scheduler: scheduler,
            executors: Mutex::new(executors),
        })
    }

    /// The cluster, as long as this is alive.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Whether executors have ended since this was last asked because they passed their memory ceiling, and how many are
    /// left. The scheduler only knows that they are silent.
    pub fn exhausted(&self) -> Option<usize> {
        let mut executors = self
            .executors
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let before = executors.len();
        executors.retain_mut(|executor| {
            let ended = executor.try_wait().ok().flatten();
            ended.and_then(|status| status.code()) != Some(EXHAUSTED)
        });
        (executors.len() < before).then_some(executors.len())
    }
}

fn failed(reason: String) -> ClusterError {
    ClusterError::Embedded { reason }
}

/// Starts a binary that is beside this program's; its log goes to a file in `folder`.
fn start(name: &str, folder: &Path, arguments: &[(&str, String)]) -> Result<Child, ClusterError> {
    let binary = beside(name)?;
    let failed_to = |what: &str, error: std::io::Error| failed(format!("cannot {what}: {error}"));
    let log = folder.join(format!("{name}.log"));
    let log = private::append_to(&log)
        .map_err(|error| failed_to(&format!("write {}", log.display()), error))?;
    let arguments = arguments
        .iter()
        .flat_map(|(flag, value)| [OsString::from(*flag), OsString::from(value)]);
    let mut command = Command::new(&binary);
    // What is set for another cluster does not hold for this one.
    for (name, _) in std::env::vars_os() {
        let known = name.to_string_lossy();
        if known.starts_with("SCHEDULER_") || known.starts_with("EXECUTOR_") {
            command.env_remove(&name);
        }
    }
    command
        .args(arguments)
        .arg("--with-parent")
        // Held by the child's handle: it ends with this process, however that ends.
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::from(log))
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed_to(&format!("start {}", binary.display()), error))
}

/// Ends this process when its standard input ends, whose other end the one that started it holds: also where that one is
/// killed, and cannot kill anybody.
///
/// # Errors
/// When the system has no thread left.
#[expect(
    clippy::exit,
    reason = "nobody is left to whom this process could tell anything"
)]
pub fn end_with_parent() -> std::io::Result<()> {
    let watch = std::thread::Builder::new().name(String::from("parent"));
    watch.spawn(|| {
        // Nothing is ever written to it; an error means as much as its end.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    })?;
    Ok(())
}

fn beside(name: &str) -> Result<PathBuf, ClusterError> {
    let here = std::env::current_exe()
        .map_err(|error| failed(format!("cannot say where this program is: {error}")))?;
    let binary = here.with_file_name(name);
    if binary.exists() {
        return Ok(binary);
    }
    Err(failed(format!(
        "there is no program `{name}` at {}; build it: cargo build -p scheduler -p executor",
        binary.display()
    )))
}

/// Makes sure that all of them run.
fn running<'a>(
    processes: impl IntoIterator<Item = &'a mut Child>,
    folder: &Path,
) -> Result<(), ClusterError> {
    for process in processes {
        if let Ok(Some(status)) = process.try_wait() {
            return Err(failed(format!(
                "a process of it ended ({status}); {} has its log",
                folder.display()
            )));
        }
    }
    Ok(())
}

/// Ports that nothing listened on a moment ago, none of them twice: one for the scheduler and two for each executor.
fn free_ports() -> Result<[u16; 1 + 2 * EXECUTORS], ClusterError> {
    let none = |error| failed(format!("there is no free port: {error}"));
    // All are open at once, or the system may give one of them again.
    let mut open = Vec::new();
    let mut ports = [0; 1 + 2 * EXECUTORS];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(none)?;
        *port = listener.local_addr().map_err(none)?.port();
        open.push(listener);
    }
    Ok(ports)
}
