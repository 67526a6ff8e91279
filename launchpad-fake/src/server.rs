//! Starting and stopping a server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use url::Url;

use crate::error::Error;
use crate::generator::landmarks::FIRST_BUG;
use crate::options::{Drift, Faults, Options};
use crate::service::{self, Service};
use crate::stats::Stats;

/// More bugs than Launchpad has; the ids of so many fit their type.
const MOST_BUGS: u32 = 10_000_000;

const _: () = assert!(FIRST_BUG.checked_add(MOST_BUGS + Drift::RESERVE).is_some());

/// How long answers that are being given may take when the server stops.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// A running server. Dropping it stops it too, without waiting.
#[derive(Debug)]
pub struct LaunchpadFake {
    address: SocketAddr,
    root: Url,
    service: Arc<Service>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl LaunchpadFake {
    /// Generates the bugs or reads the recordings, and serves them at `address`; port 0 is any free
    /// port. Requests are answered from when this returns.
    ///
    /// # Errors
    /// When an option is out of its range, the address is taken, or a recording cannot be served.
    pub async fn start(options: Options, address: SocketAddr) -> Result<Self, Error> {
        check(&options)?;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| Error::Listen { address, source })?;
        let address = listener
            .local_addr()
            .map_err(|source| Error::Listen { address, source })?;
        let own_address = address.to_string();
        let root = Url::parse(&format!("http://{own_address}/"))
            .map_err(|source| Error::Address { address, source })?;
        let service = tokio::task::spawn_blocking(move || Service::new(options, own_address))
            .await
            .map_err(|source| Error::Generator { source })??;
        let service = Arc::new(service);
        let router = Router::new()
            .fallback(service::handle)
            .with_state(Arc::clone(&service));
        // Small answers in many packets would wait for each other's acknowledgement.
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "cannot set nodelay");
            }
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(async move {
                    // An error means the sender is gone: that is the signal too.
                    let _ = stopped.await;
                })
                .await
        });
        tracing::debug!(%address, "the launchpad stand-in is listening");
        Ok(Self {
            address,
            root,
            service,
            stop,
            task,
        })
    }

    /// The address of the service: `http://127.0.0.1:PORT/`. Versions are below it.
    #[must_use]
    pub fn root(&self) -> Url {
        self.root.clone()
    }

    /// The address that is listened on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was counted since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.service.counters().snapshot()
    }

    /// Takes no more requests, lets those that are being answered end (five seconds at most), and
    /// frees the port.
    pub async fn shutdown(self) {
        let Self { stop, mut task, .. } = self;
        drop(stop);
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, &mut task)
            .await
            .is_err()
        {
            task.abort();
        }
    }
}

fn check(options: &Options) -> Result<(), Error> {
    let refuse = |option, value: String, expected| {
        Err(Error::Option {
            option,
            value,
            expected,
        })
    };
    if options.bugs > MOST_BUGS {
        return refuse("bugs", options.bugs.to_string(), "at most 10,000,000");
    }
    if !(0.0..=1.0).contains(&options.member_share) {
        return refuse(
            "member_share",
            options.member_share.to_string(),
            "from 0 to 1",
        );
    }
    let Faults {
        fail_every,
        rate_limit_every,
        drop_every,
        truncate_every,
        malformed_json_every,
        html_200_every,
        drifting,
        ..
    } = &options.faults;
    let counts = [
        ("fail_every", *fail_every),
        ("rate_limit_every", *rate_limit_every),
        ("drop_every", *drop_every),
        ("truncate_every", *truncate_every),
        ("malformed_json_every", *malformed_json_every),
        ("html_200_every", *html_200_every),
        ("drifting", drifting.map(|drift| drift.every)),
    ];
    match counts.into_iter().find(|(_, every)| *every == Some(0)) {
        Some((option, _)) => refuse(option, "0".to_owned(), "at least 1"),
        None => Ok(()),
    }
}
