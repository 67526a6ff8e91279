//! The Ballista executor with the product's functions.
//!
//! Owns the command line and the life of the process with its end (`drain`), its standing with the scheduler (`scheduler`),
//! what is answered on its ports (`server`), its tasks (`tasks`) with their memory and their count (`work`), the ceiling
//! of its memory (`ceiling`), and the rows that they shuffled (`shuffled`). Sessions come from `engine`; executing a stage and handing out its rows is Ballista's.

mod ceiling;
mod connections;
mod drain;
mod scheduler;
mod server;
mod shuffled;
mod tasks;
mod work;

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_core::serde::protobuf::ExecutorRegistration;
use ballista_core::serde::{BallistaCodec, BallistaLogicalExtensionCodec};
use ballista_executor::execution_engine::DefaultExecutionEngine;
use ballista_executor::executor_process::{ExecutorProcessConfig, structure_executor_metadata};
use ceiling::Ceiling;
use clap::{Parser, Subcommand};
use connections::Connections;
use drain::{Signals, drain};
use engine::cluster::{Audience, Cluster, Names, Tls, physical_codec, probe, process_config};
use engine::memory::Watchdog;
use engine::private::WorkFolder;
use engine::{Budget, SessionOptions};
use scheduler::Scheduler;
use server::{About, Ports};
use tables::StorageOptions;
use tasks::{Means, Tasks};
// `malloc` of the whole process, by being linked (docs/decisions.md).
use tikv_jemallocator as _;
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;
use work::{Watched, Works};

/// Stack of a worker thread: plans are decoded and executed by recursion.
const STACK_BYTES: usize = 32 << 20;

/// How long threads that are at work may take to end once the process was told to stop.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a port may take to answer a health check.
const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(3);

/// Run one executor of the cluster
#[derive(Debug, Parser)]
#[command(name = "executor", version)]
struct Arguments {
    /// Host of the scheduler
    #[arg(long, env = "EXECUTOR_SCHEDULER_HOST", default_value = "127.0.0.1")]
    scheduler_host: String,
    /// Port of the scheduler
    #[arg(long, env = "EXECUTOR_SCHEDULER_PORT", default_value_t = 50050)]
    scheduler_port: u16,
    /// Address to listen on
    #[arg(long, env = "EXECUTOR_BIND_HOST", default_value = "127.0.0.1")]
    bind_host: IpAddr,
    /// Host under which the scheduler and other executors reach this process (default: --bind-host)
    #[arg(long, env = "EXECUTOR_EXTERNAL_HOST")]
    external_host: Option<String>,
    /// Folder with ca.crt, tls.crt and tls.key, this process's certificate for the name `spillway`: the scheduler, other
    /// executors and runs have to show one of the same authority
    #[arg(long, env = "EXECUTOR_TLS", value_name = "FOLDER")]
    tls: Option<PathBuf>,
    /// Answer whoever can connect, without asking who they are: other users of this machine and, on an address that they
    /// reach, other machines
    #[arg(long, env = "EXECUTOR_INSECURE", conflicts_with = "tls")]
    insecure: bool,
    /// End when standard input does: with the process that holds its other end
    #[arg(long, hide = true)]
    with_parent: bool,
    /// Further names under which this process is reached, with commas between them; requests for others are refused
    #[arg(
        long,
        env = "EXECUTOR_ALLOW_HOST",
        value_name = "NAME",
        value_delimiter = ','
    )]
    allow_host: Vec<String>,
    /// Port of the Arrow Flight service, which hands out shuffled data
    #[arg(long, env = "EXECUTOR_PORT", default_value_t = 50051)]
    port: u16,
    /// Port of the gRPC service, which takes tasks
    #[arg(long, env = "EXECUTOR_GRPC_PORT", default_value_t = 50052)]
    grpc_port: u16,
    /// Tasks run at once (default: the processors of this machine)
    #[arg(long, env = "EXECUTOR_VCORES")]
    vcores: Option<usize>,
    /// Ceiling on the resident memory of this process, bytes, of which tasks get their share; 192 MiB at least
    #[arg(long, env = "EXECUTOR_MEMORY_BYTES", default_value_t = 1 << 30)]
    memory_bytes: usize,
    /// Folder in which this process makes one of its own for shuffled data and spill files (default: the temporary one)
    #[arg(long, env = "EXECUTOR_WORK_DIR")]
    work_dir: Option<PathBuf>,
    /// Seconds for which the process hands out shuffled data to jobs that are at work when it is asked to end
    #[arg(long, env = "EXECUTOR_DRAIN_SECONDS", default_value_t = 600)]
    drain_seconds: u64,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask whether the executor of these settings is there: exit code 0 if its scheduler lists it
    Healthcheck {
        /// Ask only whether its port answers
        #[arg(long)]
        live: bool,
    },
}

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let arguments = Arguments::parse();
    if arguments.with_parent {
        engine::cluster::end_with_parent()?;
    }
    files::hide_panics_of_readers();
    engine::raise_open_files()?;
    engine::require_threads(STACK_BYTES)?;
    let mut threads = Builder::new_multi_thread();
    threads.enable_all().thread_stack_size(STACK_BYTES);
    let runtime = threads.build().context("cannot start the runtime")?;
    if let Some(Command::Healthcheck { live }) = arguments.command {
        return runtime.block_on(healthcheck(&arguments, live));
    }
    if let Some(vcores) = arguments.vcores {
        threads.worker_threads(vcores.max(1));
    }
    let tasks = threads.thread_name("task").build();
    let tasks = tasks.context("cannot start the threads for tasks")?;
    let served = runtime.block_on(serve(arguments, tasks.handle().clone()));
    tasks.shutdown_timeout(SHUTDOWN_TIMEOUT);
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    served
}

impl Arguments {
    /// The host that the scheduler is told.
    fn advertised_host(&self) -> String {
        self.external_host
            .clone()
            .unwrap_or_else(|| self.bind_host.to_string())
    }

    fn scheduler_address(&self) -> String {
        format!("{}:{}", self.scheduler_host, self.scheduler_port)
    }

    fn certificates(&self) -> anyhow::Result<Option<Tls>> {
        Ok(self.tls.as_deref().map(Tls::open).transpose()?)
    }

    fn work_folder(&self) -> anyhow::Result<WorkFolder> {
        let (parent, prefix) = match &self.work_dir {
            Some(folder) => (folder.clone(), "executor-"),
            None => (std::env::temp_dir(), "spillway-executor-"),
        };
        WorkFolder::make(&parent, prefix)
            .with_context(|| format!("cannot make a work folder in {}", parent.display()))
    }

    /// What the scheduler is told of this process.
    fn registration(&self, vcores: usize) -> ExecutorRegistration {
        let told = ExecutorProcessConfig {
            external_host: Some(self.advertised_host()),
            port: self.port,
            grpc_port: self.grpc_port,
            ..ExecutorProcessConfig::default()
        };
        let vcores = u32::try_from(vcores).unwrap_or(u32::MAX);
        structure_executor_metadata(&Arc::new(told), vcores)
    }
}

/// Fails if the executor does not answer or, unless `live`, is not in its scheduler's list.
async fn healthcheck(arguments: &Arguments, live: bool) -> anyhow::Result<()> {
    let host = match arguments.bind_host.is_unspecified() {
        true => Ipv4Addr::LOCALHOST.into(),
        false => arguments.bind_host,
    };
    probe(&host.to_string(), arguments.grpc_port, HEALTHCHECK_TIMEOUT)
        .await
        .with_context(|| format!("nothing answers at {host}:{}", arguments.grpc_port))?;
    if live {
        return Ok(());
    }
    let address = arguments.scheduler_address();
    let tls = arguments.certificates()?;
    let scheduler = Cluster::connect(&address, tls.as_ref()).await?;
    let listed = scheduler.executors().await?;
    let (host, port) = (arguments.advertised_host(), arguments.port);
    anyhow::ensure!(
        listed
            .iter()
            .any(|executor| executor.host == host && executor.port == port),
        "the scheduler at {address} does not list {host}:{port}"
    );
    Ok(())
}

/// Works until SIGTERM, SIGINT or the scheduler's refusal.
async fn serve(arguments: Arguments, threads: Handle) -> anyhow::Result<()> {
    let tls = arguments.certificates()?;
    let audience = Audience::choose(arguments.bind_host, tls.clone(), arguments.insecure)?;
    anyhow::ensure!(
        !arguments.bind_host.is_unspecified() || arguments.external_host.is_some(),
        "{} is every address of this machine and nobody can connect to it: say with --external-host which name or address \
         the others reach",
        arguments.bind_host
    );
    let vcores = match arguments.vcores {
        Some(0) => anyhow::bail!("--vcores must be 1 at least"),
        Some(vcores) => vcores,
        None => std::thread::available_parallelism()
            .context("cannot count the processors; set --vcores")?
            .get(),
    };
    let mut signals = Signals::take()?;
    let work = arguments.work_folder()?;
    let rows: Arc<Path> = work.path().join("rows").into();
    engine::private::make_folder(&rows).context("cannot make the folder for shuffled rows")?;
    let options = session_options(arguments.memory_bytes, work.path());
    let registration = arguments.registration(vcores);
    let host = arguments.advertised_host();
    let names = Names::new(arguments.allow_host.iter().cloned().chain([host]));
    let (host, data, tasks) = (arguments.bind_host, arguments.port, arguments.grpc_port);
    let ports = Ports::bind(host, data, tasks, audience, names).await?;
    let works = Arc::new(Works::default());
    let ballista = DefaultExecutionEngine::with_client_pool(Arc::new(Connections::default()));
    let (members, storage) = (tls.clone(), options.storage.clone());
    let means = Means {
        id: registration.id.clone(),
        folder: Arc::clone(&rows),
        // `work` makes a pool of ours of each part.
        vcore_bytes: options.budget.pool_bytes() / vcores,
        engine: Arc::new(Watched::new(ballista, Arc::clone(&works))),
        functions: functions(&options)?,
        configuration: Arc::new(move || process_config(storage.clone(), members.as_ref())),
        codec: BallistaCodec::new(
            Arc::new(BallistaLogicalExtensionCodec::default()),
            physical_codec(options.storage.clone()),
        ),
        // One for all sessions: spill folder, object stores and their connections are shared.
        runtime: engine::runtime(&options).context("cannot build the runtime environment")?,
        threads,
    };
    let (joined, scheduler) = watch::channel(None);
    let about = About {
        memory_bytes: arguments.memory_bytes,
        works: Arc::clone(&works),
        scheduler: scheduler.clone(),
    };
    let tasks = Tasks::new(means, scheduler);
    let most = (arguments.memory_bytes as u64).max(ceiling::MIN_MEMORY_BYTES);
    let ceiling = Ceiling::new(tasks.clone(), Handle::current());
    let _watchdog = Watchdog::start(most, Arc::new(ceiling))
        .context("cannot watch the memory of this process")?;
    let (stop, stopped) = watch::channel(());
    let served = tokio::spawn({
        let (rows, tasks) = (Arc::clone(&rows), tasks.clone());
        async move { ports.serve(&rows, about, tasks, stopped).await }
    });
    tokio::spawn(shuffled::remove_old(rows));
    let scheduler = Scheduler::join(arguments.scheduler_address(), tls, registration).await?;
    let scheduler = Arc::new(scheduler);
    joined.send_replace(Some(Arc::clone(&scheduler)));
    tracing::info!(scheduler = arguments.scheduler_address(), "executor works");

    let patience = Duration::from_secs(arguments.drain_seconds);
    let asked_to_end = async {
        drain(&mut signals, &scheduler, &works, patience).await;
        scheduler.leave().await;
        tasks.ended().await;
    };
    let ended = tokio::select! {
        () = asked_to_end => Ok(()),
        refusal = scheduler.send_heartbeats() => Err(refusal),
    };
    drop(stop);
    served.await.context("the ports failed")?;
    tracing::info!("executor stops");
    ended
}

/// The budget of all tasks together, and where they spill.
fn session_options(memory_bytes: usize, work_dir: &Path) -> SessionOptions {
    SessionOptions {
        storage: StorageOptions::from_environment(&std::env::vars_os().collect()),
        budget: Budget::new(memory_bytes, 1, 8192),
        spill_dir: work_dir.join("spill"),
        settings: Vec::new(),
    }
}

/// What tasks may call.
fn functions(options: &SessionOptions) -> anyhow::Result<BallistaFunctionRegistry> {
    let state = engine::session_state(options).context("cannot build the session")?;
    Ok(BallistaFunctionRegistry::from(&state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_knows_the_functions_of_every_other_process() {
        let work_dir = tempfile::tempdir().unwrap();
        let options = session_options(512 << 20, work_dir.path());
        let registry = functions(&options).unwrap();
        let here = engine::FunctionNames {
            scalar: registry.scalar_functions.into_keys().collect(),
            aggregate: registry.aggregate_functions.into_keys().collect(),
            window: registry.window_functions.into_keys().collect(),
        };
        assert_eq!(
            here,
            engine::function_names(&engine::session_state(&options).unwrap())
        );
        assert!(here.scalar.contains("week_of"), "{here:?}");
    }
}
