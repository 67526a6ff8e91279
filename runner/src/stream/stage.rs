//! What is done with each chunk: the work, and how often, how long and how many at a time it is tried. Owns what a stage can be
//! told; the trying is in `tries`.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::chunk::{Chunk, IntoChunks};
use super::error::Cause;

/// The pause before the second try, unless something else is said.
const BACKOFF: Duration = Duration::from_millis(100);

pub(super) type Work =
    Arc<dyn Fn(Chunk) -> BoxFuture<'static, Result<Vec<Chunk>, Cause>> + Send + Sync>;

/// Work on chunks, one after the other or several at a time.
///
/// The work is done again with the same chunk when it fails and may be retried, so it should have no effect, or one that may be
/// had twice. A panic is a failure like any other.
#[derive(Clone)]
pub struct Stage {
    pub(super) name: String,
    pub(super) work: Work,
    pub(super) workers: usize,
    pub(super) ordered: bool,
    pub(super) retries: u32,
    pub(super) backoff: Duration,
    pub(super) timeout: Option<Duration>,
    pub(super) put_aside: Option<usize>,
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage")
            .field("name", &self.name)
            .field("workers", &self.workers)
            .field("ordered", &self.ordered)
            .field("retries", &self.retries)
            .field("backoff", &self.backoff)
            .field("timeout", &self.timeout)
            .field("put_aside", &self.put_aside)
            .finish_non_exhaustive()
    }
}

impl Stage {
    /// Asynchronous work, which waits for something: a service, a disk. The name is for metrics and errors.
    pub fn new<F, W, C>(name: impl Into<String>, work: F) -> Self
    where
        F: Fn(Chunk) -> W + Send + Sync + 'static,
        W: Future<Output = Result<C, Cause>> + Send + 'static,
        C: IntoChunks,
    {
        let work = move |chunk: Chunk| {
            let made = work(chunk);
            async move { Ok(made.await?.into_chunks()) }.boxed()
        };
        Self::of(name.into(), Arc::new(work))
    }

    /// Work that computes, or blocks: it has a thread for itself while it does.
    pub fn blocking<F, C>(name: impl Into<String>, work: F) -> Self
    where
        F: Fn(Chunk) -> Result<C, Cause> + Send + Sync + 'static,
        C: IntoChunks + 'static,
    {
        let work = Arc::new(work);
        let work = move |chunk: Chunk| {
            let work = Arc::clone(&work);
            async move {
                let done = tokio::task::spawn_blocking(move || work(chunk)).await;
                match done {
                    Ok(made) => Ok(made?.into_chunks()),
                    Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    Err(error) => Err(error.into()),
                }
            }
            .boxed()
        };
        Self::of(name.into(), Arc::new(work))
    }

    fn of(name: String, work: Work) -> Self {
        Self {
            name,
            work,
            workers: 1,
            ordered: true,
            retries: 0,
            backoff: BACKOFF,
            timeout: None,
            put_aside: None,
        }
    }

    /// So many chunks are worked on at the same time. Default: one.
    #[must_use]
    pub fn workers(self, workers: usize) -> Self {
        Self { workers, ..self }
    }

    /// Chunks leave in the order in which they are done. Default: in the order in which they came, so that one that takes long
    /// is waited for.
    #[must_use]
    pub fn unordered(self) -> Self {
        Self {
            ordered: false,
            ..self
        }
    }

    /// Work that fails is tried so many times more. Default: not at all.
    #[must_use]
    pub fn retries(self, retries: u32) -> Self {
        Self { retries, ..self }
    }

    /// The pause before the second try; each later one is twice as long, up to half a minute. Default: 100 ms.
    #[must_use]
    pub fn backoff(self, backoff: Duration) -> Self {
        Self { backoff, ..self }
    }

    /// A try that takes longer has failed. Asynchronous work is ended then; a thread cannot be, and what it gives is not used.
    /// Default: it may take as long as it likes.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self {
            timeout: Some(timeout),
            ..self
        }
    }

    /// A chunk whose last try failed is put aside with the cause, for [`Report::put_aside`](super::Report::put_aside), and the
    /// stream goes on; one more than `most` ends it. Default: the first one does.
    #[must_use]
    pub fn put_aside(self, most: usize) -> Self {
        Self {
            put_aside: Some(most),
            ..self
        }
    }
}
