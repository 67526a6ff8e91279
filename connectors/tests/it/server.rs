//! A small HTTP server that can misbehave in every way a real one does.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;
use url::Url;

/// A request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) address: Url,
}

impl Request {
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn number(&self, name: &str) -> Option<usize> {
        self.parameter(name)?.parse().ok()
    }
}

/// What to do with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Json(Value),
    Full {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    /// Promises a long body and breaks off.
    Truncated,
    /// Closes the connection without a word.
    HangUp,
    /// Never answers.
    Silence,
}

impl Reply {
    pub(crate) fn status(status: u16, body: &str) -> Self {
        Self::Full {
            status,
            headers: vec![("content-type", "text/plain".to_owned())],
            body: body.to_owned(),
        }
    }
}

/// The server; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) root: String,
    requests: Arc<Mutex<Vec<Request>>>,
    busy: Arc<AtomicUsize>,
    most_at_once: Arc<AtomicUsize>,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    pub(crate) async fn start(
        latency: Duration,
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let root = format!("http://{}/", listener.local_addr()?);
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let (busy, most_at_once) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (log, now, most) = (
            Arc::clone(&requests),
            Arc::clone(&busy),
            Arc::clone(&most_at_once),
        );
        let (base, handler) = (root.clone(), Arc::new(handler));
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (log, now, most) = (Arc::clone(&log), Arc::clone(&now), Arc::clone(&most));
                let (base, handler) = (base.clone(), Arc::clone(&handler));
                tokio::spawn(async move {
                    let mut socket = socket;
                    let Ok(Some(request)) = read_request(&mut socket, &base).await else {
                        return;
                    };
                    log.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(request.clone());
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    let reply = handler(&request);
                    if !latency.is_zero() {
                        tokio::time::sleep(latency).await;
                    }
                    now.fetch_sub(1, Ordering::SeqCst);
                    // A client that went away is what some tests are about.
                    let _ = write_reply(&mut socket, reply).await;
                });
            }
        });
        Ok(Self {
            root,
            requests,
            busy,
            most_at_once,
            _task: AbortOnDropHandle::new(task),
        })
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    pub(crate) fn busy(&self) -> usize {
        self.busy.load(Ordering::SeqCst)
    }

    pub(crate) fn most_at_once(&self) -> usize {
        self.most_at_once.load(Ordering::SeqCst)
    }
}

async fn read_request(socket: &mut TcpStream, base: &str) -> io::Result<Option<Request>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if socket.read_buf(&mut head).await? == 0 {
            return Ok(None);
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.lines();
    let target = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .unwrap_or("/")
        .to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let address = Url::parse(base)
        .and_then(|base| base.join(&target))
        .map_err(io::Error::other)?;
    let query = address
        .query_pairs()
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    Ok(Some(Request {
        path: address.path().to_owned(),
        query,
        headers,
        address,
    }))
}

async fn write_reply(socket: &mut TcpStream, reply: Reply) -> io::Result<()> {
    let (status, headers, body) = match reply {
        Reply::Json(body) => (
            200,
            vec![("content-type", "application/json".to_owned())],
            body.to_string(),
        ),
        Reply::Full {
            status,
            headers,
            body,
        } => (status, headers, body),
        Reply::Truncated => {
            let text = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n{\"entries\": [";
            return socket.write_all(text.as_bytes()).await;
        }
        Reply::HangUp => return Ok(()),
        Reply::Silence => return socket.read(&mut [0]).await.map(drop),
    };
    let mut text = format!(
        "HTTP/1.1 {status} Status\r\ncontent-length: {}\r\nconnection: close\r\n",
        body.len()
    );
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.push_str(&body);
    socket.write_all(text.as_bytes()).await?;
    socket.shutdown().await
}
