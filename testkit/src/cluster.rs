//! A cluster of real processes on this machine: a scheduler and executors, each of which can be killed, paused and
//! started again. Owns their ports and folders; what is expected of them is the tests'.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use crate::command::Workspace;
use crate::network::Network;
use crate::ports::free_port;
use crate::process::{Child, wait_for};

/// A scheduler and its executors.
#[derive(Debug)]
pub struct Cluster {
    scheduler: Option<Child>,
    scheduler_workspace: Workspace,
    executor_workspace: Workspace,
    executor: PathBuf,
    /// The program that runs pipelines, to ask what only members are told.
    client: Workspace,
    port: u16,
    executors: Vec<Executor>,
    vcores: usize,
    certificates: Option<PathBuf>,
    /// Where each executor is a host of its own. Dropped last.
    network: Option<Network>,
}

/// What is around the processes of a cluster.
#[derive(Default)]
struct Surroundings {
    /// Of the executors.
    environment: Vec<(String, String)>,
    certificates: Option<PathBuf>,
    network: Option<Network>,
}

/// One executor, which may be dead.
#[derive(Debug)]
struct Executor {
    process: Option<Child>,
    port: u16,
    grpc_port: u16,
    work: PathBuf,
}

impl Cluster {
    /// Starts a scheduler and so many executors of so many vcores each, from the binaries beside `binary`. `None`, after
    /// saying so, if they are not there because only a part of the workspace was built.
    ///
    /// # Errors
    /// When one of them does not start.
    pub fn start(binary: &str, executors: usize, vcores: usize) -> anyhow::Result<Option<Self>> {
        Self::start_all(binary, executors, vcores, Surroundings::default())
    }

    /// As [`Cluster::start`], with every executor on a host of its own. `None`, after saying so, also where no such hosts
    /// can be made.
    ///
    /// # Errors
    /// When one of them does not start.
    pub fn start_on_hosts(
        binary: &str,
        executors: usize,
        vcores: usize,
    ) -> anyhow::Result<Option<Self>> {
        let Some(network) = Network::new()? else {
            return Ok(None);
        };
        let surroundings = Surroundings {
            network: Some(network),
            ..Surroundings::default()
        };
        Self::start_all(binary, executors, vcores, surroundings)
    }

    /// As [`Cluster::start`], with these variables in the environment of every executor.
    ///
    /// # Errors
    /// When one of them does not start.
    pub fn start_with(
        binary: &str,
        executors: usize,
        vcores: usize,
        environment: &[(String, String)],
    ) -> anyhow::Result<Option<Self>> {
        let surroundings = Surroundings {
            environment: environment.to_vec(),
            ..Surroundings::default()
        };
        Self::start_all(binary, executors, vcores, surroundings)
    }

    /// As [`Cluster::start`], of processes that show each other the certificates in a folder.
    ///
    /// # Errors
    /// When one of them does not start.
    pub fn start_with_certificates(
        binary: &str,
        executors: usize,
        vcores: usize,
        folder: &Path,
    ) -> anyhow::Result<Option<Self>> {
        let surroundings = Surroundings {
            certificates: Some(folder.to_path_buf()),
            ..Surroundings::default()
        };
        Self::start_all(binary, executors, vcores, surroundings)
    }

    fn start_all(
        binary: &str,
        executors: usize,
        vcores: usize,
        surroundings: Surroundings,
    ) -> anyhow::Result<Option<Self>> {
        let beside = |name: &str| Path::new(binary).with_file_name(name);
        let (scheduler, executor) = (beside("scheduler"), beside("executor"));
        if let Some(missing) = [&scheduler, &executor]
            .into_iter()
            .find(|path| !path.exists())
        {
            let words = format!(
                "{} is missing; build the workspace, as scripts/test does",
                missing.display()
            );
            anyhow::ensure!(
                std::env::var_os("SPILLWAY_REQUIRE_SERVICES").is_none(),
                words
            );
            #[expect(clippy::print_stderr, reason = "a skipped test says so")]
            {
                eprintln!("SKIPPED: {words}");
            }
            return Ok(None);
        }
        let mut cluster = Self {
            scheduler: None,
            scheduler_workspace: Workspace::new(scheduler)?,
            // Under whatever command puts it on its host.
            executor_workspace: Workspace::new("/usr/bin/env")?,
            executor,
            client: Workspace::new(binary)?,
            port: free_port()?,
            executors: Vec::new(),
            vcores,
            network: surroundings.network,
            certificates: surroundings.certificates,
        };
        for (name, value) in &surroundings.environment {
            cluster.executor_workspace.set(name, value);
        }
        if let Some(folder) = &cluster.certificates {
            let folder = folder.display().to_string();
            cluster.scheduler_workspace.set("SCHEDULER_TLS", &folder);
            cluster.executor_workspace.set("EXECUTOR_TLS", &folder);
            cluster.client.set("PIPELINES_CLUSTER_TLS", &folder);
        }
        cluster.start_scheduler()?;
        for _ in 0..executors {
            cluster.add_executor()?;
        }
        cluster.wait_for_executors(executors)?;
        Ok(Some(cluster))
    }

    /// The scheduler's address.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host(), self.port)
    }

    /// The scheduler's host.
    fn host(&self) -> String {
        match &self.network {
            Some(network) => network.address(),
            None => String::from("127.0.0.1"),
        }
    }

    /// Starts the scheduler, where the one before was.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn start_scheduler(&mut self) -> anyhow::Result<()> {
        let bind = self.address();
        let mut arguments = vec!["--bind", &bind, "--work-dir", "work"];
        arguments.extend(self.network.as_ref().map(|_| "--insecure"));
        let scheduler = self.scheduler_workspace.start(arguments)?;
        let address = self.address();
        wait_for("the scheduler", || match self.certificates {
            Some(_) => self.listed().map(drop),
            None => http_get(&address, "/healthz").map(drop),
        })
        .with_context(|| scheduler.said())?;
        self.scheduler = Some(scheduler);
        Ok(())
    }

    /// Kills the scheduler.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill_scheduler(&mut self) -> anyhow::Result<()> {
        let scheduler = self.scheduler.take().context("no scheduler runs")?;
        scheduler.kill()?;
        Ok(())
    }

    /// Starts one more executor; gives its number.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn add_executor(&mut self) -> anyhow::Result<usize> {
        let number = self.executors.len();
        let (port, grpc_port) = (free_port()?, free_port()?);
        let work = self
            .executor_workspace
            .path()
            .join(format!("work-{number}"));
        let mut arguments = Vec::new();
        if let Some(network) = &mut self.network {
            let host = network.add_host()?;
            arguments.extend(["ip", "netns", "exec"].map(String::from));
            arguments.push(network.namespace(host));
            arguments.push(self.executor.display().to_string());
            arguments.extend([String::from("--bind-host"), network.address_of(host)]);
            arguments.push(String::from("--insecure"));
        } else {
            arguments.push(self.executor.display().to_string());
        }
        let flags = [
            ("--scheduler-host", self.host()),
            ("--scheduler-port", self.port.to_string()),
            ("--port", port.to_string()),
            ("--grpc-port", grpc_port.to_string()),
            ("--vcores", self.vcores.to_string()),
            ("--work-dir", work.display().to_string()),
        ];
        arguments.extend(
            flags
                .into_iter()
                .flat_map(|(flag, value)| [String::from(flag), value]),
        );
        let process = self.executor_workspace.start(arguments)?;
        self.executors.push(Executor {
            process: Some(process),
            port,
            grpc_port,
            work,
        });
        Ok(number)
    }

    /// Waits until the scheduler lists so many executors.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn wait_for_executors(&self, count: usize) -> anyhow::Result<()> {
        wait_for("the executors in the scheduler's list", || {
            (self.listed()? == count).then_some(())
        })
        .with_context(|| self.said())
    }

    /// How many executors the scheduler lists; `None` if it does not answer.
    pub fn listed(&self) -> Option<usize> {
        if self.certificates.is_some() {
            let address = self.address();
            let question = [
                "cluster",
                "status",
                "--cluster",
                &address,
                "--output",
                "json",
            ];
            let status = self.client.run(question).ok()?;
            let status: serde_json::Value = serde_json::from_str(&status.stdout).ok()?;
            return Some(status["executors"].as_array()?.len());
        }
        let answer = http_get(&self.address(), "/api/executors")?;
        let executors: Vec<serde_json::Value> = serde_json::from_str(&answer).ok()?;
        Some(executors.len())
    }

    /// Kills an executor.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill_executor(&mut self, number: usize) -> anyhow::Result<()> {
        let process = self.executors[number].process.take();
        process.context("that executor does not run")?.kill()?;
        Ok(())
    }

    /// Sends an executor a signal, such as `STOP` or `CONT`.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal_executor(&self, number: usize, name: &str) -> anyhow::Result<()> {
        let process = self.executors[number].process.as_ref();
        process.context("that executor does not run")?.signal(name)
    }

    /// The network whose hosts the executors are on, by the same numbers.
    pub fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }

    /// The port under which an executor hands out data.
    pub fn executor_port(&self, number: usize) -> u16 {
        self.executors[number].port
    }

    /// The port under which an executor takes tasks.
    pub fn executor_tasks_port(&self, number: usize) -> u16 {
        self.executors[number].grpc_port
    }

    /// What an executor has in its work folder, as paths: shuffled data and spill files.
    pub fn files_of(&self, number: usize) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.executors[number].work.clone()];
        while let Some(folder) = folders.pop() {
            // A folder that goes while it is looked at holds nothing.
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    Ok(_) => files.push(entry.path()),
                    Err(_) => {}
                }
            }
        }
        files
    }

    /// What all of them said on standard error so far.
    pub fn said(&self) -> String {
        let scheduler = self
            .scheduler
            .as_ref()
            .map(|child| ("scheduler", child.said()));
        let executors = self
            .executors
            .iter()
            .filter_map(|executor| Some(("executor", executor.process.as_ref()?.said())));
        scheduler
            .into_iter()
            .chain(executors)
            .map(|(who, said)| format!("--- {who}\n{said}"))
            .collect()
    }
}

/// The body of a successful answer; `None` while there is none.
pub fn http_get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200")
        .then(|| body.trim().to_owned())
}
