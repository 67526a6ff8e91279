//! One job, from its plan to its rows: submitted, waited for under watch, fetched, and cancelled if nobody waits any more.
//!
//! A job is asked for by `execute_query`, whose answer names it, and by polling: the stream of events that Ballista also
//! offers does not always name the job, and may say nothing until its end.

use std::sync::Arc;
use std::time::Duration;

use ballista_core::client::BallistaClient;
use ballista_core::extension::{
    BallistaConfigGrpcEndpoint, SessionConfigExt, SessionConfigHelperExt,
};
use ballista_core::serde::protobuf::execute_query_params::Query;
use ballista_core::serde::protobuf::execute_query_result::Result as Submitted;
use ballista_core::serde::protobuf::get_job_status_result::FlightProxy;
use ballista_core::serde::protobuf::job_status::Status;
use ballista_core::serde::protobuf::{ExecuteQueryParams, GetJobStatusParams, PartitionLocation};
use ballista_core::version::insert_version_header;
use datafusion::arrow::array::RecordBatch;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;
use datafusion_proto::physical_plan::AsExecutionPlan;
use datafusion_proto::protobuf::PhysicalPlanNode;
use futures::TryStreamExt;
use tables::StorageOptions;
use tokio::time::{Instant, sleep};

use super::client::{Cluster, Executor, REQUEST_TIMEOUT};
use super::codec::physical_codec;
use super::connection::MESSAGE_BYTES;
use super::error::ClusterError;
use super::failure::job_failed;
use super::progress::{JobProgress, Stages};
use super::report::WorkOfJob;
use super::stall::Stall;
use super::watch::Watch;
use crate::chain;

/// The time between two questions grows from the first to the last of these.
const POLL_INTERVALS: (Duration, Duration) =
    (Duration::from_millis(10), Duration::from_millis(250));
/// Executors are looked at as often.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);
/// A scheduler that is silent for so long is gone.
const SCHEDULER_TIMEOUT: Duration = Duration::from_secs(10);

impl Cluster {
    /// Executes `plan` and gives its rows. `config` is that of the session that made it, `name` is shown with the job.
    ///
    /// The job is cancelled if this is dropped, if an executor that was there at its begin is lost, and after `limit`.
    /// Cancelling is a request: what runs on an executor may run on for a while.
    ///
    /// # Errors
    /// [`ClusterError`]. Whatever it is, parts of the plan may have been executed, some of them more than once.
    pub async fn execute(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &SessionConfig,
        name: &str,
        limit: Duration,
        progress: &JobProgress,
    ) -> Result<Vec<RecordBatch>, ClusterError> {
        let at_work = self.executors_at_work().await?.into_iter();
        let executors: Vec<Executor> = at_work.map(|(executor, _)| executor).collect();
        if executors.is_empty() {
            return Err(ClusterError::NoExecutors {
                url: String::from(self.url()),
            });
        }
        let mut watch = Watch::begin(&executors).await;
        let job = self.submit(plan, config, name).await?;
        tracing::info!(job, executors = executors.len(), name, "submitted");
        let cancel = CancelOnDrop {
            cluster: self.clone(),
            job: Some(job.clone()),
        };
        let (locations, proxy) = self.wait(&job, &mut watch, limit, progress).await?;
        let mut batches = Vec::new();
        for location in locations {
            batches.extend(self.fetch(&job, location, proxy.as_ref()).await?);
        }
        cancel.disarm();
        Ok(batches)
    }

    async fn submit(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &SessionConfig,
        name: &str,
    ) -> Result<String, ClusterError> {
        let unsendable = |error| ClusterError::Plan(Box::new(error));
        let mut encoded = Vec::new();
        PhysicalPlanNode::try_from_physical_plan(
            plan,
            physical_codec(StorageOptions::default()).as_ref(),
        )
        .and_then(|node| node.try_encode(&mut encoded))
        .map_err(unsendable)?;
        if encoded.len() > MESSAGE_BYTES / 2 {
            // Each task is sent its part of the plan with the state of its inputs, which is more.
            return Err(ClusterError::PlanTooLarge {
                bytes: encoded.len(),
                limit: MESSAGE_BYTES / 2,
            });
        }
        let settings = config
            .clone()
            .with_ballista_use_tls(self.tls.is_some())
            .with_ballista_job_name(name)
            .to_key_value_pairs();
        let mut request = tonic::Request::new(ExecuteQueryParams {
            query: Some(Query::PhysicalPlan(encoded)),
            settings,
            session_id: uuid::Uuid::now_v7().to_string(),
            operation_id: uuid::Uuid::now_v7().to_string(),
        });
        insert_version_header(request.metadata_mut());
        let refused = |reason: String| ClusterError::Refused {
            url: String::from(self.url()),
            reason,
        };
        let answer = self
            .scheduler
            .clone()
            .execute_query(request)
            .await
            .map_err(|status| {
                // Only a status that was made on this side has a cause: the connection's.
                match std::error::Error::source(&status).is_some()
                    || status.code() == tonic::Code::Unavailable
                {
                    true => self.unreachable(chain(&status)),
                    false => refused(String::from(status.message())),
                }
            })?;
        match answer.into_inner().result {
            Some(Submitted::Success(success)) => Ok(success.job_id),
            Some(Submitted::Failure(failure)) => Err(refused(format!("{failure:?}"))),
            None => Err(refused(String::from("it gave no answer"))),
        }
    }

    /// Waits until the job ended well, and gives the places of its rows, and whom to ask for them if not the executors.
    async fn wait(
        &self,
        job: &str,
        watch: &mut Watch,
        limit: Duration,
        progress: &JobProgress,
    ) -> Result<(Vec<PartitionLocation>, Option<FlightProxy>), ClusterError> {
        let begun = Instant::now();
        let (mut pause, mut answered, mut looked) = (POLL_INTERVALS.0, begun, begun);
        let mut stall = Stall::default();
        let mut work = WorkOfJob::default();
        loop {
            sleep(pause).await;
            pause = (pause * 3 / 2).min(POLL_INTERVALS.1);
            if begun.elapsed() > limit {
                return Err(ClusterError::Timeout {
                    job: String::from(job),
                    seconds: limit.as_secs(),
                });
            }
            let question = GetJobStatusParams {
                job_id: String::from(job),
            };
            let mut scheduler = self.scheduler.clone();
            let asked =
                tokio::time::timeout(REQUEST_TIMEOUT, scheduler.get_job_status(question)).await;
            let forgotten = || ClusterError::JobForgotten {
                job: String::from(job),
                url: String::from(self.url()),
            };
            let silent = match asked {
                Ok(Ok(answer)) => {
                    answered = Instant::now();
                    let answer = answer.into_inner();
                    match answer.status.and_then(|status| status.status) {
                        None => return Err(forgotten()),
                        Some(Status::Queued(_) | Status::Running(_)) => {}
                        Some(Status::Failed(failed)) => {
                            return Err(job_failed(job, &failed.error));
                        }
                        Some(Status::Successful(ended)) => {
                            // For the record; a job may end before anybody looked.
                            if let Some(stages) = self.stages(job).await {
                                let done = work.ask(self, &watch.executors(), job).await;
                                progress.set(watch.len(), &stages, done);
                            }
                            return Ok((ended.partition_location, answer.flight_proxy));
                        }
                    }
                    None
                }
                Ok(Err(status)) if status.code() == tonic::Code::NotFound => {
                    return Err(forgotten());
                }
                Ok(Err(status)) => Some(chain(&status)),
                Err(_) => Some(format!("no answer within {} s", REQUEST_TIMEOUT.as_secs())),
            };
            if let Some(reason) = silent
                && answered.elapsed() > SCHEDULER_TIMEOUT
            {
                return Err(self.unreachable(reason));
            }
            if looked.elapsed() >= WATCH_INTERVAL {
                looked = Instant::now();
                // The scheduler's silence is noticed above.
                let Ok(listed) = self.executors().await else {
                    continue;
                };
                if let Some((executor, reason)) = watch.look(&listed, looked).await {
                    let address = format!("{}:{}", executor.host, executor.port);
                    self.note_lost(executor);
                    return Err(ClusterError::ExecutorLost {
                        executor: address,
                        job: String::from(job),
                        reason,
                    });
                }
                let stages = self.stages(job).await;
                if let Some(stages) = &stages {
                    let listed = self.not_lost(listed);
                    let done = work.ask(self, &listed, job).await;
                    progress.set(listed.len(), stages, done);
                }
                let at_work = stages.map_or(0, |stages| stages.tasks_running());
                let idle = at_work == 0 && self.has_free_vcores().await;
                if let Some(stood) = stall.look(idle, looked) {
                    return Err(ClusterError::Stalled {
                        job: String::from(job),
                        seconds: stood.as_secs(),
                    });
                }
            }
        }
    }

    /// What the scheduler says of a job's stages; nothing before it is planned.
    async fn stages(&self, job: &str) -> Option<Stages> {
        self.ask(&format!("/api/job/{job}/stages")).await.ok()
    }

    async fn fetch(
        &self,
        job: &str,
        location: PartitionLocation,
        proxy: Option<&FlightProxy>,
    ) -> Result<Vec<RecordBatch>, ClusterError> {
        let layout = location.layout();
        let (Some(executor), Some(partition)) = (location.executor_meta, location.partition_id)
        else {
            return Err(ClusterError::JobFailed {
                job: String::from(job),
                reason: String::from("the scheduler does not say where the result is"),
            });
        };
        let port = u16::try_from(executor.port).unwrap_or_default();
        let (host_to_ask, port_to_ask) = match proxy {
            Some(FlightProxy::External(address)) => match address.rsplit_once(':') {
                Some((host, port)) => (String::from(host), port.parse().unwrap_or_default()),
                None => (address.clone(), port),
            },
            Some(FlightProxy::Local(true)) => (
                String::from(self.url.host_str().unwrap_or_default()),
                self.url.port_or_known_default().unwrap_or_default(),
            ),
            Some(FlightProxy::Local(false)) | None => (executor.host.clone(), port),
        };
        let failed = |reason: String| ClusterError::Fetch {
            job: String::from(job),
            executor: format!("{}:{}", executor.host, executor.port),
            reason,
        };
        let customize = self
            .tls
            .as_ref()
            .map(|tls| BallistaConfigGrpcEndpoint::new(tls.endpoints()));
        let mut client = BallistaClient::try_new(
            &host_to_ask,
            port_to_ask,
            MESSAGE_BYTES,
            self.tls.is_some(),
            customize.map(Arc::new),
            3,
            500,
            0,
            0,
        )
        .await
        .map_err(|error| failed(error.to_string()))?;
        let rows = client
            .fetch_partition_proxied(
                &executor.id,
                &partition.into(),
                location.file_id,
                layout,
                &executor.host,
                port,
                true,
            )
            .await
            .map_err(|error| failed(error.to_string()))?;
        rows.try_collect()
            .await
            .map_err(|error| failed(error.to_string()))
    }
}

/// Cancels the job of a client that does not wait for it any more.
struct CancelOnDrop {
    cluster: Cluster,
    job: Option<String>,
}

impl CancelOnDrop {
    fn disarm(mut self) {
        self.job = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        let Some(job) = self.job.take() else {
            return;
        };
        let cluster = self.cluster.clone();
        tokio::spawn(async move {
            if let Err(error) = cluster.cancel(&job).await {
                tracing::warn!(job, %error, "could not cancel the job");
            }
        });
    }
}
