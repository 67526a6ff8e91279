//! The scheduler, as this executor knows it: it joins its list, says every two seconds that it is there, tells it how tasks
//! ended, and leaves it. Owns the connection, which is made anew when a heartbeat fails: a scheduler that is started again
//! has forgotten everybody, and takes the first heartbeat for a registration.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use ballista_core::serde::protobuf::executor_status::Status as State;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{
    ExecutorRegistration, ExecutorStatus, ExecutorStoppedParams, HeartBeatParams,
    RegisterExecutorParams, TaskStatus, UpdateTaskStatusParams,
};
use engine::cluster::{Cluster, ClusterError, Tls};
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Channel;
use tonic::{Code, Status};

/// Clients take an executor that sends none for some of these to be lost.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(2);
/// A scheduler that does not answer a heartbeat within this time is asked over a new connection.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is said that the scheduler is silent.
const WARN_INTERVAL: Duration = Duration::from_secs(30);

/// The scheduler, and this executor's standing with it.
#[derive(Debug)]
pub(crate) struct Scheduler {
    address: String,
    tls: Option<Tls>,
    registration: ExecutorRegistration,
    connection: Mutex<Cluster>,
    ending: AtomicBool,
}

impl Scheduler {
    /// Connects to a scheduler and joins its list. Others must be able to connect to this executor by now.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub(crate) async fn join(
        address: String,
        tls: Option<Tls>,
        registration: ExecutorRegistration,
    ) -> anyhow::Result<Self> {
        let connection = Cluster::connect(&address, tls.as_ref()).await?;
        let scheduler = Self {
            address,
            tls,
            registration,
            connection: Mutex::new(connection),
            ending: AtomicBool::new(false),
        };
        let registered = RegisterExecutorParams {
            metadata: Some(scheduler.registration.clone()),
        };
        let registered = scheduler.client().register_executor(registered).await;
        registered
            .map_err(|refusal| scheduler.refused(&refusal))
            .context("the executor could not join")?;
        Ok(scheduler)
    }

    /// From now on it is told that this executor takes no more tasks.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::Release);
    }

    /// Whether this executor was asked to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Sends heartbeats, however long the scheduler is away. Gives the reason if it refuses this executor, which trying again
    /// does not change.
    pub(crate) async fn send_heartbeats(&self) -> anyhow::Error {
        let mut silent: Option<(Instant, Instant)> = None;
        loop {
            let failed = match timeout(REQUEST_TIMEOUT, self.send_heartbeat()).await {
                Ok(Ok(())) => None,
                Ok(Err(status)) if status.code() == Code::FailedPrecondition => {
                    return self.refused(&status);
                }
                Ok(Err(status)) => Some(String::from(status.message())),
                Err(_) => Some(format!("no answer within {} s", REQUEST_TIMEOUT.as_secs())),
            };
            let now = Instant::now();
            match (failed, &mut silent) {
                (None, None) => {}
                (None, Some((since, _))) => {
                    let seconds = since.elapsed().as_secs();
                    tracing::info!(seconds, "the scheduler answers again");
                    silent = None;
                }
                (Some(error), None) => {
                    let address = &self.address;
                    tracing::warn!(
                        address,
                        error,
                        "the scheduler does not answer; it is asked until it does"
                    );
                    silent = Some((now, now));
                }
                (Some(error), Some((since, said))) if said.elapsed() > WARN_INTERVAL => {
                    let seconds = since.elapsed().as_secs();
                    tracing::warn!(seconds, error, "the scheduler does not answer yet");
                    *said = now;
                }
                (Some(_), Some(_)) => {}
            }
            if silent.is_some() {
                self.connect_again().await;
            }
            sleep(HEARTBEAT_INTERVAL).await;
        }
    }

    async fn send_heartbeat(&self) -> Result<(), Status> {
        let state = match self.is_ending() {
            true => State::Terminating(String::new()),
            false => State::Active(String::new()),
        };
        let heartbeat = HeartBeatParams {
            executor_id: self.registration.id.clone(),
            metrics: Vec::new(),
            status: Some(ExecutorStatus {
                status: Some(state),
            }),
            metadata: Some(self.registration.clone()),
        };
        self.client().heart_beat_from_executor(heartbeat).await?;
        Ok(())
    }

    /// The old connection would try again by itself, but with the certificates that it began with.
    async fn connect_again(&self) {
        match Cluster::connect(&self.address, self.tls.as_ref()).await {
            Ok(connection) => *self.connection() = connection,
            Err(error) => tracing::debug!(%error, "no new connection"),
        }
    }

    /// Tells how tasks ended. A scheduler that cannot be told notices, or its run does, that the job stands still.
    pub(crate) async fn tell(&self, ended: Vec<TaskStatus>) {
        let told = UpdateTaskStatusParams {
            executor_id: self.registration.id.clone(),
            task_status: ended,
        };
        if let Err(error) = self.client().update_task_status(told).await {
            tracing::error!(%error, "the scheduler does not know that tasks ended");
        }
    }

    /// The jobs that it knows and that have not ended.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn unfinished(&self) -> Result<BTreeSet<String>, ClusterError> {
        let connection = self.connection().clone();
        let jobs = connection.jobs().await?.into_iter();
        let unfinished = jobs.filter(engine::cluster::Job::is_unfinished);
        Ok(unfinished.map(|job| job.id).collect())
    }

    /// Leaves its list.
    pub(crate) async fn leave(&self) {
        self.end();
        let left = async {
            self.send_heartbeat().await?;
            let stopped = ExecutorStoppedParams {
                executor_id: self.registration.id.clone(),
                reason: String::from("it was asked to end"),
            };
            self.client().executor_stopped(stopped).await
        };
        match timeout(REQUEST_TIMEOUT, left).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the scheduler does not know of the end"),
            Err(_) => tracing::warn!("the scheduler does not know of the end"),
        }
    }

    fn client(&self) -> SchedulerGrpcClient<Channel> {
        self.connection().scheduler()
    }

    fn connection(&self) -> std::sync::MutexGuard<'_, Cluster> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self, status: &Status) -> anyhow::Error {
        let (address, said) = (&self.address, status.message());
        anyhow::anyhow!("the scheduler at {address} refuses this executor: {said}")
    }
}
