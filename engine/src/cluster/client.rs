//! A client of the scheduler: submits a plan, waits for it under watch, fetches its rows, cancels.
//!
//! A job is asked for by `execute_query`, whose answer names it, and by polling: the stream of events that Ballista also
//! offers does not always name the job, and may say nothing until its end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ballista_core::client::BallistaClient;
use ballista_core::extension::{SessionConfigExt, SessionConfigHelperExt};
use ballista_core::serde::protobuf::execute_query_params::Query;
use ballista_core::serde::protobuf::execute_query_result::Result as Submitted;
use ballista_core::serde::protobuf::get_job_status_result::FlightProxy;
use ballista_core::serde::protobuf::job_status::Status;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{
    CancelJobParams, ExecuteQueryParams, GetJobStatusParams, PartitionLocation,
};
use ballista_core::utils::{GrpcClientConfig, create_grpc_client_endpoint};
use ballista_core::version::insert_version_header;
use datafusion::arrow::array::RecordBatch;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;
use datafusion_proto::physical_plan::AsExecutionPlan;
use datafusion_proto::protobuf::PhysicalPlanNode;
use futures::TryStreamExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;
use url::Url;

use super::codec::physical_codec;
use super::error::ClusterError;
use super::progress::{JobProgress, Stages};
use super::session::MESSAGE_BYTES;
use super::stall::Stall;
use super::watch::{self, Watch};
use crate::chain;

/// The time between two questions grows from the first to the last of these.
const POLL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));
/// Executors are looked at as often.
const LOOK: Duration = Duration::from_millis(500);
/// A scheduler that is silent for so long is gone.
const SILENCE: Duration = Duration::from_secs(10);
/// One question to the scheduler takes this long at most.
const ANSWER: Duration = Duration::from_secs(5);

/// An executor as the scheduler knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Executor {
    /// Its name, new at every start.
    pub id: String,
    /// The host under which it hands out data.
    pub host: String,
    /// The port for that.
    pub port: u16,
    /// Partitions that it works on at once.
    pub vcores: usize,
    /// The last heartbeat by the executor's clock, milliseconds since 1970. Good for comparing with itself only.
    pub last_seen: Option<u64>,
}

/// What `/api/executors` says of one.
#[derive(Debug, Deserialize)]
struct ExecutorAnswer {
    id: String,
    host: String,
    port: u16,
    last_seen: Option<u64>,
    specification: Specification,
}

#[derive(Debug, Deserialize)]
struct Specification {
    vcores: usize,
}

/// What `/api/scaling` says, as far as it is needed here.
#[derive(Debug, Deserialize)]
struct Scaling {
    vcores_free: u64,
}

/// A job as the scheduler lists it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Job {
    /// The scheduler's name for it.
    #[serde(rename = "job_id")]
    pub id: String,
    /// What the run that asked for it called it.
    #[serde(rename = "job_name")]
    pub name: String,
    /// `Queued`, `Running`, `Completed` or `Failed`.
    pub status: String,
    /// Stages.
    #[serde(rename = "num_stages")]
    pub stages: usize,
    /// Stages that ended.
    #[serde(rename = "completed_stages")]
    pub stages_done: usize,
    /// When it began, milliseconds since 1970.
    pub start_time: u64,
}

impl Job {
    /// Whether it waits or is at work.
    pub fn is_unfinished(&self) -> bool {
        matches!(self.status.as_str(), "Queued" | "Running")
    }
}

/// A scheduler and its executors. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cluster {
    url: Url,
    scheduler: SchedulerGrpcClient<Channel>,
    http: reqwest::Client,
    /// Executors that were lost while a job ran, with the last heartbeat that they had sent.
    lost: Arc<Mutex<HashMap<String, Option<u64>>>>,
}

impl Cluster {
    /// Connects to the scheduler at an address such as `http://host:50050`, or `host:50050`.
    ///
    /// # Errors
    /// [`ClusterError::Address`], [`ClusterError::Unreachable`].
    pub async fn connect(address: &str) -> Result<Self, ClusterError> {
        let url = parse(address)?;
        let unreachable = |reason: String| ClusterError::Unreachable {
            url: String::from(address),
            reason,
        };
        let config = GrpcClientConfig {
            max_message_size: MESSAGE_BYTES,
            connect_timeout_seconds: ANSWER.as_secs(),
            ..GrpcClientConfig::default()
        };
        let endpoint = create_grpc_client_endpoint(
            url.as_str().trim_end_matches('/').to_owned(),
            Some(&config),
        )
        .map_err(|error| unreachable(error.to_string()))?;
        let channel = endpoint
            .connect()
            .await
            .map_err(|error| unreachable(chain(&error)))?;
        let http = reqwest::Client::builder()
            .timeout(ANSWER)
            .no_proxy()
            .build()
            .map_err(|error| unreachable(chain(&error)))?;
        Ok(Self {
            url,
            scheduler: SchedulerGrpcClient::new(channel)
                .max_encoding_message_size(MESSAGE_BYTES)
                .max_decoding_message_size(MESSAGE_BYTES),
            http,
            lost: Arc::default(),
        })
    }

    /// The scheduler's address.
    pub fn url(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// The executors that are registered now, in the order of their addresses.
    ///
    /// # Errors
    /// [`ClusterError::Unreachable`].
    pub async fn executors(&self) -> Result<Vec<Executor>, ClusterError> {
        let answers: Vec<ExecutorAnswer> = self.ask("/api/executors").await?;
        let mut executors: Vec<Executor> = answers
            .into_iter()
            .map(|answer| Executor {
                id: answer.id,
                host: answer.host,
                port: answer.port,
                vcores: answer.specification.vcores,
                last_seen: answer.last_seen,
            })
            .collect();
        executors.sort_by(|a, b| (&a.host, a.port, &a.id).cmp(&(&b.host, b.port, &b.id)));
        Ok(executors)
    }

    /// The executors that work, as far as can be told: not those that were lost and gave no sign of life since, and not
    /// those whose port does not answer while that of others does. The scheduler may not know yet.
    ///
    /// # Errors
    /// [`ClusterError::Unreachable`].
    pub async fn executors_at_work(&self) -> Result<Vec<Executor>, ClusterError> {
        let executors = self.not_lost(self.executors().await?);
        Ok(watch::answering(executors).await)
    }

    /// Those that were not lost, or gave a sign of life since.
    fn not_lost(&self, mut executors: Vec<Executor>) -> Vec<Executor> {
        executors.retain(|executor| self.lost().get(&executor.id) != Some(&executor.last_seen));
        executors
    }

    fn lost(&self) -> MutexGuard<'_, HashMap<String, Option<u64>>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

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
        let executors = self.executors_at_work().await?;
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
        PhysicalPlanNode::try_from_physical_plan(plan, physical_codec().as_ref())
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
        let (mut pause, mut answered, mut looked) = (POLL.0, begun, begun);
        let mut stall = Stall::default();
        loop {
            sleep(pause).await;
            pause = (pause * 3 / 2).min(POLL.1);
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
            let asked = tokio::time::timeout(ANSWER, scheduler.get_job_status(question)).await;
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
                            return Err(ClusterError::JobFailed {
                                job: String::from(job),
                                reason: failed.error,
                            });
                        }
                        Some(Status::Successful(ended)) => {
                            return Ok((ended.partition_location, answer.flight_proxy));
                        }
                    }
                    None
                }
                Ok(Err(status)) if status.code() == tonic::Code::NotFound => {
                    return Err(forgotten());
                }
                Ok(Err(status)) => Some(chain(&status)),
                Err(_) => Some(format!("no answer within {} s", ANSWER.as_secs())),
            };
            if let Some(reason) = silent
                && answered.elapsed() > SILENCE
            {
                return Err(self.unreachable(reason));
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                // The scheduler's silence is noticed above.
                let Ok(listed) = self.executors().await else {
                    continue;
                };
                if let Some((executor, reason)) = watch.look(&listed, looked).await {
                    self.lost().insert(executor.id, executor.last_seen);
                    return Err(ClusterError::ExecutorLost {
                        executor: format!("{}:{}", executor.host, executor.port),
                        job: String::from(job),
                        reason,
                    });
                }
                // Before it is planned a job has no stages.
                let stages: Option<Stages> = self.ask(&format!("/api/job/{job}/stages")).await.ok();
                if let Some(stages) = &stages {
                    progress.set(self.not_lost(listed).len(), stages);
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

    /// Whether executors could do more than they do.
    async fn has_free_vcores(&self) -> bool {
        let scaling: Result<Scaling, ClusterError> = self.ask("/api/scaling").await;
        scaling.is_ok_and(|scaling| scaling.vcores_free > 0)
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClusterError> {
        let url = format!("{}{path}", self.url());
        let asked = async {
            let answer = self.http.get(url).send().await?.error_for_status()?;
            answer.json().await
        };
        asked
            .await
            .map_err(|error: reqwest::Error| self.unreachable(chain(&error)))
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
        let mut client = BallistaClient::try_new(
            &host_to_ask,
            port_to_ask,
            MESSAGE_BYTES,
            false,
            None,
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

    /// The jobs that the scheduler knows, newest first.
    ///
    /// # Errors
    /// [`ClusterError::Unreachable`].
    pub async fn jobs(&self) -> Result<Vec<Job>, ClusterError> {
        let mut jobs: Vec<Job> = self.ask("/api/jobs").await?;
        jobs.sort_by_key(|job| std::cmp::Reverse(job.start_time));
        Ok(jobs)
    }

    /// Asks the scheduler to cancel a job.
    ///
    /// # Errors
    /// [`ClusterError::Unreachable`].
    pub async fn cancel(&self, job: &str) -> Result<(), ClusterError> {
        let question = CancelJobParams {
            job_id: String::from(job),
        };
        let mut scheduler = self.scheduler.clone();
        match tokio::time::timeout(ANSWER, scheduler.cancel_job(question)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => Err(self.unreachable(chain(&status))),
            Err(_) => Err(self.unreachable(format!("no answer within {} s", ANSWER.as_secs()))),
        }
    }

    fn unreachable(&self, reason: String) -> ClusterError {
        ClusterError::Unreachable {
            url: String::from(self.url()),
            reason,
        }
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

fn parse(address: &str) -> Result<Url, ClusterError> {
    let refused = |reason: &str| ClusterError::Address {
        url: String::from(address),
        reason: String::from(reason),
    };
    let text = if address.contains("://") {
        String::from(address)
    } else {
        format!("http://{address}")
    };
    let url = Url::parse(&text).map_err(|error| refused(&error.to_string()))?;
    if url.scheme() != "http" {
        return Err(refused("only http:// is supported"));
    }
    if url.host_str().is_none() || url.port().is_none() {
        return Err(refused("it needs a host and a port"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for good in ["http://scheduler:50050", "scheduler:50050", "127.0.0.1:1"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "scheduler",
            "https://scheduler:50050",
            "http://",
            "a b:1",
        ] {
            assert!(
                matches!(parse(bad), Err(ClusterError::Address { .. })),
                "{bad}"
            );
        }
    }

    #[tokio::test]
    async fn a_scheduler_that_is_not_there_is_named() {
        let error = Cluster::connect("127.0.0.1:1").await.unwrap_err();
        assert!(error.is_transient());
        assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    }
}
