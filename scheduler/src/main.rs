//! The Ballista scheduler with the product's functions.
//!
//! Owns the command line and the life of the process, which executors get tasks (`resources`), and what is answered on its
//! port (`server`). Sessions, the codec and the settings that all processes share come from `engine`; the rest of
//! scheduling is Ballista's.

mod load;
mod resources;
mod server;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ballista_core::ConfigProducer;
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::cluster::memory::InMemoryJobState;
use ballista_scheduler::config::{SchedulerConfig, TaskDistributionPolicy};
use ballista_scheduler::scheduler_process::create_scheduler;
use ballista_scheduler::scheduler_server::SessionBuilder;
use clap::{Parser, Subcommand};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::prelude::SessionConfig;
use engine::cluster::{
    Audience, Cluster, MESSAGE_BYTES, Names, Tls, physical_codec, process_config,
};
use engine::private::WorkFolder;
use engine::{Budget, SessionOptions};
use resources::Resources;
use tables::StorageOptions;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Stack of a worker thread: plans are decoded and optimised by recursion.
const STACK_BYTES: usize = 32 << 20;

/// How long threads that are at work may take to end once the process was told to stop.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// An executor that sends no heartbeat for so long is dropped.
const EXECUTOR_TIMEOUT: Duration = Duration::from_secs(20);

/// An executor that said it ends is listed for so long after that, or after its last heartbeat if it goes on for its jobs.
/// It sends one every two seconds.
const DRAIN_GRACE: Duration = Duration::from_secs(8);

/// Run the cluster's scheduler
#[derive(Debug, Parser)]
#[command(name = "scheduler", version)]
struct Arguments {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, env = "SCHEDULER_BIND", default_value = "127.0.0.1:50050")]
    bind: SocketAddr,
    /// Address on which anybody is told numbers of executors and tasks: /metrics, /api/scaling, /readyz, /healthz
    #[arg(long, env = "SCHEDULER_METRICS_BIND", value_name = "ADDRESS")]
    metrics_bind: Option<SocketAddr>,
    /// Host under which executors reach this process (default: that of --bind)
    #[arg(long, env = "SCHEDULER_EXTERNAL_HOST")]
    external_host: Option<String>,
    /// Folder in which this process makes one of its own for the planner's spill files (default: the temporary one)
    #[arg(long, env = "SCHEDULER_WORK_DIR")]
    work_dir: Option<PathBuf>,
    /// Folder with ca.crt, tls.crt and tls.key, this process's certificate for the name `spillway`: executors and runs have
    /// to show one of the same authority
    #[arg(long, env = "SCHEDULER_TLS", value_name = "FOLDER")]
    tls: Option<PathBuf>,
    /// Answer whoever can connect, without asking who they are: other users of this machine and, on an address that they
    /// reach, other machines
    #[arg(long, env = "SCHEDULER_INSECURE", conflicts_with = "tls")]
    insecure: bool,
    /// End when standard input does: with the process that holds its other end
    #[arg(long, hide = true)]
    with_parent: bool,
    /// Further names under which this process is reached, with commas between them; requests for others are refused
    #[arg(
        long,
        env = "SCHEDULER_ALLOW_HOST",
        value_name = "NAME",
        value_delimiter = ','
    )]
    allow_host: Vec<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask the scheduler at --bind whether it answers: exit code 0 if it does
    Healthcheck,
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
    engine::raise_open_files()?;
    engine::require_threads(STACK_BYTES)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build()
        .context("cannot start the runtime")?;
    let served = runtime.block_on(async {
        match arguments.command {
            Some(Command::Healthcheck) => healthcheck(&arguments).await,
            None => serve(arguments).await,
        }
    });
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    served
}

impl Arguments {
    fn certificates(&self) -> anyhow::Result<Option<Tls>> {
        Ok(self.tls.as_deref().map(Tls::open).transpose()?)
    }

    fn work_folder(&self) -> anyhow::Result<WorkFolder> {
        let (parent, prefix) = match &self.work_dir {
            Some(folder) => (folder.clone(), "scheduler-"),
            None => (std::env::temp_dir(), "spillway-scheduler-"),
        };
        WorkFolder::make(&parent, prefix)
            .with_context(|| format!("cannot make a work folder in {}", parent.display()))
    }
}

/// Fails if the scheduler at that address does not answer.
async fn healthcheck(arguments: &Arguments) -> anyhow::Result<()> {
    let mut bind = arguments.bind;
    if bind.ip().is_unspecified() {
        bind.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let tls = arguments.certificates()?;
    // Connecting asks a question.
    Cluster::connect(&bind.to_string(), tls.as_ref()).await?;
    Ok(())
}

/// Serves until SIGTERM or SIGINT.
async fn serve(arguments: Arguments) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let tls = arguments.certificates()?;
    let audience = Audience::choose(arguments.bind.ip(), tls.clone(), arguments.insecure)?;
    let work = arguments.work_folder()?;
    let spill_dir = work.path().to_path_buf();
    // Bound before anything is configured: executors are told the port that was really taken.
    let listener = TcpListener::bind(arguments.bind).await.with_context(|| {
        format!(
            "cannot listen on {}; choose another address with --bind",
            arguments.bind
        )
    })?;
    let address = listener
        .local_addr()
        .context("cannot tell the address of the listener")?;
    let metrics = match arguments.metrics_bind {
        Some(bind) => Some(TcpListener::bind(bind).await.with_context(|| {
            format!("cannot listen on {bind}; choose another address with --metrics-bind")
        })?),
        None => None,
    };
    let session_builder: SessionBuilder =
        Arc::new(move |session| session_state(session, &spill_dir));
    let external_host = arguments
        .external_host
        .unwrap_or_else(|| address.ip().to_string());
    let names = Names::new(
        arguments
            .allow_host
            .into_iter()
            .chain([external_host.clone()]),
    );
    let members = tls.clone();
    let configuration: ConfigProducer =
        Arc::new(move || process_config(StorageOptions::default(), members.as_ref()));
    let config = Arc::new(SchedulerConfig {
        bind_host: address.ip().to_string(),
        bind_port: address.port(),
        external_host,
        override_session_builder: Some(Arc::clone(&session_builder)),
        override_config_producer: Some(Arc::clone(&configuration)),
        override_create_grpc_client_endpoint: tls.as_ref().map(Tls::endpoints),
        use_tls: tls.is_some(),
        override_physical_codec: Some(physical_codec(StorageOptions::default())),
        grpc_client_max_message_size: u32::try_from(MESSAGE_BYTES)
            .context("messages are too large")?,
        // Every executor gets a part of a stage, rather than the largest all of it.
        task_distribution: TaskDistributionPolicy::RoundRobin,
        // A job that fails anywhere ends, and the run that asked for it decides whether to ask again: with Ballista's own
        // repetitions its rows could come twice (docs/cluster.md).
        task_max_failures: 1,
        stage_max_failures: 1,
        // Clients notice a lost executor before this, and cancel their jobs.
        executor_timeout_seconds: EXECUTOR_TIMEOUT.as_secs(),
        no_executors_grace_period_seconds: EXECUTOR_TIMEOUT.as_secs(),
        expire_dead_executor_interval_seconds: 5,
        executor_termination_grace_period: DRAIN_GRACE.as_secs(),
        ..SchedulerConfig::default()
    });
    config
        .validate()
        .context("the scheduler's configuration does not hold")?;
    let cluster = BallistaCluster::new(
        Arc::new(Resources::default()),
        Arc::new(InMemoryJobState::new(
            config.scheduler_id.clone(),
            session_builder,
            configuration,
        )),
    );
    let scheduler = create_scheduler(cluster, config)
        .await
        .context("cannot start scheduling")?;
    if let Some(metrics) = &metrics {
        let address = metrics
            .local_addr()
            .context("cannot tell the address of the listener")?;
        tracing::info!(%address, "numbers are at");
    }
    tracing::info!(%address, "scheduler listens");
    tokio::select! {
        () = server::serve(listener, audience, names, metrics, scheduler) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("scheduler stops");
    Ok(())
}

/// A session of a client: its configuration, our functions and a bounded pool.
fn session_state(session: SessionConfig, spill_dir: &Path) -> Result<SessionState> {
    let options = SessionOptions::new(
        Budget::new(1 << 30, session.target_partitions(), session.batch_size()),
        spill_dir,
    );
    engine::scheduler_state(session, &options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_knows_the_functions_of_every_other_process() {
        let spill_dir = tempfile::tempdir().unwrap();
        let options = SessionOptions::new(Budget::new(512 << 20, 1, 8192), spill_dir.path());
        let here =
            engine::function_names(&session_state(SessionConfig::new(), spill_dir.path()).unwrap());
        assert_eq!(
            here,
            engine::function_names(&engine::session_state(&options).unwrap())
        );
        assert!(here.scalar.contains("week_of"), "{here:?}");
    }
}
