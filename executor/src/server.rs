//! What an executor answers on its ports. On the one for data: Arrow Flight, which hands out shuffled rows, whether the
//! process is alive, what it was given, and how far its tasks are. On the one for tasks: the service of `tasks`.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use arrow_flight::flight_service_server::FlightServiceServer;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use ballista_core::serde::protobuf::executor_grpc_server::ExecutorGrpcServer;
use ballista_executor::flight_service::BallistaFlightService;
use engine::cluster::{Audience, ExecutorReport, MESSAGE_BYTES, Names, REPORT, grpc_routes, serve};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::scheduler::Scheduler;
use crate::tasks::Tasks;
use crate::work::Works;

/// What an executor says of itself.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) memory_bytes: usize,
    pub(crate) works: Arc<Works>,
    /// There once this process has joined it.
    pub(crate) scheduler: watch::Receiver<Option<Arc<Scheduler>>>,
}

/// The ports of an executor, taken before anybody is told of them.
#[derive(Debug)]
pub(crate) struct Ports {
    data: TcpListener,
    tasks: TcpListener,
    audience: Audience,
    names: Names,
}

impl Ports {
    /// Takes them.
    ///
    /// # Errors
    /// When one is taken, or the address is not of this machine.
    pub(crate) async fn bind(
        host: IpAddr,
        data: u16,
        tasks: u16,
        audience: Audience,
        names: Names,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            data: bind(host, data, "--port").await?,
            tasks: bind(host, tasks, "--grpc-port").await?,
            audience,
            names,
        })
    }

    /// Answers until `stop` is dropped, then ends what is being answered.
    pub(crate) async fn serve(
        self,
        rows: &Path,
        about: About,
        tasks: Tasks,
        stop: watch::Receiver<()>,
    ) {
        let stopped = |mut stop: watch::Receiver<()>| async move {
            // Nothing is ever sent.
            let _ = stop.changed().await;
        };
        let (audience, names) = (self.audience, self.names);
        let tasks = ExecutorGrpcServer::new(tasks)
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES);
        tokio::join!(
            serve(
                self.data,
                audience.clone(),
                names.clone(),
                routes(rows, about),
                stopped(stop.clone()),
            ),
            serve(
                self.tasks,
                audience,
                names,
                grpc_routes(tasks),
                stopped(stop)
            ),
        );
    }
}

async fn bind(host: IpAddr, port: u16, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(SocketAddr::new(host, port))
        .await
        .with_context(|| format!("cannot listen on {host}:{port}; choose another with {flag}"))
}

fn routes(rows: &Path, about: About) -> Router {
    let flight = BallistaFlightService::new(rows.display().to_string());
    let flight = FlightServiceServer::new(flight)
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES);
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route(REPORT, get(report))
        .with_state(Arc::new(about))
        .merge(grpc_routes(flight))
}

async fn report(State(about): State<Arc<About>>) -> Json<ExecutorReport> {
    let scheduler = about.scheduler.borrow().clone();
    Json(ExecutorReport {
        memory_bytes: about.memory_bytes,
        stopping: scheduler.is_some_and(|scheduler| scheduler.is_ending()),
        jobs: about.works.report(),
    })
}
