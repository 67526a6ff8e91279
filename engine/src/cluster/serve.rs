//! Serving on a port: in the clear, or to members of the cluster only. Owns connections until they can be read from; what is
//! answered there is the scheduler's and the executor's.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Request, StatusCode};
use axum::response::IntoResponse;
use axum::serve::{Listener, ListenerExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;
use tonic::service::RoutesBuilder;

use super::tls::Tls;
use crate::chain;

/// Who connects has this long to show a certificate.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Answers on `listener` with `routes` until `stop`, then ends what is being answered. With `tls`, a connection is closed
/// unless it shows a certificate of the cluster's authority.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    routes: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    match tls {
        Some(tls) => {
            axum::serve(TlsListener::new(listener, tls), routes)
                .with_graceful_shutdown(stop)
                .await
        }
        None => {
            axum::serve(listener.tap_io(without_delay), routes)
                .with_graceful_shutdown(stop)
                .await
        }
    }
}

/// The routes of a gRPC service. What it does not know is 404, not a gRPC answer: other routes are merged with these.
pub fn grpc_routes<S>(service: S) -> Router
where
    S: Service<Request<Body>, Error = Infallible> + NamedService + Clone + Send + Sync + 'static,
    S::Response: IntoResponse,
    S::Future: Send + 'static,
{
    let mut grpc = RoutesBuilder::default();
    grpc.add_service(service);
    grpc.routes()
        .into_axum_router()
        .fallback(|| async { StatusCode::NOT_FOUND })
}

/// Accepts connections of members.
#[derive(Debug)]
pub struct TlsListener {
    tcp: TcpListener,
    tls: Tls,
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl TlsListener {
    /// Makes connections to `tcp` prove themselves.
    pub fn new(tcp: TcpListener, tls: Tls) -> Self {
        Self {
            tcp,
            tls,
            handshakes: JoinSet::new(),
        }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    /// The next connection that proved itself. Handshakes run beside each other; nobody waits for a slow one.
    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                (stream, address) = Listener::accept(&mut self.tcp) => {
                    self.handshakes.spawn(handshake(self.tls.clone(), stream, address));
                }
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = done {
                        return connection;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

async fn handshake(
    tls: Tls,
    mut stream: TcpStream,
    address: SocketAddr,
) -> Option<(TlsStream<TcpStream>, SocketAddr)> {
    without_delay(&mut stream);
    let config = match tls.server() {
        Ok(config) => Arc::new(config),
        Err(error) => {
            tracing::error!(%address, %error, "a connection was refused");
            return None;
        }
    };
    match timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => Some((stream, address)),
        // Also of those who only try whether somebody listens.
        Ok(Err(error)) => {
            tracing::debug!(%address, error = chain(&error), "a connection did not prove itself");
            None
        }
        Err(_) => None,
    }
}

/// Answers are small and waited for.
fn without_delay(stream: &mut TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection delays small answers");
    }
}
