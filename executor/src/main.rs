//! The Ballista executor with the product's functions.
//!
//! Owns the command line and the life of the process. Sessions come from `engine`; running tasks is Ballista's.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use clap::Parser;
use engine::{Budget, SessionOptions};

/// Stack of a worker thread: plans are decoded and executed by recursion.
const STACK_BYTES: usize = 32 << 20;

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
    /// Host to listen on
    #[arg(long, env = "EXECUTOR_BIND_HOST", default_value = "127.0.0.1")]
    bind_host: String,
    /// Port of the Arrow Flight service, which hands out shuffled data
    #[arg(long, env = "EXECUTOR_PORT", default_value_t = 50051)]
    port: u16,
    /// Port of the gRPC service, which takes tasks
    #[arg(long, env = "EXECUTOR_GRPC_PORT", default_value_t = 50052)]
    grpc_port: u16,
    /// Tasks run at once (default: the processors of this machine)
    #[arg(long, env = "EXECUTOR_VCORES")]
    vcores: Option<usize>,
    /// Memory for the pools of all tasks together, bytes
    #[arg(long, env = "EXECUTOR_MEMORY_BYTES", default_value_t = 1 << 30)]
    memory_bytes: usize,
    /// Folder for shuffled data and spill files
    #[arg(long, env = "EXECUTOR_WORK_DIR")]
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
    let options = SessionOptions {
        budget: Budget::new(arguments.memory_bytes / vcores.max(1), 1, 8192),
        spill_dir: work_dir.join("spill"),
        settings: Vec::new(),
    };
    let state = engine::session_state(&options).context("cannot build the session")?;
    // One runtime for all tasks: Ballista calls the producer again for every task it decodes.
    let runtime = engine::runtime(&options).context("cannot build the runtime environment")?;
    let config = ExecutorProcessConfig {
        scheduler_host: arguments.scheduler_host,
        scheduler_port: arguments.scheduler_port,
        bind_host: arguments.bind_host,
        port: arguments.port,
        grpc_port: arguments.grpc_port,
        vcores,
        work_dir: Some(work_dir.display().to_string()),
        override_function_registry: Some(Arc::new(BallistaFunctionRegistry::from(&state))),
        override_runtime_producer: Some(Arc::new(move |_| Ok(Arc::clone(&runtime)))),
        ..ExecutorProcessConfig::default()
    };
    start_executor_process(Arc::new(config))
        .await
        .context("the executor stopped")?;
    Ok(())
}
