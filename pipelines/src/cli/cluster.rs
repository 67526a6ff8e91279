//! `pipelines cluster status`: what a cluster has and does.

use clap::Subcommand;
use engine::cluster::{Executor, Job};
use serde::Serialize;

use super::Session;
use super::exit::ExitStatus;
use super::printer::{Output, count};
use super::report;
use crate::run::error::RunError;
use crate::settings::{ClusterFlags, ClusterPlace, SettingError};

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
    executors: Vec<Executor>,
    vcores: usize,
    jobs: Vec<Job>,
}

/// The jobs that are shown, at most.
const JOBS: usize = 20;

pub(super) async fn cluster(
    session: &Session,
    arguments: &ClusterArguments,
) -> Result<ExitStatus, RunError> {
    let ClusterCommand::Status(flags) = &arguments.command;
    let place = ClusterPlace::resolve(flags, &session.environment);
    let address = place.running().ok_or(SettingError::NoAddress)?;
    let cluster = place.connect(address).await?;
    let executors = cluster.executors().await?;
    let mut jobs = cluster.jobs().await?;
    jobs.truncate(JOBS);
    let status = Status {
        scheduler: String::from(cluster.url()),
        vcores: executors.iter().map(|executor| executor.vcores).sum(),
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
            &["executor", "vcores", "id"],
            status.executors.iter().map(|executor| {
                [
                    format!("{}:{}", executor.host, executor.port),
                    executor.vcores.to_string(),
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
