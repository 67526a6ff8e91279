//! What executors say of themselves when they are asked: what they were given, and how far their tasks are. Ballista's
//! scheduler knows neither. Nothing is decided by the second; a person watches it.

use std::collections::HashMap;
use std::ops::Add;
use std::time::Duration;

use futures::future::join_all;
use serde::{Deserialize, Serialize};

use super::client::{Cluster, Executor};
use super::error::ClusterError;
use super::tls::NAME;
use super::watch;

/// Who takes longer to answer is not waited for.
const REPORT_TIMEOUT: Duration = Duration::from_secs(1);

/// The route of an executor's answer, on its port for data.
pub const REPORT: &str = "/api/executor";

/// An executor's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutorReport {
    /// Memory for the pools of all tasks together, bytes.
    pub memory_bytes: usize,
    /// Whether it was asked to end: it takes no more tasks, and goes when the jobs that it knows have ended.
    pub stopping: bool,
    /// The jobs that it works at, or did.
    pub jobs: Vec<JobReport>,
}

impl ExecutorReport {
    /// Tasks at work.
    pub fn tasks_running(&self) -> usize {
        self.jobs.iter().map(|job| job.tasks_running).sum()
    }
}

/// What an executor did for a job so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobReport {
    /// The scheduler's name for it.
    pub job_id: String,
    /// Tasks at work.
    pub tasks_running: usize,
    /// What all its tasks did.
    #[serde(flatten)]
    pub work: Work,
}

/// Work that was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Rows that tasks read: from files, and those that other tasks shuffled.
    pub rows_read: u64,
    /// Bytes of files that they read.
    pub bytes_read: u64,
    /// Bytes that they spilled.
    pub bytes_spilled: u64,
}

impl Add for Work {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            rows_read: self.rows_read + other.rows_read,
            bytes_read: self.bytes_read + other.bytes_read,
            bytes_spilled: self.bytes_spilled + other.bytes_spilled,
        }
    }
}

impl Cluster {
    /// The executors that work, as far as can be told, with what they say: not those that were lost and gave no sign of life
    /// since, those whose port does not answer while that of others does, and those that were asked to end. The scheduler
    /// may not know yet.
    ///
    /// # Errors
    /// [`ClusterError::Unreachable`].
    pub async fn executors_at_work(
        &self,
    ) -> Result<Vec<(Executor, Option<ExecutorReport>)>, ClusterError> {
        let executors = self.not_lost(self.executors().await?);
        let executors = watch::answering(executors).await;
        let reports = self.reports(&executors).await;
        let mut at_work: Vec<_> = executors.into_iter().zip(reports).collect();
        at_work.retain(|(_, report)| !report.as_ref().is_some_and(|report| report.stopping));
        Ok(at_work)
    }

    /// What each of these says of itself; nothing where it does not answer.
    pub async fn reports(&self, executors: &[Executor]) -> Vec<Option<ExecutorReport>> {
        join_all(executors.iter().map(|executor| self.report(executor))).await
    }

    async fn report(&self, executor: &Executor) -> Option<ExecutorReport> {
        let (host, port) = (&executor.host, executor.port);
        let (client, url) = match &self.tls {
            None => (self.http.clone(), format!("http://{host}:{port}{REPORT}")),
            Some(tls) => {
                let mut clients = self.executor_http.lock().await;
                let client = match clients.get(host) {
                    Some(client) => client.clone(),
                    None => {
                        let client = reqwest::Client::builder().no_proxy();
                        let client = tls.http(host, client).ok()?.build().ok()?;
                        clients.insert(host.clone(), client.clone());
                        client
                    }
                };
                (client, format!("https://{NAME}:{port}{REPORT}"))
            }
        };
        let asked = async { client.get(url).send().await.ok()?.json().await.ok() };
        tokio::time::timeout(REPORT_TIMEOUT, asked).await.ok()?
    }
}

/// What executors did for one job, by executor, as they said last: one that is silent for a moment keeps its number.
#[derive(Debug, Default)]
pub(super) struct WorkOfJob {
    by_executor: HashMap<String, Work>,
}

impl WorkOfJob {
    /// Asks them again, and gives the sum.
    pub(super) async fn ask(
        &mut self,
        cluster: &Cluster,
        executors: &[Executor],
        job: &str,
    ) -> Work {
        let reports = cluster.reports(executors).await;
        for (executor, report) in executors.iter().zip(reports) {
            let jobs = report.map(|report| report.jobs).unwrap_or_default();
            if let Some(report) = jobs.into_iter().find(|report| report.job_id == job) {
                self.by_executor.insert(executor.id.clone(), report.work);
            }
        }
        self.by_executor
            .values()
            .fold(Work::default(), |sum, work| sum + *work)
    }
}
