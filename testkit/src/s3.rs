//! An S3 server in this process: real HTTP, real signatures, and faults on demand.
//!
//! Owns its start and its end, and the view that a test has of it. It speaks the part of S3 that object stores'
//! clients use, keeps everything in memory, and behaves as AWS does unless [`Behaviour`] says otherwise. It runs on
//! threads and a runtime of its own, so blocking tests, several runtimes and child processes can use it.
//!
//! | module | what it has |
//! |---|---|
//! | `bucket` | objects, uploads, and the rules of changing them |
//! | `api` | the operations, between the protocol and the bucket |
//! | `options` | how it is started, and where it differs from AWS |
//! | `listing` | the listings: prefix, delimiter, pages |
//! | `http` | connections, and the way of a request |
//! | `faults` | numbers of requests, their log, and what goes wrong with which |
//!
//! Not here: versions of objects, access rules, storage classes, encryption, virtual-hosted addresses.

mod api;
mod bucket;
mod faults;
mod http;
mod listing;
mod options;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use bytes::Bytes;
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use api::{Api, OneKey};
use bucket::{Bucket, Condition, Headers};
use faults::Board;
pub use faults::{Fault, Injected, Operation, Refusal, Request, Verdict};
use http::Shared;
pub use options::{Behaviour, S3Options};

/// An upload that was neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PendingUpload {
    /// The key it is for.
    pub key: String,
    /// Its id.
    pub upload_id: String,
    /// How many parts it has.
    pub parts: usize,
    /// Their bytes.
    pub bytes: usize,
}

/// What a bucket held at a moment.
#[derive(Debug, Clone)]
pub struct Snapshot(Bucket);

/// A running server; stopped, with all it holds, when dropped.
#[derive(Debug)]
pub struct S3Server {
    options: S3Options,
    address: SocketAddr,
    bucket: Arc<Mutex<Bucket>>,
    board: Arc<Board>,
    /// Taken when dropped.
    runtime: Option<Runtime>,
}

impl S3Server {
    /// Starts a server with an empty bucket, on a free port of the loopback interface.
    ///
    /// # Errors
    /// When there is no port or no thread to be had.
    pub fn start(options: S3Options) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("testkit-s3")
            .enable_all()
            .build()
            .context("cannot start the threads of the S3 server")?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .context("no free port for the S3 server")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;

        let bucket = Arc::new(Mutex::new(Bucket::new(options.behaviour)));
        let board = Arc::new(Board::default());
        let mut service = S3ServiceBuilder::new(Api::new(&options, Arc::clone(&bucket)));
        service.set_auth(OneKey::new(&options));
        let shared = Arc::new(Shared {
            service: service.build(),
            board: Arc::clone(&board),
            region: options.region.clone(),
        });
        let entered = runtime.enter();
        let listener = TcpListener::from_std(listener)?;
        drop(entered);
        runtime.spawn(http::serve(listener, shared));
        Ok(Self {
            options,
            address,
            bucket,
            board,
            runtime: Some(runtime),
        })
    }

    /// Where it listens, such as `http://127.0.0.1:40123`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The name of the bucket.
    pub fn bucket(&self) -> &str {
        &self.options.bucket
    }

    /// How it was started.
    pub fn options(&self) -> &S3Options {
        &self.options
    }

    /// The environment variables by which a client finds it: those of AWS's own tools, and `AWS_ALLOW_HTTP`, without
    /// which `object_store` speaks TLS only.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_ACCESS_KEY_ID", self.options.access_key.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.options.secret_key.clone()),
            ("AWS_REGION", self.options.region.clone()),
            ("AWS_ALLOW_HTTP", String::from("true")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// The objects whose keys begin with `prefix`, by key.
    pub fn objects(&self, prefix: &str) -> BTreeMap<String, Bytes> {
        self.lock()
            .objects(prefix)
            .map(|(key, object)| (key.clone(), object.bytes.clone()))
            .collect()
    }

    /// An object, if there is one of this key.
    pub fn object(&self, key: &str) -> Option<Bytes> {
        self.lock().get(key).ok().map(|object| object.bytes.clone())
    }

    /// Puts an object there, without a request.
    ///
    /// # Errors
    /// None: the bucket takes every key.
    pub fn put_object(&self, key: &str, bytes: impl Into<Bytes>) -> anyhow::Result<()> {
        self.lock()
            .put(key, bytes.into(), Headers::default(), &Condition::default())?;
        Ok(())
    }

    /// The uploads that are neither completed nor aborted, by key and id.
    pub fn pending_uploads(&self) -> Vec<PendingUpload> {
        self.lock()
            .uploads("")
            .map(|(key, id, upload)| PendingUpload {
                key: key.to_owned(),
                upload_id: id.to_owned(),
                parts: upload.parts.len(),
                bytes: upload.parts.values().map(|part| part.bytes.len()).sum(),
            })
            .collect()
    }

    /// What the bucket holds now, to go back to with [`S3Server::restore`]. Cheap: bytes are shared.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.lock().clone())
    }

    /// Lets the bucket hold what it held then: objects with their times, and unfinished uploads.
    pub fn restore(&self, snapshot: &Snapshot) {
        *self.lock() = snapshot.0.clone();
    }

    /// The requests that arrived since the start or the last [`S3Server::reset`], refused ones among them.
    pub fn requests(&self) -> Vec<Request> {
        self.board.requests()
    }

    /// Lets something go wrong from now on. Several faults can meet one request, in the order of their injection.
    pub fn inject(&self, fault: Fault) -> Injected {
        self.board.inject(fault)
    }

    /// Forgets all faults; a request that is held stays so until it is released.
    pub fn clear_faults(&self) {
        self.board.clear_faults();
    }

    /// Forgets all faults and the log, and counts requests from 0 again. What is stored stays.
    pub fn reset(&self) {
        self.board.reset();
    }

    fn lock(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not waited for: a callback may block, and this may be dropped on another runtime.
            runtime.shutdown_background();
        }
    }
}
