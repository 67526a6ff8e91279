//! Serving on a port: who may connect, how many at once, and how long they may take to say what they want. What is answered
//! is the scheduler's and the executor's, within the rules of [`super::admission`].
//!
//! A connection that has asked nothing yet costs a file and a little memory, and anybody can make many of them. So it has
//! [`HEADER_TIMEOUT`] for all that comes before its first request, and when a port has as many connections as it may, the
//! oldest of those that asked nothing gives way to the newest.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{Future, pending};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::{Request, StatusCode};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;
use tonic::service::RoutesBuilder;

use super::admission::{Names, grpc_only, guarded};
use super::peer::{self, Sockets};
use super::tls::Tls;
use crate::chain;

/// Who connects has this long to show a certificate and to send the head of a request; over HTTP/1, also of every further one.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The head of a request has this many bytes at most.
const MAX_HEADER_BYTES: u32 = 16 << 10;
/// A connection on which nothing was heard for so long is asked whether it is there, and closed unless it says so in time.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// What is being answered at the end may take this long.
const DRAIN_GRACE: Duration = Duration::from_secs(5);
/// A port that cannot take connections for want of files tries again after this.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(200);

/// Who is answered on a port.
#[derive(Debug, Clone)]
pub enum Audience {
    /// Who shows a certificate of the cluster's authority.
    Members(Tls),
    /// Processes of this process's user, and those of root, on this machine.
    OwnUser,
    /// Anybody who can connect.
    Anybody,
}

/// Whoever could connect would be answered, and nobody said that they may be.
#[derive(Debug, thiserror::Error)]
pub enum Exposed {
    /// Others than this machine's users.
    #[error(
        "{0} can be reached from other machines, and whoever reaches a process of a cluster can run plans on it: listen on \
         127.0.0.1, give certificates with --tls, or say --insecure in a network of which every member is trusted"
    )]
    ToMachines(IpAddr),
    /// Others than the own user.
    #[error(
        "{0} can be reached by every user of this machine, and this system does not tell who they are: give certificates with \
         --tls, or say --insecure where every user is trusted"
    )]
    ToUsers(IpAddr),
}

impl Audience {
    /// Members, if there are certificates; else, on a loopback address, the own user. `insecure` says that all who can connect
    /// are trusted.
    ///
    /// # Errors
    /// [`Exposed`], where none of these holds.
    pub fn choose(host: IpAddr, tls: Option<Tls>, insecure: bool) -> Result<Self, Exposed> {
        match tls {
            Some(tls) => Ok(Self::Members(tls)),
            None if insecure => Ok(Self::Anybody),
            None if !host.is_loopback() => Err(Exposed::ToMachines(host)),
            None if !peer::CAN_TELL => Err(Exposed::ToUsers(host)),
            None => Ok(Self::OwnUser),
        }
    }
}

/// Answers on `listener` with `routes` until `stop`, then ends what is being answered. Unless connections prove themselves by
/// certificates, requests must be for one of `names`.
pub async fn serve(
    listener: TcpListener,
    audience: Audience,
    names: Names,
    routes: Router,
    stop: impl Future<Output = ()>,
) {
    let names = match audience {
        Audience::Members(_) => None,
        Audience::OwnUser | Audience::Anybody => Some(names),
    };
    let port = Port {
        audience,
        routes: guarded(routes, names),
        http: http(),
        sockets: Sockets::default(),
        silent: Silent::default(),
    };
    // A process has two such ports at most, and needs files for more than connections.
    accept(listener, port, (open_files() / 4).clamp(16, 4096), stop).await;
}

/// As [`serve`], to anybody: numbers that are no secret, over HTTP/1, where every connection ends soon.
pub async fn serve_numbers(
    listener: TcpListener,
    names: Names,
    routes: Router,
    stop: impl Future<Output = ()>,
) {
    let port = Port {
        audience: Audience::Anybody,
        routes: guarded(routes, Some(names)),
        http: http().http1_only(),
        sockets: Sockets::default(),
        silent: Silent::default(),
    };
    accept(listener, port, (open_files() / 16).clamp(8, 64), stop).await;
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
    grpc_only(grpc.routes().into_axum_router()).fallback(|| async { StatusCode::NOT_FOUND })
}

/// How many files this process may have open at once.
fn open_files() -> usize {
    const USUAL: usize = 1024;
    // The third number would be the limit to which it can be raised.
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let files = files.and_then(|files| files.split_ascii_whitespace().next());
    files.map_or(USUAL, |files| files.parse().unwrap_or(usize::MAX))
}

fn http() -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES as usize);
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEADER_BYTES)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    http
}

/// What all connections of a port share.
struct Port {
    audience: Audience,
    routes: Router,
    http: Builder<TokioExecutor>,
    sockets: Sockets,
    silent: Silent,
}

async fn accept(listener: TcpListener, port: Port, most: usize, stop: impl Future<Output = ()>) {
    let port = Arc::new(port);
    let places = Arc::new(Semaphore::new(most));
    let (stopping, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let taken = async {
            let connection = listener.accept().await;
            if places.available_permits() == 0 {
                port.silent.displace_one();
            }
            (connection, Arc::clone(&places).acquire_owned().await)
        };
        let (connection, place) = tokio::select! {
            () = &mut stop => break,
            taken = taken => taken,
        };
        // Those that ended.
        while connections.try_join_next().is_some() {}
        match connection {
            Ok((stream, address)) => {
                let (port, stopped) = (Arc::clone(&port), stopped.clone());
                connections.spawn(async move {
                    port.answer(stream, address, stopped).await;
                    drop(place);
                });
            }
            // The other side has gone already.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be taken");
                port.silent.displace_one();
                sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
    drop(stopping);
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(DRAIN_GRACE, ended).await.is_err() {
        tracing::warn!("answers were cut off at the end");
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

impl Port {
    /// From the first byte to the last, unless the other side is silent for too long at the beginning.
    async fn answer(&self, stream: TcpStream, address: SocketAddr, stopped: watch::Receiver<()>) {
        let (number, asked) = self.silent.enter();
        let silence = async {
            // Whoever asked is not waited for here.
            if let Ok(Ok(())) = timeout(HEADER_TIMEOUT, asked).await {
                pending::<()>().await;
            }
        };
        tokio::select! {
            () = self.converse(stream, address, number, stopped) => {}
            () = silence => tracing::debug!(%address, "a connection asked nothing"),
        }
        self.silent.leave(number);
    }

    async fn converse(
        &self,
        mut stream: TcpStream,
        address: SocketAddr,
        number: u64,
        stopped: watch::Receiver<()>,
    ) {
        without_delay(&mut stream);
        match &self.audience {
            Audience::Members(tls) => {
                if let Some(stream) = handshake(tls, stream, address).await {
                    self.speak(stream, number, stopped).await;
                }
            }
            Audience::OwnUser => match self.own_user(&stream, address).await {
                Ok(()) => self.speak(stream, number, stopped).await,
                Err(Unanswered::Gone) => tracing::debug!(%address, "a connection asked nothing"),
                Err(reason) => tracing::warn!(%address, "a connection was refused: {reason}"),
            },
            Audience::Anybody => self.speak(stream, number, stopped).await,
        }
    }

    async fn speak(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        number: u64,
        mut stopped: watch::Receiver<()>,
    ) {
        let routes = TowerToHyperService::new(self.routes.clone());
        let service = service_fn(|request: Request<Incoming>| {
            self.silent.speaks(number);
            routes.call(request)
        });
        let spoken = self.http.serve_connection(TokioIo::new(stream), service);
        let mut spoken = std::pin::pin!(spoken);
        let ended = tokio::select! {
            ended = spoken.as_mut() => ended,
            _ = stopped.changed() => {
                spoken.as_mut().graceful_shutdown();
                spoken.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error = chain(error.as_ref()), "a connection ended");
        }
    }

    /// Whether a process of this process's user, or of root, is at the other end.
    async fn own_user(&self, stream: &TcpStream, address: SocketAddr) -> Result<(), Unanswered> {
        let asked = async { self.sockets.user_of(address, stream.local_addr()?).await };
        let found = tokio::select! {
            found = asked => found,
            () = gone(stream) => return Err(Unanswered::Gone),
        };
        let own = nix::unistd::geteuid().as_raw();
        match found {
            Ok(Some(user)) if user == own || user == 0 => Ok(()),
            Ok(Some(user)) => Err(Unanswered::Other { user, own }),
            Ok(None) => Err(Unanswered::Nobodys),
            Err(error) => Err(Unanswered::Unknown(error)),
        }
    }
}

/// Why a connection is closed before anything is heard on it.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("its other end has closed it")]
    Gone,
    #[error(
        "it is of user {user}, this process of user {own}; with certificates (--tls) others are answered too"
    )]
    Other { user: u32, own: u32 },
    #[error("the system does not say whose it is")]
    Nobodys,
    #[error("the system does not say whose it is: {0}")]
    Unknown(io::Error),
}

/// Waits until the other end has closed a connection on which it said nothing, as whoever asks only whether a port answers.
async fn gone(stream: &TcpStream) {
    if let Ok(1..) = stream.peek(&mut [0]).await {
        pending::<()>().await;
    }
}

/// The connections that have asked nothing yet, by their numbers, the oldest first.
#[derive(Default)]
struct Silent {
    connections: Mutex<Numbered>,
}

#[derive(Default)]
struct Numbered {
    next: u64,
    /// Whoever is dropped from here is closed; whoever is told something has asked.
    silent: BTreeMap<u64, oneshot::Sender<()>>,
}

impl Silent {
    fn connections(&self) -> MutexGuard<'_, Numbered> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self) -> (u64, oneshot::Receiver<()>) {
        let (sender, asked) = oneshot::channel();
        let mut connections = self.connections();
        let number = connections.next;
        connections.next += 1;
        connections.silent.insert(number, sender);
        (number, asked)
    }

    fn speaks(&self, number: u64) {
        if let Some(sender) = self.connections().silent.remove(&number) {
            // One that is being closed at this moment hears nothing.
            let _ = sender.send(());
        }
    }

    fn leave(&self, number: u64) {
        self.connections().silent.remove(&number);
    }

    fn displace_one(&self) {
        self.connections().silent.pop_first();
    }
}

async fn handshake(
    tls: &Tls,
    stream: TcpStream,
    address: SocketAddr,
) -> Option<TlsStream<TcpStream>> {
    let config = match tls.server() {
        Ok(config) => Arc::new(config),
        Err(error) => {
            tracing::error!(%address, %error, "a connection was refused");
            return None;
        }
    };
    match TlsAcceptor::from(config).accept(stream).await {
        Ok(stream) => Some(stream),
        // Also of those who only try whether somebody listens.
        Err(error) => {
            tracing::debug!(%address, error = chain(&error), "a connection did not prove itself");
            None
        }
    }
}

/// Answers are small and waited for.
fn without_delay(stream: &mut TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection delays small answers");
    }
}
