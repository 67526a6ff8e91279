//! The scheduler as a client sees it: who is registered there, what it does, and what is asked of it. A job's own life, from
//! its plan to its rows, is in `job`.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ballista_core::serde::protobuf::CancelJobParams;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::utils::{GrpcClientConfig, create_grpc_client_endpoint};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex as AsyncMutex;
use tonic::transport::Channel;
use url::Url;

use super::connection::{MESSAGE_BYTES, client_config};
use super::error::ClusterError;
use super::tls::{NAME, Tls};
use crate::chain;

/// One question to the scheduler takes this long at most.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// As given, for people.
    pub(super) url: Url,
    pub(super) tls: Option<Tls>,
    pub(super) scheduler: SchedulerGrpcClient<Channel>,
    pub(super) http: reqwest::Client,
    /// With certificates: for each host of an executor its own, because all have the name of one.
    pub(super) executor_http: Arc<AsyncMutex<HashMap<String, reqwest::Client>>>,
    /// Where `http` finds the routes beside gRPC.
    routes: String,
    /// Executors that were lost while a job ran, with the last heartbeat that they had sent.
    lost: Arc<Mutex<HashMap<String, Option<u64>>>>,
}

impl Cluster {
    /// Whether an address can be one, and is written as `tls` demands. Connects to nothing.
    ///
    /// # Errors
    /// [`ClusterError::Address`].
    pub fn check_address(address: &str, tls: Option<&Tls>) -> Result<(), ClusterError> {
        parse(address, tls.is_some()).map(drop)
    }

    /// Connects to the scheduler at an address such as `http://host:50050`, or `host:50050`; with `tls`, `https://`.
    ///
    /// # Errors
    /// [`ClusterError::Address`], [`ClusterError::Tls`], [`ClusterError::Unreachable`].
    pub async fn connect(address: &str, tls: Option<&Tls>) -> Result<Self, ClusterError> {
        let url = parse(address, tls.is_some())?;
        let unreachable = |error: &(dyn Error + 'static)| ClusterError::Unreachable {
            url: String::from(address),
            reason: chain(error),
        };
        let address = url.as_str().trim_end_matches('/').to_owned();
        let mut endpoint = create_grpc_client_endpoint(
            address.clone(),
            Some(&GrpcClientConfig {
                connect_timeout_seconds: REQUEST_TIMEOUT.as_secs(),
                ..client_config()
            }),
        )
        .map_err(|error| unreachable(&error))?;
        let mut http = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .no_proxy();
        let mut routes = address;
        if let Some(tls) = tls {
            endpoint = tls.endpoint(&endpoint)?;
            http = tls.http(url.host_str().unwrap_or_default(), http)?;
            let port = url.port_or_known_default().unwrap_or_default();
            routes = format!("https://{NAME}:{port}");
        }
        let channel = endpoint
            .connect()
            .await
            .map_err(|error| unreachable(&error))?;
        let cluster = Self {
            url,
            tls: tls.cloned(),
            scheduler: SchedulerGrpcClient::new(channel)
                .max_encoding_message_size(MESSAGE_BYTES)
                .max_decoding_message_size(MESSAGE_BYTES),
            http: http.build().map_err(|error| unreachable(&error))?,
            routes,
            executor_http: Arc::default(),
            lost: Arc::default(),
        };
        // A connection alone is also had from a server that hangs up on who shows no certificate, and from others.
        cluster.executors().await?;
        Ok(cluster)
    }

    /// The scheduler's service, over the same connection.
    pub fn scheduler(&self) -> SchedulerGrpcClient<Channel> {
        self.scheduler.clone()
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

    /// Those that were not lost, or gave a sign of life since.
    pub(super) fn not_lost(&self, mut executors: Vec<Executor>) -> Vec<Executor> {
        executors.retain(|executor| self.lost().get(&executor.id) != Some(&executor.last_seen));
        executors
    }

    /// Notes that one was lost while a job ran.
    pub(super) fn note_lost(&self, executor: Executor) {
        self.lost().insert(executor.id, executor.last_seen);
    }

    fn lost(&self) -> MutexGuard<'_, HashMap<String, Option<u64>>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether executors could do more than they do.
    pub(super) async fn has_free_vcores(&self) -> bool {
        let scaling: Result<Scaling, ClusterError> = self.ask("/api/scaling").await;
        scaling.is_ok_and(|scaling| scaling.vcores_free > 0)
    }

    pub(super) async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClusterError> {
        let url = format!("{}{path}", self.routes);
        let asked = async {
            let answer = self.http.get(url).send().await?.error_for_status()?;
            answer.json().await
        };
        asked
            .await
            .map_err(|error: reqwest::Error| self.unreachable(chain(&error)))
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
        match tokio::time::timeout(REQUEST_TIMEOUT, scheduler.cancel_job(question)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => Err(self.unreachable(chain(&status))),
            Err(_) => {
                Err(self.unreachable(format!("no answer within {} s", REQUEST_TIMEOUT.as_secs())))
            }
        }
    }

    pub(super) fn unreachable(&self, reason: String) -> ClusterError {
        ClusterError::Unreachable {
            url: String::from(self.url()),
            reason,
        }
    }
}

fn parse(address: &str, tls: bool) -> Result<Url, ClusterError> {
    let scheme = if tls { "https" } else { "http" };
    let advised = |reason: &str, advice: &str| ClusterError::Address {
        url: String::from(address),
        reason: String::from(reason),
        advice: format!("{advice}write it as {scheme}://host:50050"),
    };
    let refused = |reason: &str| advised(reason, "");
    let text = if address.contains("://") {
        String::from(address)
    } else {
        format!("{scheme}://{address}")
    };
    let url = Url::parse(&text).map_err(|error| refused(&error.to_string()))?;
    if url.scheme() != scheme {
        return Err(match url.scheme() {
            "https" => advised(
                "https:// needs this process's certificates",
                "name their folder (--cluster-tls), or ",
            ),
            "http" => refused("certificates were given, and http:// does not use them"),
            _ => refused("that is another protocol"),
        });
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
            assert!(parse(good, false).is_ok(), "{good}");
        }
        for bad in [
            "",
            "scheduler",
            "https://scheduler:50050",
            "http://",
            "a b:1",
        ] {
            assert!(
                matches!(parse(bad, false), Err(ClusterError::Address { .. })),
                "{bad}"
            );
        }
    }

    #[test]
    fn an_address_says_how_certificates_are_used() {
        let url = parse("scheduler:50050", true).unwrap();
        assert_eq!(url.as_str(), "https://scheduler:50050/");
        assert!(parse("https://scheduler:50050", true).is_ok());
        let error = parse("http://scheduler:50050", true).unwrap_err();
        assert!(
            error.to_string().contains("write it as https://"),
            "{error}"
        );
        let error = parse("https://scheduler:50050", false).unwrap_err();
        assert!(error.to_string().contains("--cluster-tls"), "{error}");
    }

    #[tokio::test]
    async fn a_scheduler_that_is_not_there_is_named() {
        let error = Cluster::connect("127.0.0.1:1", None).await.unwrap_err();
        assert!(error.is_transient());
        assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    }
}
