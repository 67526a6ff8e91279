//! What an executor answers on its ports. On the one for data: Arrow Flight, which hands out shuffled rows, whether the
//! process is alive, what it was given, and how far its tasks are. On the one for tasks: Ballista's own service, which
//! listens by itself; where members of the cluster show certificates, it listens on loopback, and what members send is
//! passed on to it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use arrow_flight::flight_service_server::FlightServiceServer;
use axum::extract::State;
use axum::routing::get;
use axum::serve::Listener;
use axum::{Json, Router};
use ballista_core::error::BallistaError;
use ballista_executor::ArrowFlightServerProvider;
use ballista_executor::executor_server::TERMINATING;
use ballista_executor::flight_service::BallistaFlightService;
use engine::cluster::{
    ExecutorReport, MESSAGE_BYTES, REPORT, Tls, TlsListener, grpc_routes, serve,
};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::work::Works;

/// What an executor says of itself.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) memory_bytes: usize,
    pub(crate) works: Arc<Works>,
}

/// The ports of an executor, taken before anybody is told of them.
#[derive(Debug)]
pub(crate) struct Ports {
    data: TcpListener,
    tls: Option<Tls>,
    /// Where Ballista's own service for tasks listens.
    pub(crate) tasks: IpAddr,
}

impl Ports {
    /// Takes them. What arrives for tasks is passed on from now on, if there are certificates.
    ///
    /// # Errors
    /// When one is taken, or the address is not of this machine.
    pub(crate) async fn bind(
        host: IpAddr,
        data: u16,
        tasks: u16,
        tls: Option<Tls>,
    ) -> anyhow::Result<Self> {
        let data = bind(host, data, "--port").await?;
        let mut inner = host;
        if let Some(tls) = &tls {
            inner = inner_host(host);
            let members = bind(host, tasks, "--grpc-port").await?;
            let members = TlsListener::new(members, tls.clone());
            tokio::spawn(pass_on(members, SocketAddr::new(inner, tasks)));
        }
        Ok(Self {
            data,
            tls,
            tasks: inner,
        })
    }

    /// The server for data, as Ballista starts it, and for what there is to say `about` this process.
    pub(crate) fn into_provider(self, about: About) -> Arc<ArrowFlightServerProvider> {
        let ports = Mutex::new(Some(self));
        let about = Arc::new(about);
        Arc::new(move |work_dir, _, mut shutdown, _| {
            let about = Arc::clone(&about);
            let ports = ports.lock().unwrap_or_else(PoisonError::into_inner).take();
            tokio::spawn(async move {
                let Some(Self { data, tls, .. }) = ports else {
                    return Err(BallistaError::General("started twice".to_owned()));
                };
                let stop = async move { shutdown.recv().await };
                serve(data, tls, routes(work_dir, about), stop)
                    .await
                    .map_err(BallistaError::IoError)
            })
        })
    }
}

async fn bind(host: IpAddr, port: u16, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind((host, port))
        .await
        .with_context(|| format!("cannot listen on {host}:{port}; choose another with {flag}"))
}

/// A loopback address beside `host`, on which the same ports are free.
fn inner_host(host: IpAddr) -> IpAddr {
    let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
    match host == loopback {
        true => IpAddr::from(Ipv4Addr::new(127, 0, 0, 2)),
        false => loopback,
    }
}

fn routes(work_dir: String, about: Arc<About>) -> Router {
    let flight = FlightServiceServer::new(BallistaFlightService::new(work_dir))
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES);
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route(REPORT, get(report))
        .with_state(about)
        .merge(grpc_routes(flight))
}

async fn report(State(about): State<Arc<About>>) -> Json<ExecutorReport> {
    Json(ExecutorReport {
        memory_bytes: about.memory_bytes,
        stopping: TERMINATING.load(Ordering::Acquire),
        jobs: about.works.report(),
    })
}

/// Gives what members send to the service at `to`, and back.
async fn pass_on(mut members: TlsListener, to: SocketAddr) {
    loop {
        let (mut member, address) = members.accept().await;
        tokio::spawn(async move {
            let passed = async {
                let mut service = TcpStream::connect(to).await?;
                service.set_nodelay(true)?;
                copy_bidirectional(&mut member, &mut service).await
            };
            if let Err(error) = passed.await {
                tracing::debug!(%address, %error, "a connection ended");
            }
        });
    }
}
