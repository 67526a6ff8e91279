//! The Ballista executor with the product's functions.
//!
//! Owns the command line and the life of the process with its end (`drain`), what is answered on its ports (`server`), what is
//! done at the memory ceiling (`ceiling`), and around each task its memory and its count (`work`). Sessions come from
//! `engine`; running tasks is Ballista's.

mod ceiling;
mod connections;
mod drain;
mod server;
mod work;

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_executor::execution_engine::DefaultExecutionEngine;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use ceiling::Ceiling;
use clap::{Parser, Subcommand};
use connections::Connections;
use drain::{Scheduler, Signals, drain};
use engine::cluster::{Cluster, MESSAGE_BYTES, Tls, physical_codec, probe, process_config};
use engine::memory::{Reaction, Watchdog};
use engine::{Budget, SessionOptions};
use server::{About, Ports};
// `malloc` of the whole process, by being linked (docs/decisions.md).
use tikv_jemallocator as _;
use work::{Watched, Works};

/// Stack of a worker thread: plans are decoded and executed by recursion.
const STACK_BYTES: usize = 32 << 20;

/// How long threads that are at work may take to end once the process was told to stop.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a port may take to answer a health check.
const ANSWER: Duration = Duration::from_secs(3);

/// Clients take an executor that sends none for some of these to be lost.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// How often data of old jobs is looked for.
const CLEAN_UP: Duration = Duration::from_mins(10);
/// Shuffled data that nothing touched for so long belongs to a job whose client is gone.
const JOB_DATA_LIFE: Duration = Duration::from_hours(12);

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
    /// Listen on an address that other machines reach, although nobody is asked who they are
    #[arg(long, env = "EXECUTOR_INSECURE", conflicts_with = "tls")]
    insecure: bool,
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
    /// Folder for shuffled data and spill files
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
    let signals = Signals::block()?;
    engine::raise_open_files()?;
    engine::require_threads(STACK_BYTES)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build()
        .context("cannot start the runtime")?;
    let served = runtime.block_on(async {
        match arguments.command {
            Some(Command::Healthcheck { live }) => healthcheck(&arguments, live).await,
            None => serve(arguments, signals).await,
        }
    });
    runtime.shutdown_timeout(PATIENCE);
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
}

/// Fails if the executor does not answer or, unless `live`, is not in its scheduler's list.
async fn healthcheck(arguments: &Arguments, live: bool) -> anyhow::Result<()> {
    let host = match arguments.bind_host.is_unspecified() {
        true => Ipv4Addr::LOCALHOST.into(),
        false => arguments.bind_host,
    };
    probe(&host.to_string(), arguments.grpc_port, ANSWER)
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

/// Works until SIGTERM, SIGINT or the scheduler's request to stop.
async fn serve(arguments: Arguments, signals: Signals) -> anyhow::Result<()> {
    anyhow::ensure!(
        arguments.bind_host.is_loopback() || arguments.tls.is_some() || arguments.insecure,
        "{} can be reached from other machines, and whoever reaches an executor can run plans on it: listen on 127.0.0.1, \
         give certificates with --tls, or say --insecure in a network of which every member is trusted",
        arguments.bind_host
    );
    anyhow::ensure!(
        !arguments.bind_host.is_unspecified() || arguments.tls.is_none(),
        "{} is every address of this machine, also those on which the parts of this process speak with each other: with \
         --tls, --bind-host must be the one address that others reach",
        arguments.bind_host
    );
    anyhow::ensure!(
        !arguments.bind_host.is_unspecified() || arguments.external_host.is_some(),
        "{} is every address of this machine and nobody can connect to it: say with --external-host which name or address \
         the others reach",
        arguments.bind_host
    );
    let tls = arguments.certificates()?;
    let external_host = arguments.advertised_host();
    let scheduler = Scheduler {
        address: arguments.scheduler_address(),
        tls: tls.clone(),
    };
    let vcores = match arguments.vcores {
        Some(vcores) => vcores,
        None => std::thread::available_parallelism()
            .context("cannot count the processors; set --vcores")?
            .get(),
    };
    let work_dir = arguments
        .work_dir
        .unwrap_or_else(|| std::env::temp_dir().join("spillway-executor"));
    std::fs::create_dir_all(&work_dir)
        .with_context(|| format!("cannot make the work folder {}", work_dir.display()))?;
    let options = session_options(arguments.memory_bytes, &work_dir);
    // Ballista divides so many bytes among tasks, or a share of the machine's memory; `work` makes a pool of ours of each part.
    let pool_bytes = options.budget.pool_bytes() as u64;
    let functions = functions(&options)?;
    // One runtime for all sessions: spill folder, object stores and their connections are shared.
    let runtime = engine::runtime(&options).context("cannot build the runtime environment")?;
    let message_bytes = u32::try_from(MESSAGE_BYTES).context("messages are too large")?;
    let endpoints = tls.as_ref().map(Tls::endpoints);
    let (host, data, tasks) = (arguments.bind_host, arguments.port, arguments.grpc_port);
    let ports = Ports::bind(host, data, tasks, tls.clone()).await?;
    let works = Arc::new(Works::default());
    let ceiling = Arc::new(Ceiling::default());
    let most = (arguments.memory_bytes as u64).max(ceiling::SMALLEST);
    let _watchdog = Watchdog::start(most, Arc::clone(&ceiling) as Arc<dyn Reaction>)
        .context("cannot watch the memory of this process")?;
    let ballista = DefaultExecutionEngine::with_client_pool(Arc::new(Connections::default()));
    let about = About {
        memory_bytes: arguments.memory_bytes,
        works: Arc::clone(&works),
    };
    let patience = Duration::from_secs(arguments.drain_seconds);
    tokio::spawn(drain(signals, scheduler, Arc::clone(&works), patience));
    let config = ExecutorProcessConfig {
        scheduler_host: arguments.scheduler_host,
        scheduler_port: arguments.scheduler_port,
        bind_host: host_of_an_address(ports.tasks),
        external_host: Some(external_host),
        port: arguments.port,
        grpc_port: arguments.grpc_port,
        vcores,
        work_dir: Some(work_dir.display().to_string()),
        memory_pool_size: Some(pool_bytes),
        override_function_registry: Some(Arc::new(functions)),
        override_config_producer: Some(Arc::new(move || process_config(tls.as_ref()))),
        override_arrow_flight_service: Some(ports.into_provider(about)),
        override_create_grpc_client_endpoint: endpoints,
        override_execution_engine: Some(Arc::new(Watched::new(ballista, works, ceiling))),
        override_physical_codec: Some(physical_codec()),
        grpc_max_decoding_message_size: message_bytes,
        grpc_max_encoding_message_size: message_bytes,
        executor_heartbeat_interval_seconds: HEARTBEAT.as_secs(),
        job_data_clean_up_interval_seconds: CLEAN_UP.as_secs(),
        job_data_ttl_seconds: JOB_DATA_LIFE.as_secs(),
        override_runtime_producer: Some(Arc::new(move |_| Ok(Arc::clone(&runtime)))),
        ..ExecutorProcessConfig::default()
    };
    start_executor_process(Arc::new(config))
        .await
        .context("the executor stopped")?;
    Ok(())
}

/// As it is written before a port.
fn host_of_an_address(host: IpAddr) -> String {
    match host {
        IpAddr::V4(host) => host.to_string(),
        IpAddr::V6(host) => format!("[{host}]"),
    }
}

/// The budget of all tasks together, and where they spill.
fn session_options(memory_bytes: usize, work_dir: &Path) -> SessionOptions {
    SessionOptions {
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
