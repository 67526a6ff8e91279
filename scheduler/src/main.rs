//! The Ballista scheduler with the product's functions.
//!
//! Owns the command line and the life of the process. Sessions come from `engine`; scheduling is Ballista's.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::start_server;
use clap::Parser;
use engine::{Budget, SessionOptions};

/// Stack of a worker thread: plans are decoded and optimised by recursion.
const STACK_BYTES: usize = 32 << 20;

/// Run the cluster's scheduler
#[derive(Debug, Parser)]
#[command(name = "scheduler", version)]
struct Arguments {
    /// Address to listen on
    #[arg(long, env = "SCHEDULER_BIND", default_value = "127.0.0.1:50050")]
    bind: SocketAddr,
    /// Folder for spill files of the planner's own sessions
    #[arg(long, env = "SCHEDULER_WORK_DIR")]
    work_dir: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build()
        .context("cannot start the runtime")?
        .block_on(serve(arguments))
}

async fn serve(arguments: Arguments) -> anyhow::Result<()> {
    let spill_dir = arguments
        .work_dir
        .unwrap_or_else(|| std::env::temp_dir().join("spillway-scheduler"));
    let mut config = SchedulerConfig {
        bind_host: arguments.bind.ip().to_string(),
        bind_port: arguments.bind.port(),
        ..SchedulerConfig::default()
    };
    config.override_session_builder = Some(Arc::new(move |session| {
        let options = SessionOptions {
            budget: Budget::new(1 << 30, session.target_partitions(), session.batch_size()),
            spill_dir: spill_dir.clone(),
            settings: Vec::new(),
        };
        engine::session_state_over(session, &options)
    }));
    let cluster = BallistaCluster::new_from_config(&config)
        .await
        .context("cannot make the cluster's state")?;
    tracing::info!(address = %arguments.bind, "scheduler listens");
    start_server(cluster, arguments.bind, Arc::new(config))
        .await
        .context("the scheduler stopped")?;
    Ok(())
}
