//! Which requests arrived, and what is to go wrong with which.
//!
//! Owns the numbers of requests, their log, and the faults that wait for them. That a fault takes place is the
//! server's (`http.rs`).

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are those of the S3 interface")]
pub enum Operation {
    PutObject,
    GetObject,
    HeadObject,
    DeleteObject,
    DeleteObjects,
    CopyObject,
    ListObjects,
    CreateMultipartUpload,
    UploadPart,
    UploadPartCopy,
    CompleteMultipartUpload,
    AbortMultipartUpload,
    ListMultipartUploads,
    ListParts,
    /// Anything else.
    Other,
}

/// A request that arrived whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Counted from 0 since the last reset.
    pub number: usize,
    /// What it asks for.
    pub operation: Operation,
    /// The object it names, or the prefix that a listing names; empty when there is none.
    pub key: String,
    /// Method, path and query: equal for the repeats of one request.
    pub target: String,
}

/// How a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Status 500, `InternalError`.
    InternalError,
    /// Status 503, `ServiceUnavailable`.
    Unavailable,
    /// Status 503, `SlowDown`.
    SlowDown,
    /// Status 400, `InvalidRequest`: clients do not repeat it.
    InvalidRequest,
    /// Status 403, `AccessDenied`: clients do not repeat it.
    AccessDenied,
    /// Status 200 with an error as the body, which S3 can answer to completions and copies.
    ErrorInBody,
    /// No reply: the connection is cut.
    Cut,
}

/// What a callback has decided about its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Go on as if nothing had been.
    Continue,
    /// Cut the connection: before the effect it does not happen, after it the client does not learn of it.
    Cut,
}

type Callback = Arc<dyn Fn(&Request) -> Verdict + Send + Sync>;

#[derive(Clone)]
pub(super) enum Kind {
    Refuse(Refusal),
    Lose(Refusal),
    Halve,
    HoldBefore(watch::Receiver<bool>),
    HoldAfter(watch::Receiver<bool>),
    Before(Callback),
    After(Callback),
}

/// Something that is to go wrong, with the first requests that it fits: all of them, unless it says otherwise.
#[derive(Clone)]
pub struct Fault {
    kind: Kind,
    number: Option<usize>,
    /// With a number: all later requests too, whatever they ask for.
    onwards: bool,
    operation: Option<Operation>,
    key: Option<String>,
    times: usize,
    gate: Option<watch::Sender<bool>>,
}

impl Fault {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            number: None,
            onwards: false,
            operation: None,
            key: None,
            times: usize::MAX,
            gate: None,
        }
    }

    /// Refuses the request: nothing happens.
    pub fn refuse(how: Refusal) -> Self {
        Self::new(Kind::Refuse(how))
    }

    /// Does what the request asks and then answers as if it had been refused: the acknowledgement is lost.
    pub fn lose(how: Refusal) -> Self {
        Self::new(Kind::Lose(how))
    }

    /// Does what the request asks and cuts the connection in the middle of the reply: its head and half of its body are
    /// sent. A reply without a body is cut before its head.
    pub fn halve() -> Self {
        Self::new(Kind::Halve)
    }

    /// Lets the request wait, before anything happens, until [`Injected::release`].
    pub fn hold_before() -> Self {
        let (gate, open) = watch::channel(false);
        let mut fault = Self::new(Kind::HoldBefore(open));
        fault.gate = Some(gate);
        fault
    }

    /// Does what the request asks and keeps the reply until [`Injected::release`].
    pub fn hold_after() -> Self {
        let (gate, open) = watch::channel(false);
        let mut fault = Self::new(Kind::HoldAfter(open));
        fault.gate = Some(gate);
        fault
    }

    /// Calls before anything happens. The callback may block; other requests go on meanwhile.
    pub fn before(callback: impl Fn(&Request) -> Verdict + Send + Sync + 'static) -> Self {
        Self::new(Kind::Before(Arc::new(callback)))
    }

    /// Calls after the effect and before the reply. The callback may block; other requests go on meanwhile.
    pub fn after(callback: impl Fn(&Request) -> Verdict + Send + Sync + 'static) -> Self {
        Self::new(Kind::After(Arc::new(callback)))
    }

    /// Begins with the request of this number, and goes on with its repeats only: requests with the same target.
    #[must_use]
    pub fn at(mut self, number: usize) -> Self {
        self.number = Some(number);
        self
    }

    /// Begins with the request of this number, and goes on with every later one.
    #[must_use]
    pub fn from(mut self, number: usize) -> Self {
        self.number = Some(number);
        self.onwards = true;
        self
    }

    /// Only requests of this operation.
    #[must_use]
    pub fn on(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Only requests whose key contains this.
    #[must_use]
    pub fn key(mut self, part: impl Into<String>) -> Self {
        self.key = Some(part.into());
        self
    }

    /// At most so many requests. With one, a client that repeats the request does not meet the fault again.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Refuse(how) => format!("refuse {how:?}"),
            Kind::Lose(how) => format!("lose {how:?}"),
            Kind::Halve => String::from("halve"),
            Kind::HoldBefore(_) => String::from("hold before"),
            Kind::HoldAfter(_) => String::from("hold after"),
            Kind::Before(_) => String::from("call before"),
            Kind::After(_) => String::from("call after"),
        };
        f.debug_struct("Fault")
            .field("kind", &kind)
            .field("number", &self.number)
            .field("onwards", &self.onwards)
            .field("operation", &self.operation)
            .field("key", &self.key)
            .field("times", &self.times)
            .finish_non_exhaustive()
    }
}

/// A fault that was given to a server.
#[derive(Debug, Clone)]
pub struct Injected {
    fired: Arc<AtomicUsize>,
    gate: Option<watch::Sender<bool>>,
}

impl Injected {
    /// How many requests it has met.
    pub fn fired(&self) -> usize {
        self.fired.load(Ordering::SeqCst)
    }

    /// Lets the requests go on that a hold has stopped, and those that it would.
    pub fn release(&self) {
        if let Some(gate) = &self.gate {
            gate.send_replace(true);
        }
    }
}

/// The numbers, the log and the waiting faults of one server.
#[derive(Debug, Default)]
pub(super) struct Board {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    requests: Vec<Request>,
    faults: Vec<Armed>,
}

#[derive(Debug)]
struct Armed {
    fault: Fault,
    /// Of the request it began with, when it was given a number.
    target: Option<String>,
    left: usize,
    fired: Arc<AtomicUsize>,
}

impl Board {
    /// Numbers a request, and returns what is to go wrong with it: the faults in the order in which they were given.
    pub(super) fn arrived(
        &self,
        operation: Operation,
        key: String,
        target: String,
    ) -> (Request, Vec<Kind>) {
        let mut inner = self.lock();
        let request = Request {
            number: inner.requests.len(),
            operation,
            key,
            target,
        };
        inner.requests.push(request.clone());
        let mut kinds = Vec::new();
        for armed in &mut inner.faults {
            if armed.fits(&request) {
                armed.left -= 1;
                armed.target.get_or_insert_with(|| request.target.clone());
                armed.fired.fetch_add(1, Ordering::SeqCst);
                kinds.push(armed.fault.kind.clone());
            }
        }
        (request, kinds)
    }

    pub(super) fn inject(&self, mut fault: Fault) -> Injected {
        let fired = Arc::new(AtomicUsize::new(0));
        let gate = fault.gate.take();
        self.lock().faults.push(Armed {
            left: fault.times,
            target: None,
            fault,
            fired: Arc::clone(&fired),
        });
        Injected { fired, gate }
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.lock().requests.clone()
    }

    pub(super) fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    pub(super) fn reset(&self) {
        *self.lock() = Inner::default();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Armed {
    fn fits(&self, request: &Request) -> bool {
        let Fault {
            number,
            onwards,
            operation,
            key,
            ..
        } = &self.fault;
        let begun = match (number, &self.target) {
            (Some(number), _) if *onwards => request.number >= *number,
            (Some(_), Some(target)) => *target == request.target,
            (Some(number), None) => *number == request.number,
            (None, _) => true,
        };
        begun
            && self.left > 0
            && operation.is_none_or(|operation| operation == request.operation)
            && key.as_ref().is_none_or(|part| request.key.contains(part))
    }
}
