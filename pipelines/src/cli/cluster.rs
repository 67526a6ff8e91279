//! `pipelines cluster status`: what a cluster has and does.

use clap::Subcommand;
use engine::cluster::{Executor, ExecutorReport, Job};
use serde::Serialize;

use super::exit::ExitStatus;
use super::flags::ClusterFlags;
use super::printer::Output;
use super::report;
use super::session::Session;
use runner::error::RunError;
use runner::quantity::{bytes, count};
use runner::settings::{ClusterPlace, SettingError};

/// Which cluster, and what of it.
#[derive(Debug, clap::Args)]
pub(super) struct ClusterArguments {
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Show executors, vcores and jobs
    Status(ClusterFlags),
}

#[derive(Debug, Serialize)]
struct Status {
    scheduler: String,
    executors: Vec<Listed>,
    vcores: usize,
    jobs: Vec<Job>,
}

/// An executor that the scheduler lists, and what it says of itself.
#[derive(Debug, Serialize)]
struct Listed {
    #[serde(flatten)]
    executor: Executor,
    /// `None`, as the next, if it does not answer.
    memory_bytes: Option<usize>,
    tasks_running: Option<usize>,
    /// Whether it takes no more tasks.
    stopping: bool,
}

/// The jobs that are shown, at most.
const JOBS: usize = 20;

impl Listed {
    fn new(executor: Executor, report: Option<&ExecutorReport>) -> Self {
        Self {
            memory_bytes: report.map(|report| report.memory_bytes),
            tasks_running: report.map(ExecutorReport::tasks_running),
            stopping: report.is_some_and(|report| report.stopping),
            executor,
        }
    }
}

pub(super) async fn cluster(
    session: &Session,
    arguments: &ClusterArguments,
) -> Result<ExitStatus, RunError> {
    let ClusterCommand::Status(flags) = &arguments.command;
    let place = ClusterPlace::resolve(&flags.overrides(), &session.environment);
    let address = place.running().ok_or(SettingError::NoAddress)?;
    let cluster = place.connect(address).await?;
    let listed = cluster.executors().await?;
    let reports = cluster.reports(&listed).await;
    let executors: Vec<Listed> = listed
        .into_iter()
        .zip(reports)
        .map(|(executor, report)| Listed::new(executor, report.as_ref()))
        .collect();
    let mut jobs = cluster.jobs().await?;
    jobs.truncate(JOBS);
    let status = Status {
        scheduler: String::from(cluster.url()),
        vcores: executors.iter().map(|listed| listed.executor.vcores).sum(),
        executors,
        jobs,
    };
    match session.global.output {
        Output::Json => report::json(session.printer, &status)?,
        Output::Text => text(session, &status),
    }
    Ok(ExitStatus::Success)
}

fn text(session: &Session, status: &Status) {
    let printer = session.printer;
    printer.data(format_args!(
        "{}: {} with {}",
        status.scheduler,
        count(status.executors.len() as u64, "executor"),
        count(status.vcores as u64, "vcore"),
    ));
    if !status.executors.is_empty() {
        printer.table(
            &["executor", "vcores", "memory", "tasks", "id"],
            status.executors.iter().map(|listed| {
                let executor = &listed.executor;
                let memory = listed.memory_bytes.map(|memory| bytes(memory as u64));
                let stopping = if listed.stopping { ", stopping" } else { "" };
                let tasks = listed
                    .tasks_running
                    .map(|tasks| format!("{tasks}{stopping}"));
                [
                    format!("{}:{}", executor.host, executor.port),
                    executor.vcores.to_string(),
                    memory.unwrap_or_else(|| String::from("does not answer")),
                    tasks.unwrap_or_default(),
                    executor.id.clone(),
                ]
            }),
        );
    }
    if !status.jobs.is_empty() {
        printer.table(
            &["job", "state", "stages", "name"],
            status.jobs.iter().map(|job| {
                [
                    job.id.clone(),
                    job.status.clone(),
                    format!("{} of {}", job.stages_done, job.stages),
                    job.name.clone(),
                ]
            }),
        );
    }
}
